"""Commands really run, on this machine, each sandbox in a directory of its own.

It is no jail: a command runs as whoever runs the fake, and may do what they may do.
"""

import asyncio
import os
import shutil
import tempfile
import weakref
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from ._aio import route
from ._execution import Execution
from ._files import Files
from ._output import FULL_LIMIT, TRUNCATED_LIMIT, Output
from ._processes import group_exists, kill_all_below
from ._removal import remove_tree
from ._runtime import RuntimeUnreachable
from ._shell import Command, Outcome, execute

_T = TypeVar("_T")


@dataclass(slots=True)
class _Place:
    """One sandbox on this machine.

    `stops` counts pauses and deletions: a command that was allowed before one of them must not
    start after it. `lock` orders starting against killing.
    """

    directory: Path
    stops: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    executions: set[Execution] = field(default_factory=set[Execution])
    groups: set[int] = field(default_factory=set[int])  # that outlived their shell
    files: Files = field(init=False)

    def __post_init__(self) -> None:
        self.files = Files(self.work, self.home)

    @property
    def work(self) -> Path:
        """Where commands run; in the deployed runtime it is /sandbox."""
        return self.directory / "sandbox"

    @property
    def home(self) -> Path:
        """Their HOME; in the deployed runtime it is /home/gem."""
        return self.directory / "home"

    @property
    def scratch(self) -> Path:
        """Their TMPDIR."""
        return self.directory / "tmp"


class LocalRuntime:
    """Run commands below `root`, or below a temporary directory that goes when this object goes."""

    def __init__(self, root: Path | None = None) -> None:
        self._temporary: weakref.finalize[..., Any] | None = None
        if root is None:
            root = Path(tempfile.mkdtemp(prefix="sandbox-fakeproxy-"))
            self._temporary = weakref.finalize(self, remove_tree, root)
        # The real path, as a process's working directory is compared with it (macOS links /tmp).
        self._root = root.resolve()
        self._shell = shutil.which("bash") or shutil.which("sh") or "/bin/sh"
        self._places: dict[str, _Place] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def recover(self, sandbox_ids: Collection[str]) -> None:
        """Clear away what a fake that was killed has left: processes, and deleted sandboxes."""
        kill_all_below(self._root)
        for directory in self._root.iterdir() if self._root.is_dir() else ():
            if directory.name not in sandbox_ids:
                remove_tree(directory)

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer as the AIO runtime does, by really running commands."""
        if self._closed:
            return _unreachable()
        run = self._runner(sandbox_id)
        files = self._places[sandbox_id].files

        async def exec_(request: Request) -> Response:
            return await execute(request, run, lambda: str(uuid4()))

        return route(request, {"/v1/shell/exec": {"POST": exec_}, **files.routes()})

    async def run(self, sandbox_id: str, command: Command) -> Outcome:
        """Run a command to its end, also when the caller is cancelled."""
        return await self._runner(sandbox_id)(command)

    def _runner(self, sandbox_id: str) -> Callable[[Command], Awaitable[Outcome]]:
        """Let commands run for as long as the sandbox is not stopped."""
        place = self._places.setdefault(sandbox_id, _Place(self._root / sandbox_id))
        stops = place.stops

        async def run(command: Command) -> Outcome:
            if self._closed:
                raise RuntimeUnreachable("The fake proxy is stopping")
            return await self._to_its_end(self._run(place, stops, command))

        return run

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and keep its files."""
        place = self._places.get(sandbox_id)
        if place is not None:
            await self._to_its_end(_kill([place], place.directory))

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""

        async def remove() -> None:
            await self.stop(sandbox_id)
            self._places.pop(sandbox_id, None)
            directory = self._root / sandbox_id
            if directory.is_dir():  # not before a first command
                await asyncio.to_thread(remove_tree, directory)

        await self._to_its_end(remove())

    async def close(self) -> None:
        """Kill every process and start no more."""
        self._closed = True
        await self._to_its_end(_kill(list(self._places.values()), self._root))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._temporary is not None:
            self._temporary()

    async def _to_its_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _run(self, place: _Place, stops: int, command: Command) -> Outcome:
        execution = await self._start(place, stops, command)
        finishing = asyncio.ensure_future(execution.finish())
        await asyncio.wait({finishing}, timeout=command.hard_timeout)
        timed_out = execution.kill()
        output, exit_code = await finishing
        self._let_go(place, execution)
        if execution.stopped:
            raise RuntimeUnreachable("The sandbox was stopped while the command ran")
        if timed_out:
            return Outcome(output, None, "hard_timeout")
        return Outcome(output, exit_code)

    async def _start(self, place: _Place, stops: int, command: Command) -> Execution:
        async with place.lock:
            if place.stops != stops:
                raise RuntimeUnreachable("The sandbox was stopped before the command could start")
            try:
                for directory in (place.work, place.home, place.scratch):
                    directory.mkdir(parents=True, exist_ok=True)
                execution = await Execution.start(
                    [self._shell, "-c", "--", command.text],
                    place.work,
                    self._environment(place),
                    Output(TRUNCATED_LIMIT if command.truncate else FULL_LIMIT),
                )
            except OSError as exc:
                raise RuntimeUnreachable(f"The command cannot be started: {exc}") from exc
            place.executions.add(execution)
            return execution

    def _environment(self, place: _Place) -> dict[str, str]:
        """Return all that a command may know: nothing of the fake's own, no key and no token."""
        return {
            "HOME": str(place.home),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "LOGNAME": "gem",
            "PATH": os.environ.get("PATH", os.defpath),
            "PWD": str(place.work),
            "SHELL": self._shell,
            "TERM": "dumb",
            "TMPDIR": str(place.scratch),
            "USER": "gem",
        }

    def _let_go(self, place: _Place, execution: Execution) -> None:
        """Forget a command whose shell has ended, except for the background jobs it left."""
        for finished in [each for each in place.executions if not each.is_draining]:
            place.executions.discard(finished)
        place.groups = {group for group in place.groups if group_exists(group)}
        if group_exists(execution.group):
            place.groups.add(execution.group)


async def _kill(places: Collection[_Place], directory: Path) -> None:
    """Kill all that runs in some places, which together are all there is below `directory`."""
    for place in places:
        place.stops += 1  # what was allowed before this does not start after it
    async with AsyncExitStack() as locks:
        for place in places:
            await locks.enter_async_context(place.lock)
            for execution in place.executions:
                execution.stop()
        groups = {group for place in places for group in place.groups}
        await asyncio.to_thread(kill_all_below, directory, groups)
        for place in places:
            for execution in [each for each in place.executions if each.has_finished]:
                execution.release()
                place.executions.discard(execution)
            place.groups.clear()
    await asyncio.gather(*(place.files.halt() for place in places))


async def _unreachable() -> Response:
    raise RuntimeUnreachable("The fake proxy is stopping")
