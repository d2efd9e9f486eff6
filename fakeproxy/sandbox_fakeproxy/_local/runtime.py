"""Commands really run, on this machine, each sandbox in a directory of its own.

It is no jail: a command runs as whoever runs the fake, and may do what they may do.
"""

import asyncio
import os
import shutil
import tempfile
import weakref
from collections.abc import Awaitable, Collection, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy._clock import SystemClock
from sandbox_fakeproxy._files.files import Files
from sandbox_fakeproxy._files.removal import remove_tree
from sandbox_fakeproxy._mint import SessionIds
from sandbox_fakeproxy._runtime.aio import Routes, route
from sandbox_fakeproxy._runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy._runtime.place import HOME, SCRATCH, Place
from sandbox_fakeproxy._shells.api import shell_routes
from sandbox_fakeproxy._shells.sessions import Listener, Sessions

from .bash import Bash
from .isolation import CHANNELS, Choice
from .isolation import isolation as chosen
from .life import Launch
from .processes import kill_all_below

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Pod:
    """One sandbox from a start to a stop of it."""

    place: Place
    sessions: Sessions
    files: Files
    leaders: set[int]

    def routes(self) -> Routes:
        """Return everything that answers in it."""
        return {**shell_routes(self.sessions), **self.files.routes()}


class LocalRuntime:
    """Run commands below `root`, or below a temporary directory that goes when this object goes.

    What its callers wait for takes the machine's time, whatever the proxy's clock shows. With
    `isolation`, commands see their directories as /sandbox and /home/gem; "auto" is so where the
    machine allows it, and `isolation.sentence` says what it is. With a `seed`, the same requests
    make sessions of the same ids.

    Raises:
        IsolationUnavailable: bubblewrap was asked for, and does not work on this machine.
    """

    def __init__(
        self, root: Path | None = None, *, isolation: Choice = "auto", seed: str | None = None
    ) -> None:
        self.isolation = chosen(isolation)
        self._temporary: weakref.finalize[..., Any] | None = None
        if root is None:
            root = Path(tempfile.mkdtemp(prefix="sandbox-fakeproxy-"))
            self._temporary = weakref.finalize(self, remove_tree, root)
        # The real path, as a process's working directory is compared with it (macOS links /tmp).
        self._root = root.resolve()
        self._bash = shutil.which("bash") or "/bin/bash"
        self._clock = SystemClock()
        self._session_ids = SessionIds(seed)
        self._pods: dict[str, _Pod] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def recover(self, sandbox_ids: Collection[str]) -> None:
        """Clear away what a fake that was killed has left: processes, and deleted sandboxes."""
        left = list(self._root.iterdir()) if self._root.is_dir() else []
        kill_all_below(self._root, [Place(directory).work for directory in left])
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
        return self._to_its_end(route(request, self._pods[sandbox_id].routes()))

    def place(self, sandbox_id: str) -> Place:
        """Return where a sandbox's files are."""
        return Place(self._root / sandbox_id, isolated=self.isolation.wrapper is not None)

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and keep its files."""
        pod = self._pods.pop(sandbox_id, None)
        if pod is not None:
            await self._to_its_end(_kill([pod], pod.place.directory))

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""

        async def remove() -> None:
            self._session_ids.forget(sandbox_id)
            await self.stop(sandbox_id)
            directory = self._root / sandbox_id
            if directory.is_dir():  # not before a first request
                await asyncio.to_thread(remove_tree, directory)

        await self._to_its_end(remove())

    async def close(self) -> None:
        """Kill every process and start no more."""
        self._closed = True
        pods = list(self._pods.values())
        self._pods.clear()
        await self._to_its_end(_kill(pods, self._root))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._temporary is not None:
            self._temporary()

    def _new_pod(self, sandbox_id: str) -> _Pod:
        place = self.place(sandbox_id)
        leaders: set[int] = set()
        wrapper = self.isolation.wrapper
        launch = Launch(
            self._bash,
            () if wrapper is None else wrapper(place),
            place.directory,
            self._environment(place),
            (place.channels, str(place.channels) if wrapper is None else CHANNELS),
            leaders,
        )

        def open_shell(listener: Listener, directory: str) -> Bash:
            return Bash(place, launch, self._clock, listener, directory)

        sessions = Sessions(place, self._clock, open_shell, self._session_ids.of(sandbox_id))
        return _Pod(place, sessions, Files(place.work, place.home), leaders)

    def _environment(self, place: Place) -> dict[str, str]:
        """Return all that a command may know: nothing of the fake's own, no key and no token."""
        return {
            "HOME": place.to_commands(HOME),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "LOGNAME": "gem",
            "PAGER": "cat",  # there is a terminal, and nobody in front of it
            "PATH": os.environ.get("PATH", os.defpath),
            "SHELL": self._bash,
            "TERM": "dumb",
            "TMPDIR": SCRATCH if place.isolated else str(place.scratch),
            "USER": "gem",
        }

    async def _to_its_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to hear it


async def _kill(pods: Collection[_Pod], directory: Path) -> None:
    """Kill all that runs in some pods, which together are all there is below `directory`."""
    await asyncio.gather(*(pod.sessions.stop() for pod in pods))
    leaders = {leader for pod in pods for leader in pod.leaders}
    works = [pod.place.work for pod in pods]
    await asyncio.to_thread(kill_all_below, directory, works, leaders)
    await asyncio.gather(*(pod.files.halt() for pod in pods))


async def _unreachable() -> Response:
    raise RuntimeUnreachable("The fake proxy is stopping")
