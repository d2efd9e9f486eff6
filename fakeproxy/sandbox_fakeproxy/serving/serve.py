"""The fake as a process: state on disk, a socket, and an end that leaves nothing running."""

import asyncio
import logging
import os
import re
import signal
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import uvicorn
from starlette.applications import Starlette

from sandbox_fakeproxy.api.request_log import LOG as REQUESTS
from sandbox_fakeproxy.app import create_app
from sandbox_fakeproxy.control.documents import InvalidDocument
from sandbox_fakeproxy.control.fake import Fake
from sandbox_fakeproxy.control.seed import Seed, parse_seed
from sandbox_fakeproxy.controller import DEFAULT_PROFILE
from sandbox_fakeproxy.ids import IdGenerator, seeded
from sandbox_fakeproxy.runtime.cleanup.processes import reap_orphans
from sandbox_fakeproxy.runtime.interface import Runtime
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode, Network
from sandbox_fakeproxy.runtime.local.limits import Limits
from sandbox_fakeproxy.runtime.local.runtime import LocalRuntime
from sandbox_fakeproxy.store import Store

from .banner import Greeting, banner, say
from .data_directory import DataDirectory, opened
from .listener import ListeningSocket, listen
from .protocol import LimitedHttpProtocol

_GRACE = 0.3  # seconds for replies under way, once their commands are killed


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `serve`. Times are in seconds; without `data`, state is in memory."""

    host: str
    port: int
    allow_remote: bool
    data: Path | None
    ready_after: float
    reconcile_delay: float
    command_timeout: float | None
    isolation: IsolationMode
    network: Network
    limits: Limits
    profile: str
    as_deployed: bool
    seed: int | None
    seed_file: Path | None
    log_bodies: bool
    verbose: bool


def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Serve until a signal comes.

    Raises:
        DataUnusable: the state cannot be kept there.
        IsolationUnavailable: commands cannot be isolated as was asked.
        ListenerRefused: the fake cannot listen there.
        InvalidDocument: the seed file cannot be read, or does not describe a world.
        StoreUnusable: the state there is not ours.
        UnusableAdminKey: the admin key is not one that a header can carry.
    """
    seed = _read_seed_file(settings.seed_file)
    with opened(settings.data) as data:
        listener = listen(settings.host, settings.port, allow_remote=settings.allow_remote)
        with listener.socket:
            _serve(settings, data, listener, seed, _given_key(environ))


def _given_key(environ: Mapping[str, str]) -> str:
    """Return the admin key of the environment; empty if it is unset or an unexpanded reference."""
    key = environ.get("ADMIN_API_KEY", "").strip()
    return "" if re.fullmatch(r"\$\{[^{}]*\}", key) else key


def _serve(
    settings: Settings,
    data: DataDirectory,
    listener: ListeningSocket,
    seed: Seed | None,
    given_key: str,
) -> None:
    store = Store(data.database if settings.data else None)
    is_new_state = store.is_new()
    # A restart goes on where sessions are concerned, too: no client's old id names a new one.
    runtime = LocalRuntime(
        data.sandboxes,
        isolation=settings.isolation,
        network=settings.network,
        limits=settings.limits,
        hides=[data.path],
        seed=None if settings.seed is None else f"{settings.seed} {store.rows_made()}",
        as_deployed=settings.as_deployed,
    )
    admin_mint = IdGenerator(None if settings.seed is None else seeded(f"admin {settings.seed}"))
    admin_key, is_new = (given_key, False) if given_key else data.admin_key(admin_mint)
    app = create_app(
        admin_key=admin_key,
        runtime=runtime,
        store=store,
        ready_after=settings.ready_after,
        reconcile_delay=settings.reconcile_delay,
        command_timeout=settings.command_timeout,
        profile=settings.profile,
        as_deployed=settings.as_deployed,
        random=_random(settings),
        allowed_hosts=listener.allowed_hosts,
        log_bodies=settings.log_bodies,
    )
    fake: Fake = app.state.fake
    fake.faults.has_port = True
    runtime.recover(store.ids_with_files())
    planted = "" if seed is None else _plant(fake, seed, is_new=is_new_state)
    greeting = Greeting(
        url=listener.url,
        commands=runtime.isolation.description,
        state=settings.data and data.path,
        admin_key_file=None if given_key or settings.data is None else data.admin_key_file,
        new_admin_key=admin_key if is_new else None,
        username=_free_username(store),
        answers=_answers(settings),
    )
    server = _ProcessServer(app, runtime, verbose=settings.verbose)
    try:
        server.run_on(listener.socket, banner(greeting) + planted)
    finally:
        store.close()


def _random(settings: Settings) -> Random | None:
    return None if settings.seed is None else Random(settings.seed)  # noqa: S311  (to be foretold)


def _read_seed_file(file: Path | None) -> Seed | None:
    if file is None:
        return None
    try:
        return parse_seed(file.read_bytes(), has_port=True)
    except OSError as exc:
        raise InvalidDocument(f"--seed-file {file} cannot be read: {exc.strerror}") from exc
    except InvalidDocument as exc:
        raise InvalidDocument(f"--seed-file {file}: {exc}") from exc


def _plant(fake: Fake, seed: Seed, *, is_new: bool) -> str:
    """Make the seed file's world, unless there is one; return the lines that tell about it.

    A key that stands in the file is not shown: its reader has it, and the terminal may be kept.
    """
    if not is_new:
        return "\n\nThe seed file was not used: the state here is not new, and was kept."
    given = {key.secret for user in seed.users for key in user.keys}
    made = fake.plant(seed)["users"]
    lines = [
        f"  {user['username']}  {key['api_key']}"
        for user in made
        for key in user["keys"]
        if key["api_key"] not in given
    ]
    said = f"\n\nThe seed file's users are there: {len(made)}."
    return "\n".join([f"{said} Keys made for them, shown this once:", *lines]) if lines else said


def _answers(settings: Settings) -> str:
    """Return how they differ from those of a fake that was started without a word."""
    said: list[str] = []
    if settings.profile != DEFAULT_PROFILE:
        said.append(f"statuses as the controller {settings.profile} words them")
    if settings.as_deployed:
        said.append("all with the deployed proxy's quirks and bugs")
    return "; ".join(said)


def _free_username(store: Store) -> str:
    number = 1
    while store.has_username(name := f"dev{number}"):
        number += 1
    return name


class _ProcessServer(uvicorn.Server):
    """uvicorn, except for how it starts and ends."""

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
                access_log=False,  # it would show keys; the request log masks them
                server_header=False,  # the deployed proxy is not uvicorn
                timeout_graceful_shutdown=1,
            )
        )
        _set_up_logging(verbose=verbose)

    def run_on(self, listening: socket.socket, text: str) -> None:
        """Serve on a socket, and print `text` once requests are answered."""
        self._banner = text
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            runner.run(self._serve_and_reap(listening))

    async def _serve_and_reap(self, listening: socket.socket) -> None:
        reaping = asyncio.ensure_future(reap_orphans()) if os.getpid() == 1 else None
        await self.serve(sockets=[listening])
        if reaping is not None:
            reaping.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        say(self._banner)

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
    """Log defects, and with `verbose` requests, as the request log describes them."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    REQUESTS.setLevel(logging.INFO if verbose else logging.CRITICAL)
