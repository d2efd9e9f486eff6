"""One bash from its start to its end: its process, its terminal and its command channel."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Protocol
from uuid import uuid4

from sandbox_fakeproxy.runtime.cleanup.processes import (
    copies_in_group,
    kill_session,
    runs_other,
    session_has_others,
)
from sandbox_fakeproxy.runtime.paths import SandboxPaths

from .channel import Channel
from .machine import Machine, StartedShell
from .reports import Report, ReportParser
from .terminal import Terminal

_DRIVER = Path(__file__).with_name("driver.sh")
_START_TIMEOUT = 30.0  # seconds; a hundred starts at once on a slow machine take far less
_END_TIMEOUT = 2.0  # seconds; a process that has not ended by then hangs in the kernel


class ProcessListener(Protocol):
    """A listener to the output, the reports and the end of a shell."""

    def on_output(self, chunk: bytes) -> None:
        """Handle output of the shell's commands."""
        ...

    def on_report(self, report: Report) -> None:
        """Handle a report that a command has begun or ended."""
        ...

    def on_exit(self, exit_code: int) -> None:
        """Handle the end of the shell."""
        ...


class ShellProcess:
    """A bash on a terminal, which reads commands from a named pipe, its channel."""

    def __init__(self, machine: Machine, paths: SandboxPaths, listener: ProcessListener) -> None:
        self.has_ended = False
        self._machine = machine
        self._paths = paths
        self._listener = listener
        self._mark = uuid4().hex
        self._reports = ReportParser(self._mark)
        self._channel: Channel | None = None
        self._shell: StartedShell | None = None
        self._bash: int | None = None  # its process
        self._exit_watch: asyncio.Task[None] | None = None
        self._has_reported = asyncio.Event()

    async def start(self, directory: str) -> None:
        """Start the shell in a directory, named as commands see it; wait until it reads commands.

        Raises:
            OSError: the shell cannot be started.
        """
        pty = await self._machine.open_pty()
        self.terminal = Terminal(pty, self._read)
        try:
            self._channel = Channel(self._paths, self._mark)
            async with asyncio.timeout(_START_TIMEOUT):
                self._shell = await self._machine.start_shell(pty, self._mark)
        except BaseException:
            self._release()
            raise
        self._exit_watch = asyncio.ensure_future(self._wait_for_exit(self._shell))
        channel = quote(self._channel.command_path)
        state = f"__sandbox_channel={channel}\n__sandbox_mark={self._mark}\n"
        setup = f"builtin cd -- {quote(directory)} 2>/dev/null\nunset OLDPWD\n"
        self._send(state + setup + _DRIVER.read_text(encoding="utf-8"))
        try:
            await asyncio.wait_for(self._has_reported.wait(), _START_TIMEOUT)
        except TimeoutError as exc:
            await self.close()
            raise OSError(f"it reported nothing for {_START_TIMEOUT:g} s") from exc
        self._bash = self.terminal.foreground_group()

    def run(self, number: int, setup: str, script: str) -> None:
        """Run the shell code `setup` and then the command `script`, which reports as `number`."""
        self.terminal.reset_modes()
        self._send(f"{self._mark} {number}", setup, script)

    def interrupt(self) -> set[int]:
        """Interrupt the foreground processes as Ctrl-C does, with any terminal settings.

        Return those that are copies of the shell, which run no program yet.
        """
        group, copies = self.terminal.foreground_group(), set[int]()
        if group is not None:
            if self._bash is not None:
                copies = copies_in_group(group, self._bash)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGINT)
        return copies

    def runs_program(self, copies: set[int]) -> bool:
        """Return whether one of these copies of the shell has become a program."""
        return self._bash is not None and any(runs_other(pid, self._bash) for pid in copies)

    def kill(self) -> None:
        """Kill the shell and all processes of its session."""
        if self._shell is not None:
            kill_session(self._shell.leader)

    def is_alone(self) -> bool:
        """Return whether no other process runs in the shell's session."""
        return self._shell is None or not session_has_others(self._shell.leader)

    async def close(self) -> None:
        """Kill the shell with its session, and wait for its end."""
        self.kill()
        if self._exit_watch is not None:
            await asyncio.wait({self._exit_watch}, timeout=_END_TIMEOUT)
        self._release()

    async def _wait_for_exit(self, shell: StartedShell) -> None:
        code = await shell.exit_code
        self.terminal.drain()
        self._listener.on_output(self._reports.flush())
        self.has_ended = True
        self._has_reported.set()
        self._release()
        self._listener.on_exit(128 - code if code < 0 else code)

    def _read(self, chunk: bytes) -> None:
        for part in self._reports.feed(chunk):
            if isinstance(part, Report):
                self._has_reported.set()
                self._listener.on_report(part)
            else:
                self._listener.on_output(part)

    def _send(self, *fields: str) -> None:
        if self._channel is not None:
            self._channel.send(*fields)

    def _release(self) -> None:
        self.terminal.close()
        if self._channel is not None:
            self._channel.close()
