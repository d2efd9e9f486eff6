"""The shell of a session, as a bash on a terminal; a new bash replaces one that has died."""

import asyncio
import shlex
from collections.abc import Callable
from datetime import datetime

from sandbox_fakeproxy.clock import Clock
from sandbox_fakeproxy.runtime.command import Command
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.shell.commands import CommandRun, CommandStatus
from sandbox_fakeproxy.runtime.shell.sessions import ShellListener

from .descriptors import WRITE_LIMIT
from .launcher import Launcher
from .reports import Report
from .shell_process import ShellProcess

# A kill sends Ctrl-C twice, and then kills all processes of the session. The interval gives a
# program time to clean up. A program that is just being started is still a copy of the shell, which
# may lose Ctrl-C: it is sent again as soon as the copy has become a program.
_PRESSES = 2
_PRESS_INTERVAL = 1.5  # seconds
_LOOK_INTERVAL = 0.05  # seconds


class Bash:
    """Run commands one after the other in one persistent bash.

    If it dies (`exit` does not end it), the next command starts another in the same directory.
    """

    def __init__(
        self,
        launcher: Launcher,
        clock: Clock,
        listener: ShellListener,
        directory: str,
    ) -> None:
        self._launcher = launcher
        self.directory = directory
        self._paths = launcher.paths
        self._clock = clock
        self._listener = listener
        self._process: ShellProcess | None = None
        self._start_lock = asyncio.Lock()
        self._number = 0  # of the last command
        self._setup = ""  # shell code that goes to its directory
        self._script = ""
        self._run: CommandRun | None = None  # the last one
        self._has_begun = False
        self._early_input = ""  # written before the command had begun
        self._end_status: CommandStatus | None = None  # set by a kill or the hard timeout
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def start(self, run: CommandRun) -> None:
        """Start the command of a run; it ends at once if the session was closed meanwhile.

        Raises:
            RuntimeUnreachable: the shell cannot be started.
        """
        command = run.command
        self._run, self._has_begun, self._end_status = run, False, None
        self._number += 1
        self._setup, self._script, self._early_input = self._cd_to(command), command.text, ""
        async with self._start_lock:
            try:
                process = await self._ensure_process()
            except OSError as exc:
                raise RuntimeUnreachable(f"The shell cannot be started: {exc}") from exc
            await self._launcher.prepare_command()
            if self._closed:
                self._end_status = "terminated"
                self._end(0)
                return
            process.run(self._number, self._setup, self._script)
        if self._end_status is not None:  # killed before there was a shell
            self._press_ctrl_c(_PRESSES)
        elif command.hard_timeout is not None:
            self._schedule(command.hard_timeout, lambda: self._end_command("hard_timeout"))

    def write(self, text: str) -> bool:
        """Type text; return False, without typing it, if too much input is unread."""
        if self._has_begun and self._process is not None:
            return self._process.terminal.type(text)
        fits = len((self._early_input + text).encode()) <= WRITE_LIMIT
        if fits:
            self._early_input += text
        return fits

    def kill(self) -> None:
        """Interrupt the command, and kill the session if that does not end it."""
        self._end_command("terminated")

    def has_kept_state(self) -> bool:
        """Return whether the shell that ran the last command can run the next one."""
        return self._process is not None and not self._process.has_ended

    def process_due_events(self) -> None:
        """Do nothing: the listener gets events as they happen."""

    def next_event_at(self) -> datetime | None:
        """Return None: the time of the next event is unknown."""
        return None

    def is_idle(self) -> bool:
        """Return whether no process but the shell itself runs."""
        return self._process is None or self._process.has_ended or self._process.is_alone()

    async def close(self) -> None:
        """Kill the shell and all processes of its session."""
        self._closed = True
        self._stop_timer()
        async with self._start_lock:
            if self._process is not None and not self._process.has_ended:
                await self._process.close()

    def on_output(self, chunk: bytes) -> None:
        """Pass output on to the listener."""
        if chunk:
            self._listener.on_output(self._clock.now(), chunk)

    def on_report(self, report: Report) -> None:
        """Handle a report of the shell that a command has begun or ended."""
        self.directory = self._paths.api_path(report.directory)
        if report.number != self._number:
            self._resend()
        elif report.exit_code is None:
            self._begin()
        else:
            self._end(report.exit_code)

    def on_exit(self, exit_code: int) -> None:
        """Handle the end of the shell, which also ends the command."""
        self._end(exit_code)

    @property
    def _is_running(self) -> bool:
        return self._run is not None and self._run.is_running

    async def _ensure_process(self) -> ShellProcess:
        if self._process is None or self._process.has_ended:
            self._process = None  # the next reports are the new shell's
            process = ShellProcess(self._launcher.machine, self._paths, self)
            async with self._launcher.starting():
                await process.start(self._paths.command_path(self.directory))
            if process.has_ended:
                raise OSError("it ended before it could run anything")
            self._process = process
        return self._process

    def _cd_to(self, command: Command) -> str:
        if command.directory is None:
            return ""
        option = "-L" if command.keep_links else "-P"
        directory = shlex.quote(self._paths.command_path(command.directory))
        return f"builtin cd {option} -- {directory}"

    def _resend(self) -> None:
        """Send the command once more, as a late Ctrl-C may have discarded a part of it."""
        if self._is_running and self._process is not None:
            self._process.run(self._number, self._setup, self._script)

    def _begin(self) -> None:
        """Type the input and send the kill that arrived before the command had begun."""
        self._has_begun = True
        if self._early_input:
            self.write(self._early_input)
        if self._end_status is not None:
            self._press_ctrl_c(_PRESSES)

    def _end(self, exit_code: int) -> None:
        if self._is_running:
            self._stop_timer()
            self._listener.on_end(self._clock.now(), self._end_status or "completed", exit_code)

    def _end_command(self, status: CommandStatus) -> None:
        if self._is_running and self._end_status is None:
            self._end_status = status
            self._press_ctrl_c(_PRESSES)

    def _press_ctrl_c(self, presses_left: int) -> None:
        """Press Ctrl-C `presses_left` times, and then kill all processes of the session.

        Ctrl-C ends most commands and keeps the shell with its variables.
        """
        if self._process is None:
            return
        if presses_left == 0:
            self._process.kill()
            return
        copies = self._process.interrupt() if self._has_begun else set[int]()
        until = asyncio.get_running_loop().time() + _PRESS_INTERVAL
        self._await_end(presses_left, until, copies)

    def _await_end(self, presses_left: int, until: float, copies: set[int]) -> None:
        """Press Ctrl-C again at the time `until`, and before if one of `copies` runs a program.

        Those are the processes that were copies of the shell at the last Ctrl-C.
        """
        rest = until - asyncio.get_running_loop().time()
        if self._process is None or rest <= 0:
            self._press_ctrl_c(presses_left - 1)
            return
        if self._process.runs_program(copies):
            copies = self._process.interrupt()
        delay = min(rest, _LOOK_INTERVAL) if copies else rest
        self._schedule(delay, lambda: self._await_end(presses_left, until, copies))

    def _schedule(self, seconds: float, callback: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, callback)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
