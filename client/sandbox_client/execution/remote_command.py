"""The interface of a command in a session: open, start once, look, send signals.

The client chooses the id of the session and opens it before the command is sent. The id leads to
the command even if the connection breaks or this process ends.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_client.api.runtime import CommandStatus
from sandbox_client.errors import (
    NOTHING_DONE,
    CommandStateUnknown,
    InvalidResponse,
    Paused,
    SandboxError,
)
from sandbox_client.polling import backoff

from .follower import FIRST_LOOK, LONGEST_PAUSE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import Literal

    from sandbox_client.api.message import Reply, Request
    from sandbox_client.api.runtime import Signal, Task
    from sandbox_client.output import Output
    from sandbox_client.sandboxes import Sandboxes

    from .follower import OutputFollower

INTERNAL_PREFIX = "files-"  # of the sessions of internal commands
START_DEADLINE = 10.0  # seconds until a command has to appear if the response was lost
LOOK_DEADLINE = 5.0  # seconds that a look may take after the end of a wait
SIGNAL_DEADLINE = 3.0  # seconds for each attempt to send a signal
_ENDED_BY_PAUSE = (
    "The pause has ended its commands and their sessions: nothing is left to read or to cancel."
    " {resume} starts the sandbox again, without them."
)
FIRST_LOOK_DEADLINE = 30.0  # seconds at least, for megabytes of output on a slow line


class RemoteCommand(ABC):
    """A command in a session of the sandbox `name`, with one of the runtime's two APIs.

    `output` and `errors` are the streams read so far. A terminal has no `errors`, as it shows both
    streams as one.
    """

    def __init__(
        self, sandboxes: Sandboxes, name: str, session: str, follower: OutputFollower
    ) -> None:
        self.name = name
        self.session = session
        self.status = CommandStatus("unknown")
        self._sandboxes = sandboxes
        self._follower = follower

    @property
    @abstractmethod
    def api(self) -> Literal["pipes", "terminal"]:
        """The API of the runtime."""

    @property
    @abstractmethod
    def output(self) -> Output:
        """Standard output so far."""

    @property
    @abstractmethod
    def errors(self) -> Output | None:
        """Standard error so far; None on a terminal."""

    @abstractmethod
    async def open(self) -> None:
        """Open a session in which no command is running.

        Raises:
            NoSuchAPI: the runtime does not have this API.
            SessionBusy: the session runs a command.
        """

    @abstractmethod
    async def look(self, deadline: float | None = None, *, sent: bool = False) -> None:
        """Read the state and the new output; `sent` means that a command may have been started."""

    @abstractmethod
    async def peek(
        self, deadline: float = FIRST_LOOK_DEADLINE, *, sent: bool = False
    ) -> CommandStatus:
        """Return the status of the command, if possible without reading its output."""

    @abstractmethod
    async def wait(self, pause: float) -> None:
        """Wait for new output or the end; `pause` is the minimum of seconds between two looks."""

    @abstractmethod
    async def send_signal(self, signal: Signal) -> None:
        """Send a signal to the running command."""

    @abstractmethod
    async def close(self) -> None:
        """End the session and its processes."""

    @abstractmethod
    def execute_request(self, task: Task) -> Request:
        """Return the request that starts a task."""

    @abstractmethod
    async def _read_reply(self, reply: Reply) -> None:
        """Read the reply to `execute_request`.

        Raises:
            InvalidResponse: the reply is malformed.
        """

    @property
    def first_deadline(self) -> float:
        """The seconds that the first look may take."""
        return max(self._follower.remaining + LOOK_DEADLINE, FIRST_LOOK_DEADLINE)

    async def start(self, task: Task, deadline: float = FIRST_LOOK_DEADLINE) -> None:
        """Send the command once; if the response is lost, look whether the command was started.

        It counts as lost after `deadline` seconds.

        Raises:
            CommandStateUnknown: it is unknown whether the command was started.
        """
        request = self.execute_request(task)
        try:
            reply = await self._sandboxes.proxy.send(request, deadline=deadline)
        except NOTHING_DONE as error:
            raise await self._sandboxes.failures.explain(
                self.name, error, not_done="the command was not run"
            ) from None
        except SandboxError as error:
            await self._confirm_started(error)
            return
        try:
            await self._read_reply(reply)
        except InvalidResponse as error:
            await self._confirm_started(error)

    async def _confirm_started(self, lost: SandboxError) -> None:
        """Wait until the session shows the command after the response was lost.

        Raises:
            CommandStateUnknown: the session does not show the command.
        """
        clock, sleep = self._follower.timing.clock, self._follower.timing.sleep
        start, has_status = clock(), False
        for pause in backoff(FIRST_LOOK, LONGEST_PAUSE):
            try:
                status = await self.peek(sent=True)
            except SandboxError as error:
                if not error.retryable:
                    raise error.but(session=self.session) from None
            else:
                has_status = True
                if status.state != "empty":
                    # Even if the command has ended, its output has not been read yet.
                    self.status = replace(status, state="running", exit_code=None)
                    return
            if clock() - start >= START_DEADLINE:
                break
            await sleep(pause)
        found = "does not show it" if has_status else "cannot be read"
        # The session of an internal command is gone by then, and the user has not opened it.
        is_internal = self.session.startswith(INTERNAL_PREFIX)
        session = "its session" if is_internal else f"session '{self.session}'"
        look = "at the files with {files}" if is_internal else "with {output}"
        raise CommandStateUnknown(
            f"The command was sent, its response was lost ({lost.message}), and {session} {found}",
            advice=f"It may still be run: look {look} before you send it again.",
        ) from lost

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[float]:
        """Wait for a turn; yield the maximum of seconds for the look, 0 if the wait is over."""
        start = self._follower.timing.clock()
        async with self._sandboxes.proxy.long_polls.turn() as longest:
            is_late = self._follower.timing.clock() - start > LONGEST_PAUSE
            yield 0.0 if is_late and self._follower.remaining < 0 else longest

    async def _request(
        self, request: Request, *, sent: bool = False, deadline: float | None = None
    ) -> Reply:
        """Send a request about the session; `sent` means that a command may have been started."""
        try:
            return await self._sandboxes.proxy.send(request, deadline=deadline)
        except SandboxError as error:
            if not sent and request.operation != "open session":
                raise await explain_unreadable(self._sandboxes, self.name, error) from None
            raise await self._sandboxes.failures.explain(
                self.name, error, not_done="" if sent else "the command was not run"
            ) from None


async def explain_unreadable(sandboxes: Sandboxes, name: str, error: SandboxError) -> SandboxError:
    """Return a more exact error for commands of a sandbox that cannot be read, or `error` itself.

    A resumed sandbox does not have them again, so that the advice is not to try again.
    """
    explained = await sandboxes.failures.explain(
        name, error, not_done="its commands cannot be read"
    )
    return explained.but(advice=_ENDED_BY_PAUSE) if isinstance(explained, Paused) else explained
