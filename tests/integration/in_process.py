"""The client and the fake in one process, on a virtual clock that the client's waits advance."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import httpx
from sandbox_client._client import Client, over
from sandbox_client._config import Config
from sandbox_client._prompts import Prompts
from sandbox_client._proxy import Proxy
from sandbox_client._waiting import Timing
from sandbox_fakeproxy import ManualClock, Runtime, create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

ADMIN_KEY = "an-admin-key"
URL = "http://fake"


@dataclass
class InProcessFake:
    """A fake of one test, its clock, and clients of it."""

    transport: httpx.AsyncBaseTransport
    clock: ManualClock
    reported: list[str] = field(default_factory=list[str])

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request with the admin key and return the JSON of the reply."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(transport=self.transport, base_url=URL) as http:
            reply = await http.request(method, path, json=body, headers=headers)
        assert reply.is_success, reply.text
        return reply.json()

    async def user(self, name: str) -> str:
        """Create a user and return its id."""
        user_id: str = (await self.ask("POST", "/api/admin/users", {"username": name}))["user"][
            "id"
        ]
        return user_id

    async def key(self, user_id: str, **fields: str) -> dict[str, Any]:
        """Create an API key and return the reply, which shows it once."""
        path = f"/api/admin/users/{user_id}/apikeys"
        made: dict[str, Any] = await self.ask("POST", path, fields)
        return made

    def client(self, key: str, *, is_scripted: bool = False, **settings: Any) -> Client:
        """Return a client whose waits take virtual time.

        Commands run in real time, and so do the waits for them, unless the runtime is scripted.
        """
        config = Config(proxy_url=URL, api_key=key, **settings)
        time = Timing(
            clock=lambda: self.clock.now().timestamp(),
            sleep=self.sleep,
            random=lambda: 0.5,
            now=self.clock.now,
        )
        client = over(Proxy(config, transport=self.transport, sleep=self.sleep), time)
        return client if is_scripted else replace(client, prompts=Prompts(client.sandboxes))

    async def a_client(self, name: str = "ada", *, is_scripted: bool = False) -> Client:
        """Return a client of a new user."""
        made = await self.key(await self.user(name))
        return self.client(made["api_key"], is_scripted=is_scripted)

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await anyio.lowlevel.checkpoint()
        self.clock.advance(seconds)

    async def report(self, elapsed: float, limit: float | None, reason: str) -> None:
        """Record the reason that a wait reports."""
        self.reported.append(reason)


@asynccontextmanager
async def in_process_fake(
    runtime: Callable[[ManualClock], Runtime] | None = None, **options: Any
) -> AsyncGenerator[InProcessFake]:
    """Make an in-process fake, and close its runtime at the end.

    `runtime` returns the runtime for the clock; the default runs commands on this machine.
    """
    clock = ManualClock()
    made = runtime(clock) if runtime is not None else None
    app = create_app(admin_key=ADMIN_KEY, clock=clock, runtime=made, **options)
    try:
        yield InProcessFake(httpx.ASGITransport(app), clock)
    finally:
        await app.state.runtime.close()
