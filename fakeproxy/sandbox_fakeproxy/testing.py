"""The fake as a test holds it: in process, or on a port of its own."""

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
from sandbox_fakeproxy.ids import seed_of
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

    `clock` and `runtime` make the fake's clock and runtime: unless others
    are named, a clock that stands still until it is moved, and this machine, below `directory`.
    `runtime` is called with `root=`, `clock=`, `seed=` and `as_deployed=`, as far as it takes them.
    `options` are the others of `create_app`, except for the store. What may end processes is to be
    awaited.
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
        options.setdefault("random", Random(0))  # noqa: S311  (keys that a test can foretell)
        seed = seed_of(options["random"])
        self.admin_key = admin_key
        self.clock = clock()
        made = _made(
            LocalRuntime if runtime is None else runtime,
            root=directory,
            clock=self.clock,
            seed=seed,
            as_deployed=options.get("as_deployed", False),
        )
        self.runtime: Runtime = OwnLoop(made) if isinstance(made, LocalRuntime) else made
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
        """Add a user, and return an API key of that user's."""
        return self.fake.add_user(username)

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        """Return an HTTP client that sends a key."""
        return httpx.AsyncClient(
            transport=self.transport, base_url=self.url, headers=_authorization(key)
        )

    def advance(self, seconds: float) -> None:
        """Move time on."""
        self.fake.advance(seconds)

    @property
    def faults(self) -> Faults:
        """The armed faults."""
        return self.fake.faults

    def requests(self, *, limit: int = CAPACITY, **chosen: Any) -> list[dict[str, Any]]:
        """Return the last requests that fit, the newest first: see `Fake.requests`."""
        return self.fake.requests(limit=limit, **chosen)

    def assert_requested(
        self, method: str, route: str, *, times: int | None = None, **chosen: Any
    ) -> None:
        """Fail unless there was such a request: see `Fake.assert_requested`."""
        self.fake.assert_requested(method, route, times=times, **chosen)

    async def wait_for_request(
        self, method: str, route: str, *, within: float = 10.0, **chosen: Any
    ) -> dict[str, Any]:
        """Return such a request once it is over: see `Fake.wait_for_request`."""
        return await self.fake.wait_for_request(method, route, within=within, **chosen)

    def state(self) -> dict[str, Any]:
        """Return users, keys and sandboxes as they are now."""
        return self.fake.state()

    async def seed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the whole state by a document; return it with its new keys."""
        return await self.fake.seed(document)

    async def reset(self) -> None:
        """Forget all but the time."""
        await self.fake.reset()

    async def set_failure_mode(self, username: str, name: str, failure_mode: str) -> dict[str, Any]:
        """Have something become of a sandbox."""
        return await self.fake.set_failure_mode(username, name, failure_mode)

    def close(self) -> None:
        """Kill all running commands."""
        if isinstance(self.runtime, OwnLoop):
            self.runtime.end()
        else:
            # In a thread, as a loop may run in this one, or may have run and must not be replaced.
            closing = threading.Thread(target=lambda: asyncio.run(self.runtime.close()))
            closing.start()
            closing.join()
        self.store.close()


class FakeProxyServer:
    """A fake proxy on a port of this machine until the block's end, in a thread of its own.

    It is made as `FakeProxy` is, and does the same for anything that speaks HTTP; none of its
    methods is awaited, and all may be called from any thread.
    """

    def __init__(self, directory: Path, **options: Any) -> None:
        self._proxy = FakeProxy(directory, **options)
        self._thread = ServerThread(self._proxy.app)
        self._proxy.faults.has_port = True
        self.faults = ServedFaults(self._proxy.faults, self._thread)
        self._clients: list[httpx.Client] = []
        self.admin_key = self._proxy.admin_key
        self.clock = self._proxy.clock
        self.runtime = self._proxy.runtime
        self.store = self._proxy.store

    @property
    def url(self) -> str:
        """The address of the server, which is known from the block's start on."""
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
            # A server that ends waits for its requests, and those wait for their commands.
            self._thread.call(self.runtime.close())
        finally:
            self._thread.__exit__(exc_type, exc, traceback)
            self._proxy.close()

    def user(self, username: str = "alice") -> str:
        """Add a user, and return an API key of that user's."""
        return self._thread.run(lambda: self._proxy.user(username))

    def client(self, key: str | None = None) -> httpx.Client:
        """Return an HTTP client that sends a key, and is closed when the server is."""
        client = httpx.Client(base_url=self.url, headers=_authorization(key), trust_env=False)
        self._clients.append(client)
        return client

    def advance(self, seconds: float) -> None:
        """Move time on."""
        self._thread.run(lambda: self._proxy.advance(seconds))

    def stop(self) -> None:
        """Play an outage: end all connections and refuse new ones. State and commands go on."""
        self._thread.stop()

    def start(self) -> None:
        """End an outage, on the same port."""
        self._thread.start()

    def requests(self, *, limit: int = CAPACITY, **chosen: Any) -> list[dict[str, Any]]:
        """Return the last requests that fit, the newest first: see `Fake.requests`."""
        return self._thread.run(lambda: self._proxy.requests(limit=limit, **chosen))

    def assert_requested(
        self, method: str, route: str, *, times: int | None = None, **chosen: Any
    ) -> None:
        """Fail unless there was such a request: see `Fake.assert_requested`."""
        self._thread.run(lambda: self._proxy.assert_requested(method, route, times=times, **chosen))

    def wait_for_request(
        self, method: str, route: str, *, within: float = 10.0, **chosen: Any
    ) -> dict[str, Any]:
        """Return such a request once it is over: see `Fake.wait_for_request`."""
        return self._thread.call(
            self._proxy.wait_for_request(method, route, within=within, **chosen),
            timeout=within + CALL_TIMEOUT,
        )

    def state(self) -> dict[str, Any]:
        """Return users, keys and sandboxes as they are now."""
        return self._thread.run(self._proxy.state)

    def seed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the whole state by a document; return it with its new keys."""
        return self._thread.call(self._proxy.seed(document))

    def reset(self) -> None:
        """Forget all but the time."""
        self._thread.call(self._proxy.reset())

    def set_failure_mode(self, username: str, name: str, failure_mode: str) -> dict[str, Any]:
        """Have something become of a sandbox."""
        return self._thread.call(self._proxy.set_failure_mode(username, name, failure_mode))


class ServedFaults:
    """The armed faults of a fake on a port, for use from any thread."""

    def __init__(self, faults: Faults, thread: ServerThread) -> None:
        self._faults = faults
        self._thread = thread

    def add(self, **fields: Any) -> None:
        """Arm one more fault: see `Faults.add`."""
        self._thread.run(lambda: self._faults.add(**fields))

    def replace(self, document: object) -> None:
        """Arm exactly the faults of a document: see `Faults.replace`."""
        self._thread.run(lambda: self._faults.replace(document))

    def clear(self) -> None:
        """Disarm all faults."""
        self._thread.run(self._faults.clear)

    def armed(self) -> list[dict[str, Any]]:
        """Return the armed faults: see `Faults.armed`."""
        return self._thread.run(self._faults.armed)


def _made(runtime: Callable[..., Runtime], **offered: Any) -> Runtime:
    """Call the runtime factory with the keyword arguments that it accepts."""
    taken = inspect.signature(runtime).parameters
    return runtime(**{name: value for name, value in offered.items() if name in taken})


def _authorization(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}
