"""One command in a session of a sandbox: opened, started once, looked at, sent signals.

The session has an id of the client's own and exists before the command is sent, so that the id
leads to the command, also if a connection breaks or this process ends.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_client.api.runtime import CommandStatus
from sandbox_client.errors import NOTHING_DONE, CommandStateUnknown, InvalidResponse, SandboxError
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

ARRIVAL_DEADLINE = 10.0  # seconds in which a command whose answer was lost has to appear
LOOK_DEADLINE = 5.0  # seconds beyond the end of a wait that a look may take
SIGNAL_DEADLINE = 3.0  # seconds for an attempt at a signal
FIRST_LOOK_DEADLINE = 30.0  # seconds at least, for an output of megabytes on a slow line


class RemoteCommand(ABC):
    """A command in a session of the sandbox `name`, by one of the runtime's two APIs.

    `output` and `errors` are the streams as far as they were read; a terminal has no `errors`, as
    it shows both streams as one.
    """

    def __init__(
        self, sandboxes: Sandboxes, name: str, session: str, follower: OutputFollower
    ) -> None:
        self.name = name
        self.session = session
        self.status = CommandStatus("unknown")
        self._sandboxes = sandboxes
        self._watch = follower

    @property
    @abstractmethod
    def api(self) -> Literal["pipes", "terminal"]:
        """The runtime's API that this is about."""

    @property
    @abstractmethod
    def output(self) -> Output:
        """Standard output so far."""

    @property
    @abstractmethod
    def errors(self) -> Output | None:
        """Standard error so far, where it is apart."""

    @abstractmethod
    async def open(self) -> None:
        """Have a session in which nothing runs.

        Raises:
            NoSuchAPI: the runtime does not have this API.
            SessionBusy: the session runs a command.
        """

    @abstractmethod
    async def look(self, deadline: float | None = None, *, sent: bool = False) -> None:
        """Read the new output; `sent` tells whether a command may have been started."""

    @abstractmethod
    async def peek(
        self, deadline: float = FIRST_LOOK_DEADLINE, *, sent: bool = False
    ) -> CommandStatus:
        """Return how the command stands, without its output if that can be."""

    @abstractmethod
    async def wait(self, pause: float) -> None:
        """Wait for news, and read them; `pause` is the shortest time between two looks."""

    @abstractmethod
    async def send_signal(self, signal: Signal) -> None:
        """Send a signal to the command that runs."""

    @abstractmethod
    async def close(self) -> None:
        """End the session with all that runs in it."""

    @abstractmethod
    def execute_request(self, task: Task) -> Request:
        """Return the request that starts a task."""

    @abstractmethod
    async def _take(self, reply: Reply) -> None:
        """Read the reply to `execute_request`.

        Raises:
            InvalidResponse: it cannot be read.
        """

    @property
    def first_deadline(self) -> float:
        """The seconds that a first look at an output may take."""
        return max(self._watch.left + LOOK_DEADLINE, FIRST_LOOK_DEADLINE)

    async def start(self, task: Task) -> None:
        """Send the command once; where the answer is lost, look whether it was started.

        Raises:
            CommandStateUnknown: nothing says whether it was.
        """
        request = self.execute_request(task)
        try:
            reply = await self._sandboxes.proxy.send(request, deadline=FIRST_LOOK_DEADLINE)
        except NOTHING_DONE as error:
            raise await self._sandboxes.explain_failure(
                self.name, error, not_done="the command was not run"
            ) from None
        except SandboxError as error:
            await self._confirm_started(error)
            return
        try:
            await self._take(reply)
        except InvalidResponse as error:
            await self._confirm_started(error)

    async def _confirm_started(self, lost: SandboxError) -> None:
        """Wait until the session shows the command after its answer was lost.

        Raises:
            CommandStateUnknown: it does not.
        """
        clock, sleep = self._watch.timing.clock, self._watch.timing.sleep
        start, is_seen = clock(), False
        for pause in backoff(FIRST_LOOK, LONGEST_PAUSE):
            try:
                status = await self.peek(sent=True)
            except SandboxError as error:
                if not error.retryable:
                    raise error.but(session=self.session) from None
            else:
                is_seen = True
                if status.state != "empty":
                    # Its output is still to be read, also if it has ended.
                    self.status = replace(status, state="running", exit_code=None)
                    return
            if clock() - start >= ARRIVAL_DEADLINE:
                break
            await sleep(pause)
        found = "shows no sign of it" if is_seen else "cannot be looked at"
        raise CommandStateUnknown(
            f"The command was sent, its answer was lost ({lost.message}), and session"
            f" '{self.session}' {found}",
            advice="It may still be run: look with {output} before you send it again.",
        )

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[float]:
        """Wait for a turn; yield the longest duration of the look, 0 if it came far too late."""
        began = self._watch.timing.clock()
        async with self._sandboxes.proxy.long_polls.turn() as longest:
            is_late = self._watch.timing.clock() - began > LONGEST_PAUSE
            yield 0.0 if is_late and self._watch.left < 0 else longest

    async def _ask(
        self, request: Request, *, sent: bool = False, deadline: float | None = None
    ) -> Reply:
        """Send a request to the session; `sent` tells whether a command may have been started."""
        not_done = "nothing can be looked at"
        if request.operation == "open session":
            not_done = "the command was not run"
        try:
            return await self._sandboxes.proxy.send(request, deadline=deadline)
        except SandboxError as error:
            raise await self._sandboxes.explain_failure(
                request.sandbox, error, not_done="" if sent else not_done
            ) from None
