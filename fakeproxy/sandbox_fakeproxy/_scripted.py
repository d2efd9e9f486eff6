"""A runtime for tests: it records what it is asked and answers as it is told."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from ._aio import route
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

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer as the AIO runtime does, from the script."""

        async def exec_(request: Request) -> Response:
            return await execute(
                request, lambda command: self.run(sandbox_id, command), lambda: str(uuid4())
            )

        return route(request, {"/v1/shell/exec": {"POST": exec_}})

    async def run(self, sandbox_id: str, command: Command) -> Outcome:  # noqa: ARG002  (protocol)
        """Record a command and answer as scripted."""
        self.commands.append(command)
        return self._script(command)

    async def stop(self, sandbox_id: str) -> None:
        """Record that a sandbox was paused."""
        self.stopped.append(sandbox_id)

    async def remove(self, sandbox_id: str) -> None:
        """Record that a sandbox was deleted."""
        self.removed.append(sandbox_id)

    async def close(self) -> None:
        """Record that the fake has ended."""
        self.closed = True
