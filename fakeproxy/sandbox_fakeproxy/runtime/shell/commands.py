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

Status = Literal["running", "completed", "no_change_timeout", "hard_timeout", "terminated"]


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
class Answer:
    """How a command stands: an exit code only when it has ended by itself."""

    status: Status
    output: Snapshot
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a caller waits, in seconds: in all, and without output."""

    timeout: float | None = None
    silence: float | None = None


class Run:
    """One command of a session, from its start on.

    Output of which a caller may ask for the whole is kept in files in the folder `spool`, or in
    memory without one.
    """

    def __init__(self, command: Command, directory: str, spool: Path | None = None) -> None:
        self.command = command
        self.directory = directory  # where it was started, for the prompt
        self.status: Status = "running"
        self.exit_code: int | None = None
        self.over = asyncio.Event()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._outputs = [
            Output(TRUNCATED_LIMIT)
        ]  # the first one is kept later; callers get the last
        if not command.truncate:
            self._outputs.append(Output(FULL_LIMIT, spool))
        self._kept: Snapshot | None = None
        self._patiences: list[Waiter] = []

    @property
    def output(self) -> Snapshot:
        """Return its output so far."""
        return self._kept or self._outputs[-1].snapshot()

    @property
    def answer(self) -> Answer:
        """Return how it stands."""
        return Answer(self.status, self.output, self.exit_code)

    def hear(self, moment: datetime, chunk: bytes) -> None:
        """Take output; a background job may still write when the command itself is over."""
        if self._kept is None:
            for patience in self._patiences:
                patience.hear(moment)
            self._feed(self._decoder.decode(chunk))

    def end(self, moment: datetime, status: Status, exit_code: int | None) -> None:
        """Take its end."""
        for patience in self._patiences:
            patience.look(moment, still_in_time=True)
        self._feed(self._decoder.decode(b"", final=True))  # half a character is none
        self._decoder.reset()
        self.status = status
        self.exit_code = exit_code if status == "completed" else None
        self.over.set()
        for patience in self._patiences:
            patience.conclude()

    def retire(self) -> None:
        """Keep a short text only, as the session has ended or gone on to another command."""
        if self._kept is None:
            self._kept = Snapshot.of(self._outputs[0].snapshot().text())
            self._outputs.clear()

    def begin_waiting(self, patience: "Waiter") -> None:
        """Pass events on to a waiting caller."""
        self._patiences.append(patience)

    def stop_waiting(self, patience: "Waiter") -> None:
        """Tell that one no more."""
        self._patiences.remove(patience)

    def _feed(self, text: str) -> None:
        for output in self._outputs:
            output.feed(text)


class Waiter:
    """How long one caller goes on waiting for a command."""

    def __init__(self, run: Run, now: datetime, limits: Limits) -> None:
        self._run = run
        self._until = None if limits.timeout is None else now + timedelta(seconds=limits.timeout)
        self._silence = None if limits.silence is None else timedelta(seconds=limits.silence)
        self._quiet_since = now
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer | None:
        """Return the answer for the caller, once there is one."""
        if self._answer is None and self._run.over.is_set():
            self.conclude()
        return self._answer

    @property
    def ends_at(self) -> datetime | None:
        """Return when it ends, if nothing happens before."""
        return min(self._ends, default=None)

    def hear(self, moment: datetime) -> None:
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
        self._answer = Answer(self._ends[ends], self._run.output)

    @property
    def _ends(self) -> dict[datetime, Status]:
        ends: dict[datetime, Status] = {}
        if self._until is not None:
            ends[self._until] = "running"
        if self._silence is not None:
            ends[self._quiet_since + self._silence] = "no_change_timeout"
        return ends
