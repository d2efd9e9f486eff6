"""A fake proxy in process, and people with keys who talk to it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from sandbox_fakeproxy import ManualClock, Runtime, ScriptedRuntime, Store, create_app
from sandbox_fakeproxy._testing.thread import ServerThread
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

ADMIN_KEY = "an-admin-key"


@dataclass
class Caller:
    """Somebody with a key; without one, nobody."""

    http: httpx.AsyncClient
    key: str | None = None

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        sent = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        return await self.http.request(
            method, path, json=body, content=content, headers=sent | (headers or {})
        )


@dataclass
class World:
    """The fake, and what a test moves and looks at."""

    app: Starlette
    http: httpx.AsyncClient
    store: Store
    clock: ManualClock
    runtime: Runtime
    users: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def admin(self) -> Caller:
        return Caller(self.http, ADMIN_KEY)

    @property
    def nobody(self) -> Caller:
        return Caller(self.http)

    async def user(self, username: str = "alice") -> Caller:
        """Add a user, and return somebody with a key of that user's."""
        reply = await self.admin("POST", "/api/admin/users", {"username": username})
        self.users[username] = reply.json()["user"]["id"]
        return Caller(self.http, await self.key(username))

    async def key(self, username: str, **fields: Any) -> str:
        path = f"/api/admin/users/{self.users[username]}/apikeys"
        key: str = (await self.admin("POST", path, fields)).json()["api_key"]
        return key

    async def sandbox(self, caller: Caller, name: str = "box") -> None:
        """Make a sandbox and let time pass until it is ready."""
        assert (await caller("POST", "/api/sandboxes", {"name": name})).status_code == 201
        self.clock.advance(2)

    async def fate(self, fate: str, username: str = "alice", name: str = "box") -> None:
        """Have something become of a sandbox."""
        path = f"/_fake/sandboxes/{username}/{name}/fate"
        assert (await self.admin("PUT", path, {"fate": fate})).status_code == 200

    def sandbox_id(self, username: str, name: str = "box") -> str:
        sandbox = self.store.sandbox(self.users[username], name)
        assert sandbox is not None
        return sandbox.id


@dataclass
class Port:
    """A port of this machine where one world after the other is served, as a server is slow."""

    server: ServerThread | None = None
    app: Starlette | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    async def close(self, runtime: Runtime) -> None:
        """Close a runtime where its processes are waited for: in the server's loop."""
        assert self.server is not None
        await asyncio.to_thread(self.server.call, _closed(runtime))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # which tells the server that there is no lifespan
        assert self.app is not None
        await self.app(scope, receive, send)


@asynccontextmanager
async def a_world(
    runtime: Runtime | None = None,
    port: Port | None = None,
    *,
    clock: ManualClock | None = None,
    **options: Any,
) -> AsyncGenerator[World]:
    """Run a world, in process or on a port; at its end, nothing runs any more."""
    store, clock = Store(), clock or ManualClock()
    runtime = runtime or ScriptedRuntime(clock=clock)
    options.setdefault("admin_key", ADMIN_KEY)
    app = create_app(store=store, clock=clock, runtime=runtime, **options)
    async with _client(app, port) as http:
        try:
            yield World(app, http, store, clock, runtime)
        finally:
            await (runtime.close() if port is None else port.close(runtime))
            store.close()


async def _closed(runtime: Runtime) -> None:
    await runtime.close()


def _client(app: Starlette, port: Port | None) -> httpx.AsyncClient:
    if port is None:
        transport = httpx.ASGITransport(app)
        return httpx.AsyncClient(transport=transport, base_url="http://fake", timeout=30)
    port.app = app
    return httpx.AsyncClient(base_url=port.url, timeout=30, trust_env=False)


def exec_path(name: str = "box") -> str:
    return f"/proxy/{name}/v1/shell/exec"


def assert_refused(reply: httpx.Response, status: int, error: str, message: str) -> None:
    assert reply.status_code == status, reply.text
    assert reply.json() == {"error": error, "message": message}
