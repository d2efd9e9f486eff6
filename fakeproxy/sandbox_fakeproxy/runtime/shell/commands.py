"""A command of a session, its course, and how long callers wait for it.

It is told what happens and when, in the order of time, and never looks at a clock. So a clock that
jumps past several limits at once has the same result as one that moves bit by bit.
"""

import asyncio
import codecs
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from .output import FULL_LIMIT, TRUNCATED_LIMIT, Output, Snapshot

CommandStatus = Literal["running", "completed", "no_change_timeout", "hard_timeout", "terminated"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line to run in a session.

    `hard_timeout`, in seconds, ends it. `directory` is where the session goes first, as the
    sandbox names it; None stays where it is. Two commands are equal in whichever session.
    """

    text: str
    hard_timeout: float | None = None
    truncate: bool = True
    directory: str | None = None
    keep_links: bool = False  # how `pwd` names a `directory` that is a link
    session: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class CommandState:
    """How a command stands: an exit code only when it has ended by itself."""

    status: CommandStatus
    output: Snapshot
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """How long a caller waits, in seconds: in all, and without output."""

    timeout: float | None = None
    idle_timeout: float | None = None


class CommandRun:
    """One command of a session, from its start on.

    Output of which a caller may ask for the whole is kept in files in the folder `spool`, or in
    memory without one.
    """

    def __init__(self, command: Command, directory: str, spool: Path | None = None) -> None:
        self.command = command
        self.directory = directory  # where it was started, for the prompt
        self.status: CommandStatus = "running"
        self.exit_code: int | None = None
        self.over = asyncio.Event()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._outputs = [
            Output(TRUNCATED_LIMIT)
        ]  # the first one is kept later; callers get the last
        if not command.truncate:
            self._outputs.append(Output(FULL_LIMIT, spool))
        self._kept: Snapshot | None = None
        self._waiters: list[Waiter] = []

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return not self.over.is_set()

    @property
    def output(self) -> Snapshot:
        """Return its output so far."""
        return self._kept or self._outputs[-1].snapshot()

    @property
    def answer(self) -> CommandState:
        """Return how it stands."""
        return CommandState(self.status, self.output, self.exit_code)

    def on_output(self, moment: datetime, chunk: bytes) -> None:
        """Take output; a background job may still write when the command itself is over."""
        if self._kept is None:
            for waiter in self._waiters:
                waiter.on_output(moment)
            self._feed(self._decoder.decode(chunk))

    def end(self, moment: datetime, status: CommandStatus, exit_code: int | None) -> None:
        """Take its end."""
        for waiter in self._waiters:
            waiter.look(moment, still_in_time=True)
        self._feed(self._decoder.decode(b"", final=True))  # half a character is none
        self._decoder.reset()
        self.status = status
        self.exit_code = exit_code if status == "completed" else None
        self.over.set()
        for waiter in self._waiters:
            waiter.conclude()

    def retire(self) -> None:
        """Keep a short text only, as the session has ended or gone on to another command."""
        if self._kept is None:
            self._kept = Snapshot.of(self._outputs[0].snapshot().text())
            self._outputs.clear()

    def begin_waiting(self, waiter: "Waiter") -> None:
        """Pass events on to a waiting caller."""
        self._waiters.append(waiter)

    def stop_waiting(self, waiter: "Waiter") -> None:
        """Tell that one no more."""
        self._waiters.remove(waiter)

    def _feed(self, text: str) -> None:
        for output in self._outputs:
            output.feed(text)


class Waiter:
    """How long one caller goes on waiting for a command."""

    def __init__(self, run: CommandRun, now: datetime, limits: WaitLimits) -> None:
        self._run = run
        self._until = None if limits.timeout is None else now + timedelta(seconds=limits.timeout)
        self._idle_timeout = (
            None if limits.idle_timeout is None else timedelta(seconds=limits.idle_timeout)
        )
        self._quiet_since = now
        self._answer: CommandState | None = None

    @property
    def answer(self) -> CommandState | None:
        """Return the answer for the caller, once there is one."""
        if self._answer is None and not self._run.is_running:
            self.conclude()
        return self._answer

    @property
    def ends_at(self) -> datetime | None:
        """Return when it ends, if nothing happens before."""
        return min(self._ends, default=None)

    def on_output(self, moment: datetime) -> None:
        """Take note of output."""
        self.look(moment, still_in_time=True)
        self._quiet_since = moment

    def conclude(self) -> None:
        """Keep the answer at the command's end, as the session may forget its output then."""
        self._answer = self._answer or self._run.answer

    def look(self, now: datetime, *, still_in_time: bool = False) -> None:
        """Give up if the time for that has come; an event at that very moment is in time."""
        ends = self.ends_at
        if self.answer is not None or ends is None or ends > now or (still_in_time and ends == now):
            return
        self._answer = CommandState(self._ends[ends], self._run.output)

    @property
    def _ends(self) -> dict[datetime, CommandStatus]:
        ends: dict[datetime, CommandStatus] = {}
        if self._until is not None:
            ends[self._until] = "running"
        if self._idle_timeout is not None:
            ends[self._quiet_since + self._idle_timeout] = "no_change_timeout"
        return ends
