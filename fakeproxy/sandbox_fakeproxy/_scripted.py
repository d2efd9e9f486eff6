"""A runtime for tests: it records what it is asked and answers as it is told."""

import tempfile
import weakref
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from ._aio import Routes, route
from ._clock import Clock, SystemClock
from ._command import Command
from ._place import Place, remove_tree
from ._script import Outcome, Script, ScriptedShell
from ._sessions import Listener, Sessions
from ._shell import shell_routes


def _succeed_silently(_command: Command) -> Outcome:
    return Outcome()


class ScriptedRuntime:
    """Answer commands from a function, which may raise `RuntimeUnreachable`.

    What takes time takes it on `clock`, which is to be the app's own.
    """

    def __init__(self, script: Script = _succeed_silently, *, clock: Clock | None = None) -> None:
        self._script = script
        self._has_clock = clock is not None
        self._clock = clock if clock is not None else SystemClock()
        self._sessions: dict[str, Sessions] = {}
        self._root: Path | None = None
        self.commands: list[Command] = []
        self.stopped: list[str] = []
        self.removed: list[str] = []
        self.closed = False

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer as the AIO runtime does, from the script."""
        return route(request, self._routes(sandbox_id))

    def place(self, sandbox_id: str) -> Place:
        """Return where a sandbox's files are: a temporary directory, made when it is asked for."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="sandbox-fakeproxy-")).resolve()
            self._remove_root: Any = weakref.finalize(self, remove_tree, self._root)
        place = Place(self._root / sandbox_id)
        place.make()
        return place

    async def stop(self, sandbox_id: str) -> None:
        """Record that a sandbox was paused."""
        self.stopped.append(sandbox_id)
        await self._end_sessions(sandbox_id)

    async def remove(self, sandbox_id: str) -> None:
        """Record that a sandbox was deleted."""
        self.removed.append(sandbox_id)
        await self._end_sessions(sandbox_id)
        if self._root is not None:
            remove_tree(self._root / sandbox_id)

    async def close(self) -> None:
        """Record that the fake has ended."""
        self.closed = True
        for sandbox_id in list(self._sessions):
            await self._end_sessions(sandbox_id)
        if self._root is not None:
            self._remove_root()
            self._root = None

    def _routes(self, sandbox_id: str) -> Routes:
        """Return everything that answers in a sandbox."""
        if sandbox_id not in self._sessions:
            self._sessions[sandbox_id] = Sessions(
                lambda: self.place(sandbox_id), self._clock, self._shell, lambda: str(uuid4())
            )
        return shell_routes(self._sessions[sandbox_id])

    async def _end_sessions(self, sandbox_id: str) -> None:
        sessions = self._sessions.pop(sandbox_id, None)
        if sessions is not None:
            await sessions.stop()

    def _shell(self, listener: Listener, directory: str) -> ScriptedShell:
        return ScriptedShell(self._ask, self._clock, listener, directory)

    def _ask(self, command: Command) -> Outcome:
        self.commands.append(command)
        outcome = self._script(command)
        if outcome.length and not self._has_clock:
            raise ValueError(
                f"The outcome of {command.text!r} takes {outcome.length:g} s, and there is no clock"
                " to take them on: pass the app's own, ScriptedRuntime(script, clock=clock)."
            )
        return outcome
