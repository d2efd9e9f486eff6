"""One bash from its start to its end: its process, its terminal and its channel of commands."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Protocol
from uuid import uuid4

from sandbox_fakeproxy.runtime.cleanup.processes import kill_session, session_has_others
from sandbox_fakeproxy.runtime.paths import SandboxPaths

from .machine import Machine, StartedShell
from .reports import Report, Reports
from .terminal import Sending, Terminal

_DRIVER = Path(__file__).with_name("driver.sh")
_MOST_PENDING = 64 * 1024 * 1024  # more than a request may bring
_START_PATIENCE = 30.0  # seconds; a hundred at once on a slow machine are still far from it
_PATIENCE = 2.0  # seconds; a process that is not gone by then hangs in the kernel


class ProcessListener(Protocol):
    """A listener for the output, the reports and the end of a shell."""

    def on_output(self, chunk: bytes) -> None:
        """Take output."""
        ...

    def report(self, report: Report) -> None:
        """Take the shell's word that a command has begun or ended."""
        ...

    def on_exit(self, exit_code: int) -> None:
        """Take the shell's end."""
        ...


class ShellProcess:
    """A bash that runs, or has run."""

    def __init__(self, machine: Machine, paths: SandboxPaths, owner: ProcessListener) -> None:
        self.has_ended = False
        self._machine = machine
        self._paths = paths
        self._owner = owner
        self._mark = uuid4().hex
        self._reports = Reports(self._mark)
        self._channel = paths.channels / self._mark
        self._commands = -1
        self._shell: StartedShell | None = None
        self._watching: asyncio.Task[None] | None = None
        self._heard_of = asyncio.Event()

    async def start(self, directory: str) -> None:
        """Start it, in a directory as commands call it, and wait until it reads commands.

        Raises:
            OSError: it cannot be started.
        """
        pty = await self._machine.open_pty()
        self.terminal = Terminal(pty, self._read)
        try:
            self._open_channel()
            async with asyncio.timeout(_START_PATIENCE):
                self._shell = await self._machine.start_shell(pty, self._mark)
        except BaseException:
            self._release()
            raise
        self._watching = asyncio.ensure_future(self._watch(self._shell))
        channel = quote(self._paths.channel_command_path(self._mark))
        state = f"__sandbox_channel={channel}\n__sandbox_mark={self._mark}\n"
        go = f"builtin cd -- {quote(directory)} 2>/dev/null\nunset OLDPWD\n"
        self._put(state + go + _DRIVER.read_text(encoding="utf-8"))
        try:
            await asyncio.wait_for(self._heard_of.wait(), _START_PATIENCE)
        except TimeoutError as exc:
            await self.close()
            raise OSError(f"It is silent for {_START_PATIENCE:g} s") from exc

    def run(self, number: int, go: str, script: str) -> None:
        """Run a script under a number, after the shell code `go`."""
        self.terminal.make_plain()
        self._put(f"{self._mark} {number}", go, script)

    def interrupt(self) -> None:
        """Interrupt the foreground processes as Ctrl-C does, with any settings of the terminal."""
        group = self.terminal.foreground()
        if group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGINT)

    def kill(self) -> None:
        """Kill the shell and all of its session."""
        if self._shell is not None:
            kill_session(self._shell.leader)

    def is_alone(self) -> bool:
        """Tell whether nothing but the shell runs in its session."""
        return self._shell is None or not session_has_others(self._shell.leader)

    async def close(self) -> None:
        """Kill it and wait for its end."""
        self.kill()
        if self._watching is not None:
            await asyncio.wait({self._watching}, timeout=_PATIENCE)
        self._release()

    def _open_channel(self) -> None:
        os.mkfifo(self._channel, 0o600)
        self._paths.set_owner(self._channel)
        # Open both ways: neither end waits for the other, and the shell never reads an end.
        self._commands = os.open(self._channel, os.O_RDWR | os.O_NONBLOCK)
        self._sending = Sending(self._commands, _MOST_PENDING)

    async def _watch(self, shell: StartedShell) -> None:
        code = await shell.ended
        self.terminal.drain()
        self._owner.on_output(self._reports.flush())
        self.has_ended = True
        self._heard_of.set()
        self._release()
        self._owner.on_exit(128 - code if code < 0 else code)

    def _read(self, chunk: bytes) -> None:
        for each in self._reports.read(chunk):
            if isinstance(each, Report):
                self._heard_of.set()
                self._owner.report(each)
            else:
                self._owner.on_output(each)

    def _put(self, *fields: str) -> None:
        self._sending.send(b"".join(field.encode() + b"\0" for field in fields))

    def _release(self) -> None:
        self.terminal.close()
        if self._commands >= 0:
            self._sending.close()
            os.close(self._commands)
            self._commands = -1
            self._channel.unlink(missing_ok=True)
