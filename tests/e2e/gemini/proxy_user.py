"""A user of the fake proxy, with the user's requests and sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tests.integration.programs import ADMIN_KEY

if TYPE_CHECKING:
    from tests.integration.programs import FakeProcess


class ProxyUser:
    """A user of the fake proxy with an API key."""

    def __init__(self, fake: FakeProcess, key: str) -> None:
        self._url = fake.url
        self._key = key
        self._name: str = self._request(key, "GET", "/api/me")["user"]["username"]

    def create_sandbox(self, name: str, *, paused: bool = False) -> None:
        """Create a sandbox that is ready, or paused."""
        self._request(self._key, "POST", "/api/sandboxes", {"name": name})
        if paused:
            self._request(self._key, "POST", f"/api/sandboxes/{name}/pause")
        self._request(ADMIN_KEY, "POST", "/_fake/clock/advance", {"seconds": 1})

    def start_command(self, name: str, session: str, command: str) -> None:
        """Start a command with pipes in a new session of a sandbox."""
        fields = {"session_id": session, "command": command, "async_mode": True}
        self._request(self._key, "POST", f"/proxy/{name}/v1/bash/exec", fields)

    def requests(self) -> list[str]:
        """Return method, path and status of each of the user's requests, oldest first."""
        requests = self._request(ADMIN_KEY, "GET", "/_fake/requests")["requests"]
        return [
            f"{each['method']} {each['path']} {each['status']}"
            for each in reversed(requests)
            if each["caller"] == self._name
        ]

    def sandbox_phases(self) -> dict[str, str]:
        """Return the phase of each of the user's sandboxes by its name."""
        users = self._request(ADMIN_KEY, "GET", "/_fake/state")["users"]
        (user,) = (each for each in users if each["username"] == self._name)
        return {each["name"]: each["phase"] for each in user["sandboxes"]}

    def _request(self, key: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        reply = httpx.request(
            method,
            self._url + path,
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
        )
        return reply.raise_for_status().json()
