"""Commands really run, on this machine, each sandbox in a directory of its own.

Where the machine allows it, each sandbox is a jail; elsewhere its commands may do what the user of
the fake may do.
"""

import asyncio
import logging
import os
import weakref
from collections.abc import Awaitable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.clock import SystemClock
from sandbox_fakeproxy.ids import SessionIds
from sandbox_fakeproxy.runtime.api import Routes, route
from sandbox_fakeproxy.runtime.cleanup.guardian import GUARDIAN
from sandbox_fakeproxy.runtime.cleanup.processes import kill_sandboxes_in
from sandbox_fakeproxy.runtime.cleanup.removal import remove_files_of_pod, remove_tree
from sandbox_fakeproxy.runtime.cleanup.temporary import TemporaryDirectory
from sandbox_fakeproxy.runtime.files.files import Files
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.paths import Place
from sandbox_fakeproxy.runtime.shell.api import shell_routes
from sandbox_fakeproxy.runtime.shell.sessions import Listener, Sessions

from .bash import Bash
from .isolation import Choice, Network, choose_isolation
from .limits import DEFAULT_LIMITS, Limits, watch_disk
from .machine import Machine
from .modes import restore_modes

LOG = logging.getLogger("sandbox_fakeproxy.sandboxes")
# Shells that are started at the same time: the fake itself keeps half of the processors.
_STARTS_AT_ONCE = max(1, (os.cpu_count() or 2) // 2)
# Seconds until the guardian is started, which takes the processor from the first command.
_UNGUARDED = 0.1
_JAILS_UNGUARDED = 1.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Pod:
    """One sandbox from a start to a stop of it."""

    place: Place
    sessions: Sessions
    files: Files
    machine: Machine
    watching: "asyncio.Task[None]"  # its room on disk

    def routes(self) -> Routes:
        """Return everything that answers in it."""
        return {**shell_routes(self.sessions), **self.files.routes()}


class LocalRuntime:
    """Run commands below `root`, or below a temporary directory, removed with this object.

    Commands take real time, with any clock of the proxy. `isolation` is "auto" (a jail for each
    sandbox, where that works), "required" or "none"; `isolation.sentence` tells which one it is. A
    jail has the `network` of the machine ("host") or "none", and does not see the folders in
    `hides`. `limits` are those of each sandbox. With a `seed`, the same requests make sessions of
    the same ids. `as_deployed` restores the modes in /sandbox before each command, as chmod changes
    nothing on the deployed proxy.

    Raises:
        IsolationUnavailable: a jail is required, and does not work on this machine.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        isolation: Choice = "auto",
        network: Network = "host",
        limits: Limits = DEFAULT_LIMITS,
        hides: Collection[Path] = (),
        seed: str | None = None,
        as_deployed: bool = False,
    ) -> None:
        # The real path, as a process's working directory is compared with it (macOS links /tmp).
        self._given_root = None if root is None else root.resolve()
        self._temporary: weakref.finalize[..., Any] | None = None
        hidden = () if self._given_root is None else (self._given_root,)
        self.isolation = choose_isolation(
            isolation, network=network, limits=limits, hidden=(*hidden, *hides)
        )
        self._limits = limits
        self._as_deployed = as_deployed
        self._clock = SystemClock()
        self._session_ids = SessionIds(seed)
        self._pods: dict[str, _Pod] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}  # under way
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox-starter")
        self._starts = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._guard_timer: asyncio.TimerHandle | None = None
        self._closed = False

    @cached_property
    def _root(self) -> Path:
        """The directory with one for each sandbox."""
        if self._given_root is not None:
            return self._given_root
        temporary = TemporaryDirectory()
        self._temporary = weakref.finalize(self, temporary.remove)
        self._starter.submit(temporary.guard)  # before the first shell
        return temporary.path

    @property
    def _has_root(self) -> bool:
        """Tell whether there may be files: a temporary directory is made for the first request."""
        return self._given_root is not None or self._temporary is not None

    def recover(self, sandbox_ids: Collection[str]) -> None:
        """Clean up after a killed fake: end its processes, remove its deleted sandboxes."""
        left = list(self._root.iterdir()) if self._root.is_dir() else []
        kill_sandboxes_in(self._root)
        for directory in left:
            if directory.name not in sandbox_ids:
                remove_tree(directory)
            elif (channels := Place(directory).channels).is_dir():
                remove_tree(channels)

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer as the AIO runtime does, by really running commands."""
        if self._closed:
            return _unreachable()
        if sandbox_id not in self._pods:
            self._pods[sandbox_id] = self._new_pod(sandbox_id)
        routes = self._pods[sandbox_id].routes()
        return self._to_its_end(_answer(request, routes, after=self._stops.get(sandbox_id)))

    def place(self, sandbox_id: str) -> Place:
        """Return where a sandbox's files are."""
        return self.isolation.place(self._root / sandbox_id)

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes, and keep of its files those in /sandbox."""
        pod, earlier = self._pods.pop(sandbox_id, None), self._stops.get(sandbox_id)

        async def stop() -> None:
            try:
                if pod is not None:
                    await _end([pod])
                if earlier is not None:
                    await asyncio.wait({earlier})
                if self._has_root:
                    await asyncio.to_thread(remove_files_of_pod, self.place(sandbox_id))
            finally:
                if self._stops[sandbox_id] is task:
                    del self._stops[sandbox_id]

        self._stops[sandbox_id] = task = asyncio.ensure_future(stop())
        await self._to_its_end(task)

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""

        async def remove() -> None:
            self._session_ids.forget(sandbox_id)
            await self.stop(sandbox_id)
            if self._has_root:
                await asyncio.to_thread(remove_tree, self._root / sandbox_id)

        await self._to_its_end(remove())

    async def close(self) -> None:
        """Kill every process and start no more."""
        self._closed = True
        pods = list(self._pods.values())
        self._pods.clear()
        await self._to_its_end(_end(pods))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._starter.shutdown)
        if self._guard_timer is not None:
            self._guard_timer.cancel()
        if self._temporary is not None:
            await asyncio.to_thread(self._temporary)
        elif self._given_root is not None:
            await asyncio.to_thread(GUARDIAN.forget, self._given_root)

    def _new_pod(self, sandbox_id: str) -> _Pod:
        place = self.place(sandbox_id)
        self._guard_soon()
        machine = self.isolation.machine(place, self._starter)

        before = partial(restore_modes, place.work) if self._as_deployed else None

        def open_shell(listener: Listener, directory: str) -> Bash:
            return Bash(place, machine, self._clock, listener, directory, self._starts, before)

        new_id = self._session_ids.of(sandbox_id)
        sessions = Sessions(place, self._clock, open_shell, new_id, spool=place.spool)
        watching = asyncio.ensure_future(self._watch_disk(sandbox_id, place, machine, sessions))
        return _Pod(place, sessions, Files(place), machine, watching)

    async def _watch_disk(
        self, sandbox_id: str, place: Place, machine: Machine, sessions: Sessions
    ) -> None:
        limit = self._limits.disk

        async def kill(used: int) -> None:
            message = f"killed, as the sandbox has {used:,} bytes on disk: more than {limit:,}"
            LOG.warning("sandbox %s: its processes were %s", sandbox_id, message)
            for session in sessions.all():
                if session.running is not None:
                    session.hear(self._clock.now(), f"\n[{message}]\n".encode())
            await machine.kill()

        await watch_disk([place.work, place.home, place.scratch], limit, kill)

    def _guard_soon(self) -> None:
        """Have the guardian watch the root, once the first command has had its time.

        A temporary root is watched from its start. Jails end by themselves, unless a command
        prevents it.
        """
        if self._guard_timer is not None or self._given_root is None:
            return
        loop = asyncio.get_running_loop()
        delay = _UNGUARDED if self.isolation.jail is None else _JAILS_UNGUARDED
        self._guard_timer = loop.call_later(delay, self._guard, self._given_root)

    def _guard(self, root: Path) -> None:
        if not self._closed:
            self._starter.submit(GUARDIAN.watch, root, is_temporary=False)

    async def _to_its_end(self, work: "Coroutine[Any, Any, _T] | asyncio.Task[_T]") -> _T:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone


async def _answer(
    request: Request, routes: Routes, *, after: "asyncio.Task[None] | None"
) -> Response | None:
    """Answer a request once the sandbox's pod before has stopped, which removes files."""
    if after is not None:
        await asyncio.wait({after})
    return await route(request, routes)


async def _end(pods: Collection[_Pod]) -> None:
    """End all that runs in some pods."""
    for pod in pods:
        pod.watching.cancel()
    await asyncio.gather(*(pod.sessions.stop() for pod in pods))
    await asyncio.gather(*(pod.machine.end() for pod in pods))
    await asyncio.gather(*(pod.files.halt() for pod in pods))


async def _unreachable() -> Response:
    raise RuntimeUnreachable("The fake proxy is stopping")
