"""An app on a port of this machine, in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from sandbox_fakeproxy.clock import SteadyEventLoop
from sandbox_fakeproxy.serving.listener import ListenerRefused, ListeningSocket, listen
from sandbox_fakeproxy.serving.protocol import LimitedHttpProtocol

PATIENCE = 30.0  # seconds, after which a call or the end of the thread counts as stuck
_GRACE = 0.3  # seconds for answers under way, before their connections end
_NOT_RUNNING = "The fake proxy's server does not run: use it inside its `with` block"
_OWN_THREAD = (
    "This is the thread of the fake proxy's server, which would wait for itself: await the methods"
    " of the app's `state.fake` instead"
)
_T = TypeVar("_T")


class ServerThread:
    """Serve an app in an event loop that lasts until the block's end.

    `stop` and `start` play an outage: the app, its loop and the port stay the same.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._url: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # inside the block
        self._thread = threading.Thread(target=self._run, name="fake-proxy", daemon=True)
        self._server: _ThreadedServer | None = None  # unless it is stopped
        self._changing = threading.Lock()  # held while the server is started or stopped

    @property
    def url(self) -> str:
        """The address, which is known from the block's start on."""
        if self._url is None:
            raise RuntimeError(_NOT_RUNNING)
        return self._url

    def __enter__(self) -> Self:
        listener = listen("127.0.0.1", 0, allow_remote=False)
        self._url = listener.url
        self._loop = SteadyEventLoop()
        self._thread.start()
        try:
            self._serve(listener)
        except BaseException:
            self._end_loop(self._loop)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end_server(_GRACE)
        finally:
            if self._loop is not None:
                self._end_loop(self._loop)

    def start(self) -> None:
        """Serve; without effect while it serves.

        Raises:
            RuntimeError: another program has taken the port, or the block is over.
        """
        with self._changing:
            if self._server is None:
                self._serve(self._listen_again())

    def stop(self) -> None:
        """End all connections at once and refuse new ones; without effect while it is stopped."""
        self._end_server(grace=0)

    def call(self, work: Coroutine[Any, Any, _T], timeout: float = PATIENCE) -> _T:
        """Run a coroutine in the server's loop, and return its result.

        Raises:
            RuntimeError: the loop does not run, or is this thread's own.
            TimeoutError: the coroutine was not over within `timeout` seconds, and was cancelled.
        """
        loop = self._loop
        if loop is None or threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError(_NOT_RUNNING if loop is None else _OWN_THREAD)
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            if not future.cancel():  # it is over, and the error is its own
                raise
            raise TimeoutError(
                f"The fake proxy at {self.url} did not answer its test within {timeout:g} s;"
                " something may block its event loop"
            ) from None

    def run(self, work: Callable[[], _T]) -> _T:
        """Call a function in the server's loop, and return its result."""

        async def call() -> _T:
            return work()

        return self.call(call())

    def _listen_again(self) -> ListeningSocket:
        try:
            return listen("127.0.0.1", urlsplit(self.url).port or 0, allow_remote=False)
        except ListenerRefused as exc:
            message = f"Another program has taken the address {self.url} since the stop"
            raise RuntimeError(message) from exc

    def _serve(self, listener: ListeningSocket) -> None:
        try:
            self._server = self.call(self._started(listener))
        except BaseException:
            listener.socket.close()
            raise

    async def _started(self, listener: ListeningSocket) -> "_ThreadedServer":
        server = _ThreadedServer(self._app)
        server.serving = asyncio.ensure_future(server.serve(sockets=[listener.socket]))
        started = asyncio.ensure_future(server.has_started.wait())
        await asyncio.wait({server.serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if server.serving.done():
            server.serving.result()
        return server

    def _end_server(self, grace: float) -> None:
        with self._changing:
            server, self._server = self._server, None
            if server is not None:
                self.call(server.stop(grace))

    def _end_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = None
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError(f"The server at {self.url} did not stop within {PATIENCE:g} s")

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101  (set before the thread starts)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop().run_forever()


class _ThreadedServer(uvicorn.Server):
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
