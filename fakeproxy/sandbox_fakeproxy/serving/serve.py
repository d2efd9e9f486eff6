"""Run the fake as a process: state on disk, a socket, and a shutdown that stops all commands."""

import asyncio
import logging
import os
import re
import signal
import socket
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import uvicorn
from starlette.applications import Starlette

from sandbox_fakeproxy.api.request_log import LOG as REQUESTS
from sandbox_fakeproxy.app import create_app, default_clock
from sandbox_fakeproxy.clock import Clock
from sandbox_fakeproxy.control.documents import InvalidDocument
from sandbox_fakeproxy.control.fake import Fake
from sandbox_fakeproxy.control.seed import Seed, parse_seed
from sandbox_fakeproxy.controller import DEFAULT_PROFILE
from sandbox_fakeproxy.ids import IdGenerator, seeded_random
from sandbox_fakeproxy.runtime.cleanup.processes import reap_orphans
from sandbox_fakeproxy.runtime.interface import Runtime
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode, Network
from sandbox_fakeproxy.runtime.local.limits import Limits
from sandbox_fakeproxy.runtime.local.runtime import LocalRuntime
from sandbox_fakeproxy.store import Store

from .banner import StartupInfo, banner, print_line
from .data_directory import DataDirectory, open_data_directory
from .listener import ListeningSocket, listen
from .protocol import LimitedHttpProtocol

_GRACE_PERIOD = 0.3  # seconds for responses in progress, after their commands are killed


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `serve`. Times are in seconds; if `data` is None, state is in memory."""

    host: str
    port: int
    allow_remote: bool
    data: Path | None
    ready_after: float
    listen_after: float
    reconcile_delay: float
    command_timeout: float | None
    isolation: IsolationMode
    network: Network
    limits: Limits
    profile: str
    runtime_api: str | None
    as_deployed: bool
    seed: int | None
    seed_file: Path | None
    log_bodies: bool
    verbose: bool


def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Serve the fake until SIGINT, SIGTERM or SIGHUP.

    Raises:
        DataUnusable: the data directory cannot be used.
        IsolationUnavailable: jails are required and do not work.
        ListenerRefused: the fake cannot or must not listen on the address.
        InvalidDocument: the seed file cannot be read or is not valid.
        StoreUnusable: the state in the data directory is not of this version.
        UnusableAdminKey: no header can carry the admin key.
    """
    seed = _read_seed_file(settings.seed_file)
    with open_data_directory(settings.data) as data:
        listener = listen(settings.host, settings.port, allow_remote=settings.allow_remote)
        with listener.socket:
            _serve(settings, data, listener, seed, _admin_key_from(environ))


def _admin_key_from(environ: Mapping[str, str]) -> str:
    """Return ADMIN_API_KEY; empty if it is unset, or a reference `${…}` that was not expanded."""
    key = environ.get("ADMIN_API_KEY", "").strip()
    return "" if re.fullmatch(r"\$\{[^{}]*\}", key) else key


def _serve(
    settings: Settings,
    data: DataDirectory,
    listener: ListeningSocket,
    seed: Seed | None,
    configured_key: str,
) -> None:
    with closing(Store(data.database if settings.data else None)) as store:
        is_new_state = store.is_new()
        clock = default_clock(store)
        runtime = _create_runtime(settings, data, store, clock)
        admin_key, is_new_key = _choose_admin_key(settings, data, configured_key)
        app = _create_app(settings, admin_key, runtime, store, clock, listener)
        runtime.recover(store.ids_with_files())
        seed_report = "" if seed is None else _apply_seed(app.state.fake, seed, is_new=is_new_state)
        info = StartupInfo(
            url=listener.url,
            isolation=runtime.isolation.description,
            state=settings.data and data.path,
            admin_key_file=None if configured_key or settings.data is None else data.admin_key_file,
            new_admin_key=admin_key if is_new_key else None,
            username=_free_username(store),
            deviations=_describe_deviations(settings),
        )
        server = _ProcessServer(app, runtime, verbose=settings.verbose)
        server.run_on(listener.socket, banner(info) + seed_report)


def _create_runtime(
    settings: Settings, data: DataDirectory, store: Store, clock: Clock
) -> LocalRuntime:
    # The seed includes the number of rows, so that no session after a restart gets the id of an
    # earlier one, which a client may still use.
    return LocalRuntime(
        data.sandboxes,
        isolation=settings.isolation,
        network=settings.network,
        limits=settings.limits,
        hides=[data.path],
        clock=clock,
        seed=None if settings.seed is None else f"{settings.seed} {store.rows_created()}",
        as_deployed=settings.as_deployed,
    )


def _choose_admin_key(
    settings: Settings, data: DataDirectory, configured_key: str
) -> tuple[str, bool]:
    """Return the admin key, and whether it was generated just now."""
    if configured_key:
        return configured_key, False
    ids = IdGenerator(None if settings.seed is None else seeded_random(f"admin {settings.seed}"))
    return data.admin_key(ids)


def _create_app(
    settings: Settings,
    admin_key: str,
    runtime: LocalRuntime,
    store: Store,
    clock: Clock,
    listener: ListeningSocket,
) -> Starlette:
    app = create_app(
        admin_key=admin_key,
        runtime=runtime,
        store=store,
        clock=clock,
        ready_after=settings.ready_after,
        listen_after=settings.listen_after,
        reconcile_delay=settings.reconcile_delay,
        command_timeout=settings.command_timeout,
        profile=settings.profile,
        runtime_api=settings.runtime_api,
        as_deployed=settings.as_deployed,
        random=_random(settings),
        allowed_hosts=listener.allowed_hosts,
        log_bodies=settings.log_bodies,
    )
    fake: Fake = app.state.fake
    fake.faults.has_port = True
    return app


def _random(settings: Settings) -> Random | None:
    return None if settings.seed is None else Random(settings.seed)  # noqa: S311  (reproducible on purpose)


def _read_seed_file(file: Path | None) -> Seed | None:
    if file is None:
        return None
    try:
        return parse_seed(file.read_bytes(), has_port=True)
    except OSError as exc:
        raise InvalidDocument(f"--seed-file {file} cannot be read: {exc.strerror}") from exc
    except InvalidDocument as exc:
        raise InvalidDocument(f"--seed-file {file}: {exc}") from exc


def _apply_seed(fake: Fake, seed: Seed, *, is_new: bool) -> str:
    """Load the seed file if the state is new; return the lines that report it.

    Keys from the file are not shown: the user has them, and terminal output may be recorded.
    """
    if not is_new:
        return "\n\nThe seed file was not used: the state here is not new, and was kept."
    supplied = {key.secret for user in seed.users for key in user.keys}
    users = fake.apply_seed(seed)["users"]
    lines = [
        f"  {user['username']}  {key['api_key']}"
        for user in users
        for key in user["keys"]
        if key["api_key"] not in supplied
    ]
    report = f"\n\nThe seed file was loaded. Users: {len(users)}."
    if not lines:
        return report
    return "\n".join([f"{report} Their generated keys, shown only now:", *lines])


def _describe_deviations(settings: Settings) -> str:
    """Describe how the options change the fake's responses; empty if they do not."""
    deviations: list[str] = []
    if settings.profile != DEFAULT_PROFILE:
        deviations.append(f"statuses as in the controller {settings.profile}")
    if settings.runtime_api is not None:
        deviations.append(f"the runtime's API {settings.runtime_api}")
    if settings.as_deployed:
        deviations.append("the deployed proxy's quirks and bugs")
    return "; ".join(deviations)


def _free_username(store: Store) -> str:
    number = 1
    while store.has_username(name := f"dev{number}"):
        number += 1
    return name


class _ProcessServer(uvicorn.Server):
    """A uvicorn server that prints the banner, and stops the runtime before its connections."""

    def __init__(self, app: Starlette, runtime: Runtime, *, verbose: bool) -> None:
        self._runtime = runtime
        self._banner = ""
        super().__init__(
            uvicorn.Config(
                app,
                http=LimitedHttpProtocol,
                lifespan="on",
                ws="none",
                log_config=None,
                access_log=False,  # it would show keys, which the request log masks
                server_header=False,  # the deployed proxy is not uvicorn
                timeout_graceful_shutdown=1,
            )
        )
        _set_up_logging(verbose=verbose)

    def run_on(self, listener: socket.socket, text: str) -> None:
        """Serve on a socket, and print `text` once the server has started."""
        self._banner = text
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            runner.run(self._serve_and_reap(listener))

    async def _serve_and_reap(self, listener: socket.socket) -> None:
        reaper = asyncio.ensure_future(reap_orphans()) if os.getpid() == 1 else None
        await self.serve(sockets=[listener])
        if reaper is not None:
            reaper.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print_line(self._banner)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for the requests in progress, which wait for their commands.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await self._runtime.close()
        if self.server_state.tasks:
            _, unfinished = await asyncio.wait(self.server_state.tasks, timeout=_GRACE_PERIOD)
            for task in unfinished:
                task.cancel()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn would raise the signal again at the end, so that an orderly stop would look like a
        # failure.
        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which it is under nohup
            signals.append(signal.SIGHUP)
        previous = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _set_up_logging(*, verbose: bool) -> None:
    """Log errors to stderr and, if `verbose`, each request as the request log describes it."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    REQUESTS.setLevel(logging.INFO if verbose else logging.CRITICAL)
