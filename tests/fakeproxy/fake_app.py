"""A fake proxy for one test, in process or on a port, and HTTP clients of its users."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from sandbox_fakeproxy import ManualClock, Runtime, ScriptedRuntime, Store, create_app
from sandbox_fakeproxy.serving.server import ServerThread
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

ADMIN_KEY = "an-admin-key"


@dataclass
class Client:
    """Sends requests with one API key, or without a key."""

    http: httpx.AsyncClient
    key: str | None = None

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request; `body` is sent as JSON."""
        sent = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        return await self.http.request(
            method, path, json=body, content=content, headers=sent | (headers or {})
        )


@dataclass
class FakeApp:
    """A fake proxy with its store, clock and runtime. `users` maps usernames to user ids."""

    app: Starlette
    http: httpx.AsyncClient
    store: Store
    clock: ManualClock
    runtime: Runtime
    users: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def admin(self) -> Client:
        return Client(self.http, ADMIN_KEY)

    @property
    def anonymous(self) -> Client:
        return Client(self.http)

    async def new_user(self, username: str = "alice") -> Client:
        """Add a user with an API key, and return a client that sends it."""
        reply = await self.admin.request("POST", "/api/admin/users", {"username": username})
        self.users[username] = reply.json()["user"]["id"]
        return Client(self.http, await self.new_key(username))

    async def new_key(self, username: str, **fields: Any) -> str:
        """Add an API key to a user and return it."""
        path = f"/api/admin/users/{self.users[username]}/apikeys"
        key: str = (await self.admin.request("POST", path, fields)).json()["api_key"]
        return key

    async def ready_sandbox(self, client: Client, name: str = "box") -> None:
        """Create a sandbox and advance the clock until it is ready."""
        reply = await client.request("POST", "/api/sandboxes", {"name": name})
        assert reply.status_code == 201
        self.clock.advance(2)

    async def set_failure_mode(
        self, failure_mode: str, username: str = "alice", name: str = "box"
    ) -> None:
        """Set a sandbox's failure mode, such as `failed`."""
        path = f"/_fake/sandboxes/{username}/{name}/failure-mode"
        assert (
            await self.admin.request("PUT", path, {"failure_mode": failure_mode})
        ).status_code == 200

    def sandbox_id(self, username: str, name: str = "box") -> str:
        sandbox = self.store.sandbox(self.users[username], name)
        assert sandbox is not None
        return sandbox.id


@dataclass
class SharedServer:
    """A server for all tests of a process, as its start is slow. It serves the last `app`."""

    thread: ServerThread | None = None
    app: Starlette | None = None

    @property
    def url(self) -> str:
        assert self.thread is not None
        return self.thread.url

    async def close(self, runtime: Runtime) -> None:
        """Close a runtime in the server's event loop, where its processes are waited for."""

        async def close() -> None:
            await runtime.close()

        assert self.thread is not None
        await asyncio.to_thread(self.thread.call, close())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # which tells the server that there is no lifespan
        assert self.app is not None
        await self.app(scope, receive, send)


@asynccontextmanager
async def fake_app(
    runtime: Runtime | None = None,
    server: SharedServer | None = None,
    *,
    clock: ManualClock | None = None,
    **options: Any,
) -> AsyncGenerator[FakeApp]:
    """Create a fake, in process or on a server; at the end, kill everything that still runs.

    Commands are scripted unless there is a `runtime`; `options` are those of `create_app`.
    """
    store, clock = Store(), clock or ManualClock()
    runtime = runtime or ScriptedRuntime(clock=clock)
    options.setdefault("admin_key", ADMIN_KEY)
    app = create_app(store=store, clock=clock, runtime=runtime, **options)
    async with _http_client(app, server) as http:
        try:
            yield FakeApp(app, http, store, clock, runtime)
        finally:
            await (runtime.close() if server is None else server.close(runtime))
            store.close()


def _http_client(app: Starlette, server: SharedServer | None) -> httpx.AsyncClient:
    if server is None:
        transport = httpx.ASGITransport(app)
        return httpx.AsyncClient(transport=transport, base_url="http://fake", timeout=30)
    server.app = app
    return httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False)


def exec_path(name: str = "box") -> str:
    return f"/proxy/{name}/v1/shell/exec"


def assert_error(reply: httpx.Response, status: int, error: str, message: str) -> None:
    """Check the status and the whole body of an error response."""
    assert reply.status_code == status, reply.text
    assert reply.json() == {"error": error, "message": message}
