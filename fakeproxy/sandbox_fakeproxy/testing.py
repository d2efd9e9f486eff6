"""Fake proxies for tests: `FakeProxy` in process, `FakeProxyServer` on a port."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from sandbox_fakeproxy.api.request_log import CAPACITY
from sandbox_fakeproxy.app import create_app
from sandbox_fakeproxy.clock import Clock, ManualClock
from sandbox_fakeproxy.control.faults import Faults
from sandbox_fakeproxy.ids import derive_seed
from sandbox_fakeproxy.runtime.interface import Runtime
from sandbox_fakeproxy.runtime.local.runtime import LocalRuntime
from sandbox_fakeproxy.runtime.own_loop import OwnLoop
from sandbox_fakeproxy.serving.server import CALL_TIMEOUT, ServerThread
from sandbox_fakeproxy.store import Store

if TYPE_CHECKING:
    from sandbox_fakeproxy.control.fake import Fake

ADMIN_KEY = "fake-proxy-admin-key"


class FakeProxy:
    """A fake proxy in process, with the same ids and keys in every run.

    Args:
        directory: the root directory of the sandboxes' files.
        clock: the factory of the fake's clock; by default, the time changes only by `advance`.
        runtime: the factory of the fake's runtime; by default, commands run on this machine. It is
            called with those of `root=`, `clock=`, `seed=` and `as_deployed=` that it accepts. A
            `LocalRuntime` runs in an event loop of its own, and is `runtime.wrapped` then.
        admin_key: see `create_app`.
        options: the other options of `create_app`, except `store`.

    `seed`, `reset` and `set_failure_mode` are coroutines, as they may kill processes.
    """

    url = "http://fake-proxy"

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], Clock] = ManualClock,
        runtime: Callable[..., Runtime] | None = None,
        admin_key: str = ADMIN_KEY,
        **options: Any,
    ) -> None:
        options.setdefault("random", Random(0))  # noqa: S311  (keys that a test can predict)
        seed = derive_seed(options["random"])
        self.admin_key = admin_key
        self.clock = clock()
        created = _create_runtime(
            LocalRuntime if runtime is None else runtime,
            root=directory,
            clock=self.clock,
            seed=seed,
            as_deployed=options.get("as_deployed", False),
        )
        self.runtime: Runtime = OwnLoop(created) if isinstance(created, LocalRuntime) else created
        self.store = Store()
        self.app = create_app(
            admin_key=admin_key,
            clock=self.clock,
            runtime=self.runtime,
            store=self.store,
            **options,
        )
        self.transport = httpx.ASGITransport(self.app)
        self.fake: Fake = self.app.state.fake

    def user(self, username: str = "alice") -> str:
        """Add a user, and return an API key of that user."""
        return self.fake.add_user(username)

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        """Return an HTTP client that authenticates with `key`; with None, it sends no key."""
        return httpx.AsyncClient(
            transport=self.transport, base_url=self.url, headers=_auth_headers(key)
        )

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self.fake.advance(seconds)

    @property
    def faults(self) -> Faults:
        """The armed faults."""
        return self.fake.faults

    def requests(self, *, limit: int = CAPACITY, **filters: Any) -> list[dict[str, Any]]:
        """Return the last matching requests, newest first: see `Fake.requests`."""
        return self.fake.requests(limit=limit, **filters)

    def assert_requested(
        self, method: str, route: str, *, times: int | None = None, **filters: Any
    ) -> None:
        """Fail unless a matching request was made: see `Fake.assert_requested`."""
        self.fake.assert_requested(method, route, times=times, **filters)

    async def wait_for_request(
        self, method: str, route: str, *, within: float = 10.0, **filters: Any
    ) -> dict[str, Any]:
        """Wait for a matching request to be complete: see `Fake.wait_for_request`."""
        return await self.fake.wait_for_request(method, route, within=within, **filters)

    def state(self) -> dict[str, Any]:
        """Return the current users, keys and sandboxes: see `Fake.state`."""
        return self.fake.state()

    async def seed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replace all state by that of a document: see `Fake.seed`."""
        return await self.fake.seed(document)

    async def reset(self) -> None:
        """Delete all state except the time: see `Fake.reset`."""
        await self.fake.reset()

    async def set_failure_mode(self, username: str, name: str, failure_mode: str) -> dict[str, Any]:
        """Set the failure mode of a sandbox: see `Fake.set_failure_mode`."""
        return await self.fake.set_failure_mode(username, name, failure_mode)

    def close(self) -> None:
        """Kill all running commands."""
        if isinstance(self.runtime, OwnLoop):
            self.runtime.end()
        else:
            # In a thread, as this one may have a running event loop, or one that must stay set.
            closing = threading.Thread(target=lambda: asyncio.run(self.runtime.close()))
            closing.start()
            closing.join()
        self.store.close()


class FakeProxyServer:
    """A fake proxy on a port of this machine, served by its own thread until the block's end.

    It has the parameters and methods of `FakeProxy`. No method is a coroutine, and any thread may
    call them.
    """

    def __init__(self, directory: Path, **options: Any) -> None:
        self._proxy = FakeProxy(directory, **options)
        self._thread = ServerThread(self._proxy.app)
        self._proxy.faults.has_port = True
        self.faults = ThreadSafeFaults(self._proxy.faults, self._thread)
        self._clients: list[httpx.Client] = []
        self.admin_key = self._proxy.admin_key
        self.clock = self._proxy.clock
        self.runtime = self._proxy.runtime
        self.store = self._proxy.store

    @property
    def url(self) -> str:
        """The base URL of the server, available from the block's start on."""
        return self._thread.url

    def __enter__(self) -> Self:
        self._thread.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        try:
            # The server waits for its open requests at its end, and those wait for their commands.
            self._thread.call(self.runtime.close())
        finally:
            self._thread.__exit__(exc_type, exc, traceback)
            self._proxy.close()

    def user(self, username: str = "alice") -> str:
        """Add a user, and return an API key of that user."""
        return self._thread.run(lambda: self._proxy.user(username))

    def client(self, key: str | None = None) -> httpx.Client:
        """Return an HTTP client that authenticates with `key`; it is closed with the server."""
        client = httpx.Client(base_url=self.url, headers=_auth_headers(key), trust_env=False)
        self._clients.append(client)
        return client

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self._thread.run(lambda: self._proxy.advance(seconds))

    def stop(self) -> None:
        """Simulate an outage: close all connections and refuse new ones; commands keep running."""
        self._thread.stop()

    def start(self) -> None:
        """End an outage; the server listens on the same port again."""
        self._thread.start()

    def requests(self, *, limit: int = CAPACITY, **filters: Any) -> list[dict[str, Any]]:
        """Return the last matching requests, newest first: see `Fake.requests`."""
        return self._thread.run(lambda: self._proxy.requests(limit=limit, **filters))

    def assert_requested(
        self, method: str, route: str, *, times: int | None = None, **filters: Any
    ) -> None:
        """Fail unless a matching request was made: see `Fake.assert_requested`."""
        self._thread.run(
            lambda: self._proxy.assert_requested(method, route, times=times, **filters)
        )

    def wait_for_request(
        self, method: str, route: str, *, within: float = 10.0, **filters: Any
    ) -> dict[str, Any]:
        """Wait for a matching request to be complete: see `Fake.wait_for_request`."""
        return self._thread.call(
            self._proxy.wait_for_request(method, route, within=within, **filters),
            timeout=within + CALL_TIMEOUT,
        )

    def state(self) -> dict[str, Any]:
        """Return the current users, keys and sandboxes: see `Fake.state`."""
        return self._thread.run(self._proxy.state)

    def seed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replace all state by that of a document: see `Fake.seed`."""
        return self._thread.call(self._proxy.seed(document))

    def reset(self) -> None:
        """Delete all state except the time: see `Fake.reset`."""
        self._thread.call(self._proxy.reset())

    def set_failure_mode(self, username: str, name: str, failure_mode: str) -> dict[str, Any]:
        """Set the failure mode of a sandbox: see `Fake.set_failure_mode`."""
        return self._thread.call(self._proxy.set_failure_mode(username, name, failure_mode))


class ThreadSafeFaults:
    """The armed faults of a fake on a port; any thread may use them."""

    def __init__(self, faults: Faults, thread: ServerThread) -> None:
        self._faults = faults
        self._thread = thread

    def add(self, **fields: Any) -> None:
        """Arm one more fault: see `Faults.add`."""
        self._thread.run(lambda: self._faults.add(**fields))

    def replace(self, document: object) -> None:
        """Replace all armed faults by those of a document: see `Faults.replace`."""
        self._thread.run(lambda: self._faults.replace(document))

    def clear(self) -> None:
        """Disarm all faults."""
        self._thread.run(self._faults.clear)

    def armed(self) -> list[dict[str, Any]]:
        """Return the armed faults: see `Faults.armed`."""
        return self._thread.run(self._faults.armed)


def _create_runtime(factory: Callable[..., Runtime], **arguments: Any) -> Runtime:
    """Call the runtime factory with the keyword arguments that it accepts."""
    accepted = inspect.signature(factory).parameters
    return factory(**{name: value for name, value in arguments.items() if name in accepted})


def _auth_headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}
