"""The client and the fake proxy in one process; the client's waits advance a virtual clock."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import httpx
from sandbox_client import Client, Config
from sandbox_client.http import Proxy
from sandbox_client.polling import Timing
from sandbox_client.prompts import Prompts
from sandbox_fakeproxy import ManualClock, Runtime, create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime

ADMIN_KEY = "an-admin-key"
URL = "http://fake"


@dataclass(frozen=True)
class JumpingClock:
    """The clock of scripted commands: a request that waits for a moment moves `clock` on to it.

    A client that waits for the answer to a long poll does not sleep, which would advance the clock.
    """

    clock: ManualClock

    def now(self) -> datetime:
        """Return the time of the clock."""
        return self.clock.now()

    async def sleep_until(self, moment: datetime) -> None:
        """Advance the clock to `moment`, after the events that come before it."""
        await anyio.lowlevel.checkpoint()
        self.advance(max((moment - self.clock.now()).total_seconds(), 0))

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self.clock.advance(seconds)


@dataclass
class InProcessFake:
    """A fake proxy in this process, its clock, and a factory of clients."""

    transport: httpx.AsyncBaseTransport
    clock: ManualClock
    reported_reasons: list[str] = field(default_factory=list[str])

    async def request_as_admin(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> Any:
        """Send a request with the admin key and return the JSON of the reply."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(transport=self.transport, base_url=URL) as http:
            reply = await http.request(method, path, json=body, headers=headers)
        assert reply.is_success, reply.text
        return reply.json()

    async def new_user(self, name: str) -> str:
        """Create a user and return its id."""
        reply = await self.request_as_admin("POST", "/api/admin/users", {"username": name})
        user_id: str = reply["user"]["id"]
        return user_id

    async def new_key(self, user_id: str, **fields: str) -> dict[str, Any]:
        """Create an API key and return the reply, the only one that contains the whole key."""
        path = f"/api/admin/users/{user_id}/apikeys"
        made: dict[str, Any] = await self.request_as_admin("POST", path, fields)
        return made

    def client(self, key: str, *, is_scripted: bool = False, **settings: Any) -> Client:
        """Return a client that waits in virtual time.

        It waits for commands in real time unless `is_scripted`: a local runtime runs real commands.
        """
        config = Config(proxy_url=URL, api_key=key, **settings)
        time = Timing(
            clock=lambda: self.clock.now().timestamp(),
            sleep=self.sleep,
            random=lambda: 0.5,
            now=self.clock.now,
        )
        client = Client(Proxy(config, transport=self.transport, sleep=self.sleep), time)
        if not is_scripted:
            client.prompts = Prompts(client.sandboxes)
        return client

    async def new_client(self, name: str = "ada", *, is_scripted: bool = False) -> Client:
        """Create a user and return a client with a key of that user."""
        made = await self.new_key(await self.new_user(name))
        return self.client(made["api_key"], is_scripted=is_scripted)

    async def sleep(self, seconds: float) -> None:
        """Advance the virtual clock."""
        await anyio.lowlevel.checkpoint()
        self.clock.advance(seconds)

    async def report(self, elapsed: float, limit: float | None, reason: str) -> None:
        """Record the reason for a wait."""
        self.reported_reasons.append(reason)


@asynccontextmanager
async def in_process_fake(
    runtime: Callable[[ManualClock], Runtime] | None = None, **options: Any
) -> AsyncGenerator[InProcessFake]:
    """Create a fake proxy in this process and close its runtime at the end.

    `runtime` creates the runtime from the clock; by default, commands run on this machine.
    """
    clock = ManualClock()
    made = runtime(clock) if runtime is not None else None
    app = create_app(admin_key=ADMIN_KEY, clock=clock, runtime=made, **options)
    try:
        yield InProcessFake(httpx.ASGITransport(app), clock)
    finally:
        await app.state.runtime.close()
