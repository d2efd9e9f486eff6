"""The fake as a process: state on disk, a socket, and an end that leaves nothing running."""

import asyncio
import logging
import signal
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from ._app import create_app
from ._banner import Greeting, banner
from ._data import DataDirectory, opened
from ._isolation import Choice
from ._listener import Listener, listen
from ._local import LocalRuntime
from ._mint import Mint
from ._runtime import Runtime
from ._store import Store

_GRACE = 0.3  # seconds for replies under way, once their commands are killed


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person may choose. Times are in seconds; without `data`, state is in memory."""

    host: str
    port: int
    allow_remote: bool
    data: Path | None
    ready_after: float
    reconcile_delay: float
    command_timeout: float
    isolation: Choice
    verbose: bool


def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Serve until a signal comes.

    Raises:
        DataUnusable: the state cannot be kept there.
        IsolationUnavailable: commands cannot be isolated as was asked.
        ListenerRefused: the fake cannot listen there.
        StoreUnusable: the state there is not ours.
        UnusableAdminKey: the admin key is not one that a header can carry.
    """
    with opened(settings.data) as data:
        listener = listen(settings.host, settings.port, allow_remote=settings.allow_remote)
        with listener.socket:
            _serve(settings, data, listener, environ.get("ADMIN_API_KEY", "").strip())


def _serve(settings: Settings, data: DataDirectory, listener: Listener, given_key: str) -> None:
    store = Store(data.database if settings.data else None)
    runtime = LocalRuntime(data.sandboxes, isolation=settings.isolation)
    admin_key, is_new = (given_key, False) if given_key else data.admin_key(Mint())
    app = create_app(
        admin_key=admin_key,
        runtime=runtime,
        store=store,
        ready_after=settings.ready_after,
        reconcile_delay=settings.reconcile_delay,
        command_timeout=settings.command_timeout,
        allowed_hosts=listener.allowed_hosts,
    )
    runtime.recover(store.sandbox_ids())
    greeting = Greeting(
        url=listener.url,
        state=settings.data and data.path,
        admin_key_file=None if given_key or settings.data is None else data.admin_key_file,
        new_admin_key=admin_key if is_new else None,
        username=_free_username(store),
    )
    server = _Server(app, runtime, verbose=settings.verbose)
    try:
        server.run_on(listener.socket, banner(greeting))
    finally:
        store.close()


def _free_username(store: Store) -> str:
    number = 1
    while store.has_username(name := f"dev{number}"):
        number += 1
    return name


class _Server(uvicorn.Server):
    """uvicorn, except for how it starts and ends."""

    def __init__(self, app: Starlette, runtime: Runtime, *, verbose: bool) -> None:
        self._runtime = runtime
        self._banner = ""
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                ws="none",
                log_config=None,
                access_log=verbose,
                timeout_graceful_shutdown=1,
            )
        )
        _set_up_logging(verbose=verbose)

    def run_on(self, listening: socket.socket, text: str) -> None:
        """Serve on a socket, and print `text` once requests are answered."""
        self._banner = text
        asyncio.run(self.serve(sockets=[listening]))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._banner, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for requests under way, and those wait for their commands.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await self._runtime.close()
        if self.server_state.tasks:
            _, late = await asyncio.wait(self.server_state.tasks, timeout=_GRACE)
            for task in late:
                task.cancel()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn raises the signal again at the end, which would make an orderly stop a failure.
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _set_up_logging(*, verbose: bool) -> None:
    """Log defects, and with `verbose` requests: method, path and status, never a header."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO if verbose else logging.CRITICAL)
