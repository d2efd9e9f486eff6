"""A command with pipes: its process, its state, its output, and the waits for it."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from sandbox_fakeproxy.clock import Clock, Waiters
from sandbox_fakeproxy.runtime.command import Command

from .stream import OutputStream

PipeStatus = Literal["running", "completed", "timed_out", "killed"]
StreamName = Literal["stdout", "stderr"]
_TIMED_OUT_CODE = -1


class Process(Protocol):
    """The process of a command. It passes its events to a `ProcessListener`."""

    async def start(self) -> None:
        """Start the process; its end is an event.

        Raises:
            RuntimeUnreachable: it cannot be started.
        """
        ...

    def write(self, text: str) -> bool:
        """Write to its stdin; return False, and write nothing, if there is no room for all."""
        ...

    def send_signal(self, number: int) -> None:
        """Send a signal to its process group."""
        ...

    def process_due_events(self, until: datetime) -> None:
        """Pass the events up to a time to the listener."""
        ...

    def next_event_at(self) -> datetime | None:
        """Return the time of the next event; None if it is unknown or there is none."""
        ...

    def close(self) -> None:
        """Kill the process with its process session, and read no more of its output."""
        ...


class ProcessListener(Protocol):
    """A listener for the events of a process, which runs a `command`."""

    @property
    def command(self) -> Command:
        """The command to run, with its directory and environment."""
        ...

    def on_output(self, stream: StreamName, chunk: bytes) -> None:
        """Handle output of the process, or of those that it has left behind."""
        ...

    def on_hard_timeout(self) -> None:
        """Handle that the hard timeout has passed: the process is about to be killed."""
        ...

    def on_exit(self, exit_code: int, moment: datetime | None = None) -> None:
        """Handle the end of the process, at some moment or just now.

        The code is negative if a signal has ended it.
        """
        ...


OpenProcess = Callable[[ProcessListener], Process]


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clock of commands and of the waits for them, and the proxy's, which a test may advance.

    They are one clock where commands are scripted.
    """

    commands: Clock
    proxy: Clock


class PipeCommand:
    """A command from its start, and the only object that knows whether it is still running.

    Its output is kept in files in the folder `spool`; without a folder, in memory.
    """

    def __init__(
        self,
        command_id: str,
        command: Command,
        open_process: OpenProcess,
        clocks: Clocks,
        spool: Path | None = None,
    ) -> None:
        self.id = command_id
        self.command = command
        self.status: PipeStatus = "running"
        self.exit_code: int | None = None
        self.stdout = OutputStream(spool)
        self.stderr = OutputStream(spool)
        self.ended_at: datetime | None = None  # on the proxy's clock
        self._clocks = clocks
        self._changes = Waiters()
        self._has_timed_out = False
        self._was_killed = False
        self._process = open_process(self)

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended yet."""
        return self.status == "running"

    async def start(self) -> None:
        """Start the process.

        Raises:
            RuntimeUnreachable: it cannot be started.
        """
        await self._process.start()

    def process_due_events(self) -> None:
        """Apply the events of the process up to now."""
        self._process.process_due_events(self._clocks.commands.now())

    async def wait(
        self, deadline: datetime | None, is_enough: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until the command has ended, `is_enough` returns True, or the deadline has passed.

        An event at the deadline itself is still in time, also if the clock jumps past both.
        """
        while True:
            now = self._clocks.commands.now()
            is_late = deadline is not None and deadline <= now
            self._process.process_due_events(now if deadline is None else min(now, deadline))
            if is_late or not self.is_running or is_enough():
                return
            await self._wait_for_event(deadline)

    def write(self, text: str) -> bool:
        """Write to stdin; return False, and write nothing, if there is no room for all."""
        return self._process.write(text)

    def kill(self, number: int) -> None:
        """Send a signal to the process group; the command is `killed` if it ends by a signal."""
        self._was_killed = True
        self._process.send_signal(number)

    def close(self) -> None:
        """End the command with its process session, and add no more output."""
        self._was_killed = True
        self._process.close()
        if self.is_running:
            self.on_exit(-signal.SIGKILL)

    def on_output(self, stream: StreamName, chunk: bytes) -> None:
        """Add output; processes that the command has left behind may write after its end."""
        (self.stdout if stream == "stdout" else self.stderr).feed(chunk)
        self._changes.wake()

    def on_hard_timeout(self) -> None:
        """Let the end of the command count as the hard timeout."""
        self._has_timed_out = True

    def on_exit(self, exit_code: int, moment: datetime | None = None) -> None:
        """Record the end of the command."""
        if not self.is_running:
            return
        self.ended_at = moment or self._clocks.proxy.now()
        self.stdout.finish()
        self.stderr.finish()
        if self._has_timed_out:
            self.status, self.exit_code = "timed_out", _TIMED_OUT_CODE
        else:
            is_killed = self._was_killed and exit_code < 0
            self.status, self.exit_code = "killed" if is_killed else "completed", exit_code
        self._changes.wake()

    async def _wait_for_event(self, deadline: datetime | None) -> None:
        moments = [moment for moment in (deadline, self._process.next_event_at()) if moment]
        waits: list[asyncio.Future[None]] = [self._changes.wait()]
        if moments:
            waits.append(asyncio.ensure_future(self._clocks.commands.sleep_until(min(moments))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
