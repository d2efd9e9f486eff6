"""The fake as a test holds it: in process, or on a port of its own."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from sandbox_fakeproxy._app import create_app
from sandbox_fakeproxy._clock import Clock, ManualClock
from sandbox_fakeproxy._local.runtime import LocalRuntime
from sandbox_fakeproxy._mint import seed_of
from sandbox_fakeproxy._proxy.journal import CAPACITY
from sandbox_fakeproxy._runtime.interface import Runtime
from sandbox_fakeproxy._state.store import Store

from .own_loop import OwnLoop
from .thread import ServerThread

if TYPE_CHECKING:
    from sandbox_fakeproxy._control.fake import Fake

ADMIN_KEY = "fake-proxy-admin-key"
_T = TypeVar("_T")


class FakeProxy:
    """A fake proxy in process, with the same ids and keys in every run.

    `clock` and `runtime` make what the fake tells time by and runs commands with: unless others
    are named, a clock that stands still until it is moved, and this machine, below `directory`.
    `runtime` is called with `clock=` and `seed=`, as far as it takes them. `options` are the others
    of `create_app`, except for the store. What may end processes is to be awaited.
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
        self.runtime: Runtime = (
            OwnLoop(LocalRuntime(directory, seed=seed))
            if runtime is None
            else _made(runtime, clock=self.clock, seed=seed)
        )
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

    def journal(self, limit: int = CAPACITY) -> list[dict[str, Any]]:
        """Return the last requests, newest first."""
        return self.fake.journal(limit)

    def state(self) -> dict[str, Any]:
        """Return users, keys and sandboxes as they are now."""
        return self.fake.state()

    async def seed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replace all there is by what a document describes; return it with its new keys."""
        return await self.fake.seed(document)

    async def reset(self) -> None:
        """Forget all but the time."""
        await self.fake.reset()

    async def set_fate(self, username: str, name: str, fate: str) -> dict[str, Any]:
        """Have something become of a sandbox."""
        return await self.fake.set_fate(username, name, fate)

    def close(self) -> None:
        """Kill what still runs."""
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

    It is made as `FakeProxy` is, and does what that does, for anything that speaks HTTP; none of
    it is awaited, and all of it may be called from any thread.
    """

    def __init__(self, directory: Path, **options: Any) -> None:
        self._proxy = FakeProxy(directory, **options)
        self._thread = ServerThread(self._proxy.app)
        self._clients: list[httpx.Client] = []
        self.url = self._thread.url
        self.admin_key = self._proxy.admin_key
        self.clock = self._proxy.clock
        self.runtime = self._proxy.runtime
        self.store = self._proxy.store

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
        return self._in_its_loop(lambda: self._proxy.user(username))

    def client(self, key: str | None = None) -> httpx.Client:
        """Return an HTTP client that sends a key, and is closed when the server is."""
        client = httpx.Client(base_url=self.url, headers=_authorization(key), trust_env=False)
        self._clients.append(client)
        return client

    def advance(self, seconds: float) -> None:
        """Move time on."""
        self._in_its_loop(lambda: self._proxy.advance(seconds))

    def journal(self, limit: int = CAPACITY) -> list[dict[str, Any]]:
        """Return the last requests, newest first."""
        return self._in_its_loop(lambda: self._proxy.journal(limit))

    def state(self) -> dict[str, Any]:
        """Return users, keys and sandboxes as they are now."""
        return self._in_its_loop(self._proxy.state)

    def seed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Replace all there is by what a document describes; return it with its new keys."""
        return self._thread.call(self._proxy.seed(document))

    def reset(self) -> None:
        """Forget all but the time."""
        self._thread.call(self._proxy.reset())

    def set_fate(self, username: str, name: str, fate: str) -> dict[str, Any]:
        """Have something become of a sandbox."""
        return self._thread.call(self._proxy.set_fate(username, name, fate))

    def _in_its_loop(self, work: Callable[[], _T]) -> _T:
        async def there() -> _T:
            return work()

        return self._thread.call(there())


def _made(runtime: Callable[..., Runtime], **offered: Any) -> Runtime:
    """Call what makes a runtime, with what it takes of what there is."""
    taken = inspect.signature(runtime).parameters
    return runtime(**{name: value for name, value in offered.items() if name in taken})


def _authorization(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}
