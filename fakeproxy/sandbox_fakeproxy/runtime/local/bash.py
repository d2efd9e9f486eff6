"""A session's shell that really runs: a bash on a terminal, and another one should that die."""

import asyncio
import logging
import shlex
from collections.abc import Callable
from datetime import datetime

from sandbox_fakeproxy.clock import Clock
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.paths import SandboxPaths
from sandbox_fakeproxy.runtime.shell.commands import Command, CommandRun, CommandStatus
from sandbox_fakeproxy.runtime.shell.sessions import ShellListener

from .machine import Machine
from .reports import Report
from .shell_process import ShellProcess
from .terminal import TYPED_LIMIT

LOG = logging.getLogger("sandbox_fakeproxy.sandboxes")
# Ctrl-C twice, then the end of everything in the session. Once may not do: a program that is just
# being started is still a copy of the shell, which heeds it otherwise. Between them, a program has
# time to clean up.
_PRESSES = 2
_BETWEEN_PRESSES = 1.5  # seconds


class Bash:
    """Run commands one after the other in one persistent bash.

    Should it die, which `exit` does not make it do, the next command starts another in the
    directory where it was.
    """

    def __init__(
        self,
        paths: SandboxPaths,
        machine: Machine,
        clock: Clock,
        listener: ShellListener,
        directory: str,
        starts: asyncio.Semaphore,
        before: Callable[[], None] | None = None,
    ) -> None:
        self._before = before  # called in a thread before each command; may fail
        self._starts = starts  # shared by all that start shells
        self.directory = directory
        self._paths = paths
        self._machine = machine
        self._clock = clock
        self._listener = listener
        self._process: ShellProcess | None = None
        self._starting = asyncio.Lock()
        self._number = 0
        self._script = ("", "")  # the way to where it runs, and itself
        self._run: CommandRun | None = None  # the last one
        self._has_begun = False
        self._typed = ""
        self._ended_by: CommandStatus | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def start(self, run: CommandRun) -> None:
        """Start the command of a run, which ends at once if the session was closed meanwhile.

        Raises:
            RuntimeUnreachable: no shell can be started.
        """
        command = run.command
        self._run, self._has_begun, self._ended_by = run, False, None
        self._number += 1
        self._script, self._typed = (self._way_to(command), command.text), ""
        async with self._starting:
            try:
                process = await self._living()
            except OSError as exc:
                raise RuntimeUnreachable(f"The shell cannot be started: {exc}") from exc
            await self._prepare()
            if self._closed:
                self._ended_by = "terminated"
                self._end(0)
                return
            process.run(self._number, *self._script)
        if self._ended_by is not None:  # killed before there was a shell
            self._press_ctrl_c()
        elif command.hard_timeout is not None:
            self._after(command.hard_timeout, lambda: self._end_command("hard_timeout"))

    def write(self, text: str) -> bool:
        """Type something; tell whether there was room for it."""
        if self._has_begun and self._process is not None:
            return self._process.terminal.type(text)
        fits = len((self._typed + text).encode()) <= TYPED_LIMIT
        if fits:
            self._typed += text
        return fits

    def kill(self) -> None:
        """Begin to end the command."""
        self._end_command("terminated")

    def has_kept_state(self) -> bool:
        """Tell whether the shell that ran the last command is there to run the next one."""
        return self._process is not None and not self._process.has_ended

    def process_due_events(self) -> None:
        """Do nothing: events are passed on at once."""

    def next_event_at(self) -> datetime | None:
        """Return None: the time of the next event is unknown."""
        return None

    def is_idle(self) -> bool:
        """Tell whether nothing but the shell itself runs."""
        return self._process is None or self._process.has_ended or self._process.is_alone()

    async def close(self) -> None:
        """End the shell with all that runs in its session."""
        self._closed = True
        self._stop_timer()
        async with self._starting:
            if self._process is not None and not self._process.has_ended:
                await self._process.close()

    def on_output(self, chunk: bytes) -> None:
        """Take output."""
        if chunk:
            self._listener.on_output(self._clock.now(), chunk)

    def report(self, report: Report) -> None:
        """Take the shell's word that a command has begun or ended."""
        self.directory = self._paths.api_path(report.directory)
        if report.number != self._number:
            self._send_again()
        elif report.exit_code is None:
            self._begin()
        else:
            self._end(report.exit_code)

    def on_exit(self, exit_code: int) -> None:
        """Take the end of the shell, which is that of the command too."""
        self._end(exit_code)

    @property
    def _is_running(self) -> bool:
        return self._run is not None and self._run.is_running

    async def _prepare(self) -> None:
        if self._before is not None:
            try:
                await asyncio.to_thread(self._before)
            except Exception:  # the command runs all the same
                LOG.exception("A sandbox could not be prepared for a command")

    async def _living(self) -> ShellProcess:
        if self._process is None or self._process.has_ended:
            self._process = None  # the next reports are the new shell's
            await asyncio.to_thread(self._paths.create)
            process = ShellProcess(self._machine, self._paths, self)
            async with self._starts:
                await process.start(self._paths.command_path(self.directory))
            if process.has_ended:
                raise OSError("it ended before it could run anything")
            self._process = process
        return self._process

    def _way_to(self, command: Command) -> str:
        if command.directory is None:
            return ""
        links = "-L" if command.keep_links else "-P"
        where = shlex.quote(self._paths.command_path(command.directory))
        return f"builtin cd {links} -- {where}"

    def _send_again(self) -> None:
        """Repeat a command of which a late Ctrl-C may have eaten a part."""
        if self._is_running and self._process is not None:
            self._process.run(self._number, *self._script)

    def _begin(self) -> None:
        """Type the input and send the kill that arrived before the command had begun."""
        self._has_begun = True
        if self._typed:
            self.write(self._typed)
        if self._ended_by is not None:
            self._press_ctrl_c()

    def _end(self, exit_code: int) -> None:
        if self._is_running:
            self._stop_timer()
            self._listener.on_end(self._clock.now(), self._ended_by or "completed", exit_code)

    def _end_command(self, status: CommandStatus) -> None:
        if self._is_running and self._ended_by is None:
            self._ended_by = status
            self._press_ctrl_c()

    def _press_ctrl_c(self, presses_left: int = _PRESSES) -> None:
        """Press Ctrl-C up to `presses_left` times, and then kill the whole session.

        Ctrl-C ends most commands and leaves the shell as it was.
        """
        if self._process is None:
            return
        if presses_left == 0:
            self._process.kill()
            return
        if self._has_begun:
            self._process.interrupt()
        self._after(_BETWEEN_PRESSES, lambda: self._press_ctrl_c(presses_left - 1))

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, act)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
