"""A command of a session: its state, its output, and how long callers wait for it.

Events are passed in with their times, in order, and nothing here reads a clock. So a clock that
jumps past several limits at once has the same result as one that moves in small steps.
"""

import asyncio
import codecs
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from sandbox_fakeproxy.runtime.command import Command

from .output import FULL_LIMIT, TRUNCATED_LIMIT, Output, Snapshot

CommandStatus = Literal["running", "completed", "no_change_timeout", "hard_timeout", "terminated"]


@dataclass(frozen=True, slots=True)
class CommandState:
    """The state of a command at one moment; it has an exit code only if it ended by itself."""

    status: CommandStatus
    output: Snapshot
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """How long a caller waits, in seconds: in total, and without new output."""

    timeout: float | None = None
    idle_timeout: float | None = None


class CommandRun:
    """One run of a command, and the only object that knows whether it is still running.

    If callers may ask for the full output, it is kept in files in the folder `spool`; without a
    folder, in memory.
    """

    def __init__(self, command: Command, directory: str, spool: Path | None = None) -> None:
        self.command = command
        self.directory = directory  # in which it was started, for the prompt
        self.status: CommandStatus = "running"
        self.exit_code: int | None = None
        self._over = asyncio.Event()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        # The first one is kept when the output is released; callers get the last one.
        self._outputs = [Output(TRUNCATED_LIMIT)]
        if not command.truncate:
            self._outputs.append(Output(FULL_LIMIT, spool))
        self._final_output: Snapshot | None = None
        self._waiters: list[Waiter] = []

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended yet."""
        return not self._over.is_set()

    @property
    def output(self) -> Snapshot:
        """The output so far."""
        return self._final_output or self._outputs[-1].snapshot()

    @property
    def state(self) -> CommandState:
        """The present state."""
        return CommandState(self.status, self.output, self.exit_code)

    async def wait_until_over(self) -> None:
        """Wait until the command has ended."""
        await self._over.wait()

    def on_output(self, moment: datetime, chunk: bytes) -> None:
        """Add output; background jobs may still write after the command itself has ended."""
        if self._final_output is None:
            for waiter in self._waiters:
                waiter.on_output(moment)
            self._feed(self._decoder.decode(chunk))

    def on_end(self, moment: datetime, status: CommandStatus, exit_code: int | None) -> None:
        """Record the end of the command."""
        for waiter in self._waiters:
            waiter.check_time(moment, inclusive=False)
        self._feed(self._decoder.decode(b"", final=True))  # replaces an incomplete character
        self._decoder.reset()
        self.status = status
        self.exit_code = exit_code if status == "completed" else None
        self._over.set()
        for waiter in self._waiters:
            waiter.save_result()

    def abandon(self) -> None:
        """Record that the command could not be started."""
        self.status = "terminated"
        self._over.set()

    def release_output(self) -> None:
        """Keep only the truncated output, and add no more.

        The session calls this when it starts another command or is closed.
        """
        if self._final_output is None:
            self._final_output = Snapshot.of(self._outputs[0].snapshot().text())
            self._outputs.clear()

    def add_waiter(self, waiter: "Waiter") -> None:
        """Pass events on to a waiting caller."""
        self._waiters.append(waiter)

    def remove_waiter(self, waiter: "Waiter") -> None:
        """Stop passing events on to a caller."""
        self._waiters.remove(waiter)

    def _feed(self, text: str) -> None:
        for output in self._outputs:
            output.feed(text)


class Waiter:
    """One caller's wait for a command, within limits."""

    def __init__(self, run: CommandRun, now: datetime, limits: WaitLimits) -> None:
        self._run = run
        self._timeout_at = (
            None if limits.timeout is None else now + timedelta(seconds=limits.timeout)
        )
        self._idle_timeout = (
            None if limits.idle_timeout is None else timedelta(seconds=limits.idle_timeout)
        )
        self._last_output_at = now
        self._result: CommandState | None = None

    @property
    def result(self) -> CommandState | None:
        """The command's state at the end of the wait; None while the wait goes on."""
        if self._result is None and not self._run.is_running:
            self.save_result()
        return self._result

    @property
    def ends_at(self) -> datetime | None:
        """The time at which the wait ends, if there is no event before."""
        return min(self._limits, default=None)

    def on_output(self, moment: datetime) -> None:
        """Restart the idle timeout, as the command has written output."""
        self.check_time(moment, inclusive=False)
        self._last_output_at = moment

    def save_result(self) -> None:
        """Save the state at the command's end, as the session may release its output later."""
        self._result = self._result or self._run.state

    def check_time(self, now: datetime, *, inclusive: bool = True) -> None:
        """End the wait if a limit has passed.

        A limit at `now` itself has passed only if `inclusive`: an event at that very time is still
        in time.
        """
        ends_at = self.ends_at
        if self.result is not None or ends_at is None or ends_at > now:
            return
        if inclusive or ends_at < now:
            self._result = CommandState(self._limits[ends_at], self._run.output)

    @property
    def _limits(self) -> dict[datetime, CommandStatus]:
        """The end of each limit with the status that the caller gets then."""
        limits: dict[datetime, CommandStatus] = {}
        if self._timeout_at is not None:
            limits[self._timeout_at] = "running"
        if self._idle_timeout is not None:
            limits[self._last_output_at + self._idle_timeout] = "no_change_timeout"
        return limits
