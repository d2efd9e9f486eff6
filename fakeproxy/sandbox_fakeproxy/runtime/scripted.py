"""A runtime for tests: it records commands and answers from a script.

Files are real, in a temporary directory that is made when they are first asked for.
"""

import asyncio
import threading
import weakref
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.clock import Clock, SystemClock
from sandbox_fakeproxy.ids import SessionIds
from sandbox_fakeproxy.runtime.api import Routes, route
from sandbox_fakeproxy.runtime.cleanup.removal import remove_files_of_pod, remove_tree
from sandbox_fakeproxy.runtime.cleanup.temporary import TemporaryDirectory
from sandbox_fakeproxy.runtime.files.files import Files
from sandbox_fakeproxy.runtime.paths import Place
from sandbox_fakeproxy.runtime.shell.api import shell_routes
from sandbox_fakeproxy.runtime.shell.commands import Command
from sandbox_fakeproxy.runtime.shell.sessions import Listener, Sessions

from .script import Outcome, Script, ScriptedShell


def _succeed_silently(_command: Command) -> Outcome:
    return Outcome()


@dataclass(frozen=True, slots=True)
class _Pod:
    """One sandbox from a start to a stop of it."""

    sessions: Sessions
    files: Files

    def routes(self) -> Routes:
        """Return everything that answers in it."""
        return {**shell_routes(self.sessions), **self.files.routes()}

    async def stop(self) -> None:
        """Let it do nothing any more."""
        await self.sessions.stop()
        await self.files.halt()


class ScriptedRuntime:
    """Answer commands from a function, which may raise `RuntimeUnreachable`.

    Time passes on `clock`, which has to be the app's own. With a `seed`, the same
    requests make sessions of the same ids.
    """

    def __init__(
        self,
        script: Script = _succeed_silently,
        *,
        clock: Clock | None = None,
        seed: str | None = None,
    ) -> None:
        self._script = script
        self._has_clock = clock is not None
        self._clock = clock if clock is not None else SystemClock()
        self._session_ids = SessionIds(seed)
        self._pods: dict[str, _Pod] = {}
        self._remove_root: weakref.finalize[..., Any] | None = None
        self.commands: list[Command] = []
        self.stopped: list[str] = []
        self.removed: list[str] = []
        self.closed = False

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer as the AIO runtime does, from the script."""
        if sandbox_id not in self._pods:
            self._pods[sandbox_id] = self._new_pod(sandbox_id)
        return route(request, self._pods[sandbox_id].routes())

    async def stop(self, sandbox_id: str) -> None:
        """Record that a sandbox was paused."""
        self.stopped.append(sandbox_id)
        await self._stop(sandbox_id)

    async def remove(self, sandbox_id: str) -> None:
        """Record that a sandbox was deleted."""
        self.removed.append(sandbox_id)
        self._session_ids.forget(sandbox_id)
        await self._stop(sandbox_id)
        if self._remove_root is not None and (self._root / sandbox_id).is_dir():
            await asyncio.to_thread(remove_tree, self._root / sandbox_id)

    async def close(self) -> None:
        """Record that the fake has ended."""
        self.closed = True
        for sandbox_id in list(self._pods):
            await self._stop(sandbox_id)
        if self._remove_root is not None:
            await asyncio.to_thread(self._remove_root)

    async def _stop(self, sandbox_id: str) -> None:
        pod = self._pods.pop(sandbox_id, None)
        if pod is not None:
            await pod.stop()
            if self._remove_root is not None:
                await asyncio.to_thread(remove_files_of_pod, Place(self._root / sandbox_id))

    def _new_pod(self, sandbox_id: str) -> _Pod:
        place, new_id = Place(self._root / sandbox_id), self._session_ids.of(sandbox_id)
        sessions = Sessions(place, self._clock, self._shell, new_id)
        return _Pod(sessions, Files(place))

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

    @cached_property
    def _root(self) -> Path:
        temporary = TemporaryDirectory()
        self._remove_root = weakref.finalize(self, temporary.remove)  # if it is never closed
        # It starts a process, for which the event loop does not wait.
        threading.Thread(target=temporary.guard, name="sandbox-guard", daemon=True).start()
        return temporary.path
