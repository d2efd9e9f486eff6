"""The client and the fake in one process: a virtual clock that the client's waits move."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import httpx
from sandbox_client._config import Config
from sandbox_client._proxy import Proxy
from sandbox_client._sandboxes import Sandboxes
from sandbox_fakeproxy import ManualClock, Runtime, create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ADMIN_KEY = "an-admin-key"
URL = "http://fake"


@dataclass
class Pair:
    """A fake that nobody else talks to, and clients of it."""

    transport: httpx.ASGITransport
    clock: ManualClock
    reported: list[str] = field(default_factory=list[str])

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send an administrator's request and return the reply's JSON."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(transport=self.transport, base_url=URL) as http:
            reply = await http.request(method, path, json=body, headers=headers)
        assert reply.is_success, reply.text
        return reply.json()

    async def user(self, name: str) -> str:
        """Make a user and return its id."""
        user_id: str = (await self.ask("POST", "/api/admin/users", {"username": name}))["user"][
            "id"
        ]
        return user_id

    async def key(self, user_id: str, **fields: str) -> dict[str, Any]:
        """Make an API key and return the reply that shows it once."""
        path = f"/api/admin/users/{user_id}/apikeys"
        made: dict[str, Any] = await self.ask("POST", path, fields)
        return made

    def client(self, key: str, **settings: Any) -> Sandboxes:
        """Return a client whose waits take virtual time."""
        config = Config(proxy_url=URL, api_key=key, **settings)
        return Sandboxes(
            Proxy(config, transport=self.transport, sleep=self.sleep),
            clock=lambda: self.clock.now().timestamp(),
            sleep=self.sleep,
            random=lambda: 0.5,
        )

    async def a_client(self, name: str = "ada") -> Sandboxes:
        """Return a client of a new user."""
        return self.client((await self.key(await self.user(name)))["api_key"])

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await anyio.lowlevel.checkpoint()
        self.clock.advance(seconds)

    async def report(self, elapsed: float, limit: float | None, reason: str) -> None:
        """Remember what a wait reported."""
        self.reported.append(reason)


@asynccontextmanager
async def a_pair(runtime: Runtime | None = None, **options: Any) -> AsyncGenerator[Pair]:
    """Make a pair; at its end nothing runs and no file is left."""
    clock = ManualClock()
    app = create_app(admin_key=ADMIN_KEY, clock=clock, runtime=runtime, **options)
    try:
        yield Pair(httpx.ASGITransport(app), clock)
    finally:
        await app.state.runtime.close()
