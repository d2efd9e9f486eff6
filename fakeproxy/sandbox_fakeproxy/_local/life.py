"""One bash from its start to its end: a process, the terminal it reads, and who commands it.

Commands come through a pipe with a name: what a shell inherits, its commands would inherit too.
"""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Protocol
from uuid import uuid4

from .processes import kill_session, session_has_others
from .reports import Report, Reports
from .signals import with_default_signals
from .terminal import Sending, Terminal

_DRIVER = Path(__file__).with_name("driver.sh")
# The shell is a session's leader without a terminal, so that the first one it opens becomes its.
_START = (
    'exec 0<>{terminal} 1>&0 2>&0; IFS= read -r -d "" __sandbox_state <{channel};'
    ' eval "$__sandbox_state"; eval "$__sandbox_loop"'
)
_MOST_PENDING = 64 * 1024 * 1024  # more than a request may bring
_START_PATIENCE = 30.0  # seconds; a hundred at once on a slow machine are still far from it
_PATIENCE = 2.0  # seconds; a process that is not gone by then hangs in the kernel


@dataclass(frozen=True, slots=True)
class Launch:
    """How a place's shells are started.

    `wrapper` is what isolates them, if anything; `channels` is a directory, and what they call
    it; `leaders` collects the ids of the process sessions that they lead.
    """

    bash: str
    wrapper: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    channels: tuple[Path, str]
    leaders: set[int]


class Owner(Protocol):
    """Who is told what happens in a shell."""

    def hear(self, chunk: bytes) -> None:
        """Take output."""
        ...

    def report(self, report: Report) -> None:
        """Take the shell's word that a command has begun or ended."""
        ...

    def die(self, exit_code: int) -> None:
        """Take the shell's end."""
        ...


class Life:
    """A bash that runs, or has run."""

    def __init__(self, launch: Launch, owner: Owner) -> None:
        self.has_ended = False
        self.terminal = Terminal(self._read)
        self._launch = launch
        self._owner = owner
        self._mark = uuid4().hex
        self._reports = Reports(self._mark)
        channels, seen_as = launch.channels
        self._channel = channels / self._mark
        self._channel_name = f"{seen_as}/{self._mark}"
        os.mkfifo(self._channel, 0o600)
        # Open both ways: neither end waits for the other, and the shell never reads an end.
        self._commands = os.open(self._channel, os.O_RDWR | os.O_NONBLOCK)
        self._sending = Sending(self._commands, _MOST_PENDING)
        self._leader: int | None = None
        self._process: Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._heard_of = asyncio.Event()

    async def start(self, directory: str) -> None:
        """Start it, in a directory as commands call it, and wait until it reads commands.

        Raises:
            OSError: it cannot be started.
        """
        try:
            self._process = await self._spawn()
        except BaseException:
            self._release()
            raise
        if not self._launch.wrapper:
            self._lead(self._process.pid)
        self._watching = asyncio.ensure_future(self._watch(self._process))
        state = f"__sandbox_channel={quote(self._channel_name)}\n__sandbox_mark={self._mark}\n"
        go = f"builtin cd -- {quote(directory)} 2>/dev/null\nunset OLDPWD\n"
        self._put(state + go + _DRIVER.read_text(encoding="utf-8"))
        try:
            await asyncio.wait_for(self._heard_of.wait(), _START_PATIENCE)
        except TimeoutError as exc:
            await self.close()
            raise OSError(f"It is silent for {_START_PATIENCE:g} s") from exc

    def run(self, number: int, go: str, script: str) -> None:
        """Run a script, whose end has this number; the driver does `go` first."""
        self.terminal.make_plain()
        self._put(f"{self._mark} {number}", go, script)

    def interrupt(self) -> None:
        """Do what Ctrl-C does, whatever the terminal's settings."""
        group = self.terminal.foreground()
        if group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGINT)

    def kill(self) -> None:
        """Kill the shell and all of its session."""
        if self._leader is not None:
            kill_session(self._leader)
        elif self._process is not None and self._process.returncode is None:
            self._process.kill()

    def is_alone(self) -> bool:
        """Tell whether nothing but the shell runs in its session."""
        return self._leader is None or not session_has_others(self._leader)

    async def close(self) -> None:
        """Kill it and wait for its end."""
        self.kill()
        if self._watching is not None:
            await asyncio.wait({self._watching}, timeout=_PATIENCE)
        self._release()

    async def _spawn(self) -> Process:
        far = self.terminal.far
        start = _START.format(terminal=quote(self.terminal.name), channel=quote(self._channel_name))
        bash = (self._launch.bash, "--norc", "--noprofile", "-c", start, "bash")
        return await asyncio.create_subprocess_exec(
            *with_default_signals([*self._launch.wrapper, *bash]),
            stdin=far,
            stdout=far,
            stderr=far,
            cwd=self._launch.directory,
            env=self._launch.environment,
            start_new_session=True,
        )

    async def _watch(self, process: Process) -> None:
        code = await process.wait()
        self.terminal.drain()
        self._owner.hear(self._reports.flush())
        self.has_ended = True
        self._heard_of.set()
        self._release()
        self._owner.die(128 - code if code < 0 else code)

    def _read(self, chunk: bytes) -> None:
        for each in self._reports.read(chunk):
            if isinstance(each, Report):
                self._lead(each.pid)
                self._heard_of.set()
                self._owner.report(each)
            else:
                self._owner.hear(each)

    def _lead(self, pid: int) -> None:
        self._leader = pid
        self._launch.leaders.add(pid)

    def _put(self, *fields: str) -> None:
        self._sending.send(b"".join(field.encode() + b"\0" for field in fields))

    def _release(self) -> None:
        if self._commands < 0:
            return
        self.terminal.close()
        self._sending.close()
        os.close(self._commands)
        self._commands = -1
        self._channel.unlink(missing_ok=True)
