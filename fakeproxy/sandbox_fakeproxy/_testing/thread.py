"""An app on a port of this machine, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn
from starlette.types import ASGIApp

from sandbox_fakeproxy._serving.listener import listen
from sandbox_fakeproxy._serving.protocol import LimitedHttpProtocol

_PATIENCE = 30.0  # seconds until something that takes one counts as stuck
_T = TypeVar("_T")


class ServerThread:
    """Serve an app until the block's end, with all that it has under way."""

    def __init__(self, app: ASGIApp) -> None:
        listener = listen("127.0.0.1", 0, allow_remote=False)
        self.url = listener.url
        self._socket = listener.socket
        self._server = _Server(app)
        self._thread = threading.Thread(
            target=self._server.run_on, args=[self._socket], name="fake-proxy", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._server.has_started.wait(_PATIENCE):
            raise RuntimeError(f"The server at {self.url} did not start within {_PATIENCE:g} s")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(_PATIENCE)
        self._socket.close()
        if self._thread.is_alive():
            raise RuntimeError(f"The server at {self.url} did not stop within {_PATIENCE:g} s")

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do some work in the server's own loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._server.loop).result(_PATIENCE)


class _Server(uvicorn.Server):
    """uvicorn, except that it tells when it has started, and in which loop."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, app: ASGIApp) -> None:
        self.has_started = threading.Event()
        config = uvicorn.Config(
            app,
            http=LimitedHttpProtocol,
            lifespan="auto",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)

    def run_on(self, listening: socket.socket) -> None:
        """Serve on a socket."""
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            runner.run(self.serve(sockets=[listening]))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()
