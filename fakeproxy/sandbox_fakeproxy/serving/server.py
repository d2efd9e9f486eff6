"""Serve an ASGI app on a local port, in a background thread."""

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

CALL_TIMEOUT = 30.0  # seconds for a call, and for the thread's end
_GRACE_PERIOD = 0.3  # seconds for responses in progress, before their connections are closed
_NOT_RUNNING = "The fake proxy's server does not run: use it inside its `with` block"
_SERVER_THREAD = (
    "This is the thread of the fake proxy's server, which would wait for itself: await the methods"
    " of the app's `state.fake` instead"
)
_T = TypeVar("_T")


class ServerThread:
    """Serve an app in an event loop that runs until the end of the `with` block.

    `stop` and `start` simulate an outage: the app, its event loop and the port stay the same.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._url: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # None outside the block
        self._thread = threading.Thread(target=self._run_loop, name="fake-proxy", daemon=True)
        self._server: _ThreadedServer | None = None  # None while it is stopped
        self._server_lock = threading.Lock()  # held while the server is started or stopped

    @property
    def url(self) -> str:
        """The server's URL, which is known from the start of the block."""
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
            self._stop_loop(self._loop)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._stop_server(_GRACE_PERIOD)
        finally:
            if self._loop is not None:
                self._stop_loop(self._loop)

    def start(self) -> None:
        """Start the server on the same port; do nothing if it runs.

        Raises:
            RuntimeError: another program has taken the port, or the block has ended.
        """
        with self._server_lock:
            if self._server is None:
                self._serve(self._reopen_listener())

    def stop(self) -> None:
        """Close all connections immediately and refuse new ones; do nothing if it is stopped."""
        self._stop_server(grace=0)

    def call(self, work: Coroutine[Any, Any, _T], timeout: float = CALL_TIMEOUT) -> _T:
        """Run a coroutine in the server's event loop, and return its result.

        Raises:
            RuntimeError: the event loop does not run, or belongs to this thread.
            TimeoutError: the coroutine took longer than `timeout` seconds, and was cancelled.
        """
        loop = self._loop
        if loop is None or threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError(_NOT_RUNNING if loop is None else _SERVER_THREAD)
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            if not future.cancel():  # it has ended, and raised this TimeoutError itself
                raise
            raise TimeoutError(
                f"The fake proxy at {self.url} did not answer its test within {timeout:g} s;"
                " something may block its event loop"
            ) from None

    def run(self, work: Callable[[], _T]) -> _T:
        """Call a function in the server's event loop, and return its result."""

        async def call() -> _T:
            return work()

        return self.call(call())

    def _reopen_listener(self) -> ListeningSocket:
        try:
            return listen("127.0.0.1", urlsplit(self.url).port or 0, allow_remote=False)
        except ListenerRefused as exc:
            message = f"Another program has taken the address {self.url} since the stop"
            raise RuntimeError(message) from exc

    def _serve(self, listener: ListeningSocket) -> None:
        try:
            self._server = self.call(self._start_server(listener))
        except BaseException:
            listener.socket.close()
            raise

    async def _start_server(self, listener: ListeningSocket) -> "_ThreadedServer":
        server = _ThreadedServer(self._app)
        server.serving = asyncio.ensure_future(server.serve(sockets=[listener.socket]))
        started = asyncio.ensure_future(server.has_started.wait())
        await asyncio.wait({server.serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if server.serving.done():
            server.serving.result()
        return server

    def _stop_server(self, grace: float) -> None:
        with self._server_lock:
            server, self._server = self._server, None
            if server is not None:
                self.call(server.stop(grace))

    def _stop_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = None
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(CALL_TIMEOUT)
        if self._thread.is_alive():
            raise RuntimeError(f"The server at {self.url} did not stop within {CALL_TIMEOUT:g} s")

    def _run_loop(self) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101  (set before the thread starts)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop().run_forever()


class _ThreadedServer(uvicorn.Server):
    """A uvicorn server that signals its start, and stops without uvicorn's delays."""

    serving: asyncio.Task[None]

    def __init__(self, app: ASGIApp) -> None:
        self.has_started = asyncio.Event()
        config = uvicorn.Config(
            app,
            http=LimitedHttpProtocol,
            lifespan="off",  # lifespan shutdown would close the runtime
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
        """Stop listening, and close all connections after `grace` seconds.

        The connections are closed earlier if no response is in progress.
        """
        for server in self.servers:
            server.close()
        if grace and self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=grace)
        for connection in list(self.server_state.connections):
            cast("LimitedHttpProtocol", connection).abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        self.should_exit = True
        await self.serving
