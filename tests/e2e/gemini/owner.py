"""A user of the fake: what the proxy has been asked in that user's name, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tests.integration.programs import ADMIN_KEY

if TYPE_CHECKING:
    from tests.integration.programs import FakeProcess


class Owner:
    """A user with a key, and the tester's view of what is that user's."""

    def __init__(self, fake: FakeProcess, key: str) -> None:
        self._url = fake.url
        self._key = key
        self._name: str = self._ask(key, "GET", "/api/me")["user"]["username"]

    def make(self, name: str, *, paused: bool = False) -> None:
        """Make a sandbox that is ready, or paused."""
        self._ask(self._key, "POST", "/api/sandboxes", {"name": name})
        if paused:
            self._ask(self._key, "POST", f"/api/sandboxes/{name}/pause")
        self._ask(ADMIN_KEY, "POST", "/_fake/clock/advance", {"seconds": 1})

    def run(self, name: str, session: str, command: str) -> None:
        """Start a command in a session of a sandbox."""
        shell = f"/proxy/{name}/v1/shell"
        self._ask(self._key, "POST", f"{shell}/sessions/create", {"id": session})
        fields = {"id": session, "command": command, "async_mode": True}
        self._ask(self._key, "POST", f"{shell}/exec", fields)

    def asked(self) -> list[str]:
        """Return what the proxy was asked, oldest first, each as method, path and status."""
        requests = self._ask(ADMIN_KEY, "GET", "/_fake/journal")["requests"]
        return [
            f"{each['method']} {each['path']} {each['status']}"
            for each in reversed(requests)
            if each["caller"] == self._name
        ]

    def sandboxes(self) -> dict[str, str]:
        """Return the phase of each sandbox by its name."""
        users = self._ask(ADMIN_KEY, "GET", "/_fake/state")["users"]
        (mine,) = (each for each in users if each["username"] == self._name)
        return {each["name"]: each["phase"] for each in mine["sandboxes"]}

    def _ask(self, key: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        reply = httpx.request(
            method,
            self._url + path,
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
        )
        return reply.raise_for_status().json()
