"""A runtime for tests: it records what it is asked and answers as it is told.

Files are real, in a temporary directory that is made when they are first asked for.
"""

import asyncio
import tempfile
import weakref
from collections.abc import Awaitable, Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from ._aio import route
from ._files import Files
from ._removal import remove_tree
from ._shell import Command, Outcome, execute


def _succeed_silently(_command: Command) -> Outcome:
    return Outcome()


class ScriptedRuntime:
    """Answer commands from a function, which may raise `RuntimeUnreachable`."""

    def __init__(self, script: Callable[[Command], Outcome] = _succeed_silently) -> None:
        self._script = script
        self.commands: list[Command] = []
        self.stopped: list[str] = []
        self.removed: list[str] = []
        self.closed = False
        self._files: dict[str, Files] = {}
        self._remove_root: weakref.finalize[..., Any] | None = None

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer as the AIO runtime does, from the script."""

        async def exec_(request: Request) -> Response:
            return await execute(
                request, lambda command: self.run(sandbox_id, command), lambda: str(uuid4())
            )

        return route(
            request, {"/v1/shell/exec": {"POST": exec_}, **self._files_of(sandbox_id).routes()}
        )

    async def run(self, sandbox_id: str, command: Command) -> Outcome:  # noqa: ARG002  (protocol)
        """Record a command and answer as scripted."""
        self.commands.append(command)
        return self._script(command)

    async def stop(self, sandbox_id: str) -> None:
        """Record that a sandbox was paused."""
        self.stopped.append(sandbox_id)
        if sandbox_id in self._files:
            await self._files[sandbox_id].halt()

    async def remove(self, sandbox_id: str) -> None:
        """Record that a sandbox was deleted."""
        self.removed.append(sandbox_id)
        if sandbox_id in self._files:
            await self._files.pop(sandbox_id).halt()
            await asyncio.to_thread(remove_tree, self._root / sandbox_id)

    async def close(self) -> None:
        """Record that the fake has ended."""
        self.closed = True
        for files in self._files.values():
            await files.halt()
        if self._remove_root is not None:
            await asyncio.to_thread(self._remove_root)

    def _files_of(self, sandbox_id: str) -> Files:
        if sandbox_id not in self._files:
            place = self._root / sandbox_id
            self._files[sandbox_id] = Files(place / "sandbox", place / "home")
        return self._files[sandbox_id]

    @cached_property
    def _root(self) -> Path:
        root = Path(tempfile.mkdtemp(prefix="sandbox-fakeproxy-")).resolve()
        # Also when nobody closes it.
        self._remove_root = weakref.finalize(self, remove_tree, root)
        return root
