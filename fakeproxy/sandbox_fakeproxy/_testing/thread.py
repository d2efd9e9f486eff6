"""An app on a port of this machine, in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from sandbox_fakeproxy._serving.listener import Listener, listen
from sandbox_fakeproxy._serving.protocol import LimitedHttpProtocol

PATIENCE = 30.0  # seconds until something that takes one counts as stuck
_GRACE = 0.3  # seconds for answers under way, before their connections end
_T = TypeVar("_T")


class ServerThread:
    """Serve an app in an event loop that lasts until the block's end.

    `stop` and `start` play an outage: the app, its loop and the port stay the same.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._listener: Listener | None = listen("127.0.0.1", 0, allow_remote=False)
        self.url = self._listener.url
        self._server: _Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._server is not None:
                self.call(self._stop(self._server, grace=_GRACE))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError(f"The server at {self.url} did not stop within {PATIENCE:g} s")

    def start(self) -> None:
        """Serve; without effect while it serves.

        Raises:
            ListenerRefused: another program has taken the port since the stop.
        """
        if self._server is None:
            listener = self._listener or listen(
                "127.0.0.1", urlsplit(self.url).port or 0, allow_remote=False
            )
            self._listener = None
            self.call(self._start(listener))

    def stop(self) -> None:
        """End all connections at once and refuse new ones; without effect while it is stopped."""
        if self._server is not None:
            self.call(self._stop(self._server, grace=0))

    def call(self, work: Coroutine[Any, Any, _T], timeout: float = PATIENCE) -> _T:
        """Run a coroutine in the server's loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def run(self, work: Callable[[], _T]) -> _T:
        """Call a function in the server's loop, and return its result."""

        async def call() -> _T:
            return work()

        return self.call(call())

    async def _start(self, listener: Listener) -> None:
        self._server = server = _Server(self._app)
        server.serving = asyncio.ensure_future(server.serve(sockets=[listener.socket]))
        started = asyncio.ensure_future(server.has_started.wait())
        await asyncio.wait({server.serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if server.serving.done():
            server.serving.result()

    async def _stop(self, server: "_Server", grace: float) -> None:
        await server.stop(grace)
        self._server = None

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()


class _Server(uvicorn.Server):
    """uvicorn, except that it tells when it has started, and that its end is not delayed."""

    serving: asyncio.Task[None]

    def __init__(self, app: ASGIApp) -> None:
        self.has_started = asyncio.Event()
        config = uvicorn.Config(
            app,
            http=LimitedHttpProtocol,
            lifespan="off",  # its end would close the runtime
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()

    async def stop(self, grace: float) -> None:
        """Stop listening, wait `grace` seconds for answers under way, and end all connections."""
        for server in self.servers:
            server.close()
        if grace and self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=grace)
        for connection in list(self.server_state.connections):
            cast("LimitedHttpProtocol", connection).drop()
        for task in list(self.server_state.tasks):
            task.cancel()
        self.should_exit = True
        await self.serving
