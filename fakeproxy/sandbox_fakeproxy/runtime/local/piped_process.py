"""The process of one command of the pipe API: a `bash -c` with three named pipes.

A bash that reads its setup from a channel, as the shells on terminals do, opens the pipes and then
executes the command's own bash. So the command runs in the jail and with the limits of all others,
and leads a process session and a process group of its own.
"""

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from shlex import quote
from uuid import uuid4

from sandbox_fakeproxy.runtime.cleanup.processes import kill_session
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.paths import SandboxPaths
from sandbox_fakeproxy.runtime.pipe.commands import ProcessListener, StreamName

from .channel import Channel, create_pipe
from .descriptors import NonBlockingReader, NonBlockingWriter
from .launcher import Launcher
from .machine import StartedShell

_START_TIMEOUT = 30.0  # seconds; as for the shells on terminals


class PipedProcess:
    """Run a command with pipes, on the machine of its sandbox.

    A process that the command leaves behind may keep the pipes open: its output is read until it
    closes them.
    """

    def __init__(self, launcher: Launcher, listener: ProcessListener) -> None:
        self._launcher = launcher
        self._listener = listener
        self._pipes: _Pipes | None = None
        self._shell: StartedShell | None = None  # while the command runs
        self._signals: list[int] = []  # sent before it had started
        self._timer: asyncio.TimerHandle | None = None
        self._exit_watch: asyncio.Task[None] | None = None
        self._is_closed = False

    async def start(self) -> None:
        """Start the process.

        Raises:
            RuntimeUnreachable: it cannot be started.
        """
        name, limit = uuid4().hex, self._listener.command.hard_timeout
        try:
            async with self._launcher.starting(), asyncio.timeout(_START_TIMEOUT):
                await self._launcher.prepare_command()
                if self._is_closed:
                    return
                self._pipes = _Pipes(self._launcher.paths, name, self._listener)
                self._pipes.channel.send(self._setup(self._pipes))
                self._shell = await self._launcher.machine.start_shell(None, name)
        except OSError as exc:  # a TimeoutError, too
            self.close()
            raise RuntimeUnreachable(f"The command cannot be started: {exc}") from exc
        self._exit_watch = asyncio.ensure_future(self._wait_for_exit(self._shell))
        for number in self._signals:
            self.send_signal(number)
        if self._is_closed:
            self.close()
        elif limit is not None:
            self._timer = asyncio.get_running_loop().call_later(limit, self._time_out)

    def write(self, text: str) -> bool:
        """Write to its stdin; return False, and write nothing, if too much is unread."""
        return self._pipes is None or self._pipes.stdin.send(text.encode())

    def send_signal(self, number: int) -> None:
        """Send a signal to its process group, now or when it has started."""
        if self._shell is None:
            self._signals.append(number)
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._shell.leader, number)

    def process_due_events(self, until: datetime) -> None:
        """Do nothing: the listener gets events as they happen."""

    def next_event_at(self) -> None:
        """Return None: the time of the next event is unknown."""

    def close(self) -> None:
        """Kill the process with its process session, and read no more of its output."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._shell is not None:
            kill_session(self._shell.leader)
        if self._pipes is not None:
            self._pipes.close()

    def _setup(self, pipes: "_Pipes") -> str:
        """Return the code that turns a bash into the one of the command."""
        command, paths = self._listener.command, self._launcher.paths
        script = command.text
        if command.snapshot is not None:
            script = f"builtin . {quote(paths.command_path(command.snapshot))}\n{script}"
        directory = quote(paths.command_path(command.directory or ""))
        stdin, stdout, stderr = map(quote, pipes.command_paths)
        return (
            f"cd -- {directory} 2>/dev/null || cd; unset OLDPWD\n"
            f"exec <{stdin} >{stdout} 2>{stderr}\n"
            f"{start_code(script, command.env)}"
        )

    async def _wait_for_exit(self, shell: StartedShell) -> None:
        code = await shell.exit_code
        self._shell = None  # its process id may be another's from now on
        if self._timer is not None:
            self._timer.cancel()
        if self._pipes is not None:
            self._pipes.end_input()
        self._listener.on_exit(code)

    def _time_out(self) -> None:
        self._listener.on_hard_timeout()
        self.send_signal(signal.SIGKILL)


# A variable of this name is exported by bash itself, so that its value is on no command line. The
# others, which have a meaning to bash or cannot be its variables, are set by `env`.
_PLAIN_NAME = re.compile(
    r"(?!(?:BASH|LC_)|(?:LANG|PATH|IFS|SHLVL|SHELLOPTS|POSIXLY_CORRECT|UID|EUID|PPID|GROUPS|FUNCNAME"
    r"|DIRSTACK|HISTCMD|LINENO|RANDOM|SRANDOM|SECONDS|EPOCH\w*|COMP_WORDBREAKS|_)\Z)"
    r"[A-Za-z_][A-Za-z0-9_]*"
)


def start_code(script: str, env: Mapping[str, str]) -> str:
    """Return the code by which a bash becomes the one that runs `script` with these variables."""
    plain = {name: value for name, value in env.items() if _PLAIN_NAME.fullmatch(name)}
    others = {name: value for name, value in env.items() if name not in plain}
    export = f"export {_assignments(plain)}\n" if plain else ""
    prefix = f"env -- {_assignments(others)} " if others else ""
    return f'{export}exec {prefix}"$BASH" -c {quote(script)} bash'


def _assignments(env: Mapping[str, str]) -> str:
    return " ".join(quote(f"{name}={value}") for name, value in env.items())


class _Pipes:
    """The channel, stdin, stdout and stderr of one command."""

    def __init__(self, paths: SandboxPaths, name: str, listener: ProcessListener) -> None:
        names = [f"{name}-{stream}" for stream in ("stdin", "stdout", "stderr")]
        self.command_paths = [paths.channel_command_path(each) for each in names]
        self.channel = Channel(paths, name)
        self._listener = listener
        self._files = [create_pipe(paths, each) for each in names]
        stdin, stdout, stderr = self._files
        # For both ways, as it could not be opened for writing before the command reads it.
        self._descriptors = [_open(stdin, os.O_RDWR), _open(stdout), _open(stderr)]
        self.stdin = NonBlockingWriter(self._descriptors[0])
        self._readers = [self._reader(1, "stdout"), self._reader(2, "stderr")]

    def end_input(self) -> None:
        """Read what the command has written, and drop what it has not read; remove the files."""
        for reader in self._readers:
            reader.drain()
        self.stdin.close()
        self._close_descriptor(0)
        self.channel.close()
        for file in self._files:
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Close everything."""
        for reader in self._readers:
            reader.close()
        self.end_input()
        self._close_descriptor(1)
        self._close_descriptor(2)

    def _reader(self, index: int, stream: StreamName) -> NonBlockingReader:
        return NonBlockingReader(
            self._descriptors[index],
            lambda chunk: self._listener.on_output(stream, chunk),
            lambda: self._close_descriptor(index),
        )

    def _close_descriptor(self, index: int) -> None:
        if self._descriptors[index] >= 0:
            os.close(self._descriptors[index])
            self._descriptors[index] = -1


def _open(path: Path, flags: int = os.O_RDONLY) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
