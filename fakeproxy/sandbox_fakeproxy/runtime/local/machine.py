"""Machines run the shells of a sandbox: in a jail, or among all processes of this machine.

Shells start with the default signals. In the background (`nohup … &`), a process starts with Ctrl-C
ignored, its children inherit that, and no POSIX shell can undo it: a kill would have no effect on
commands.
"""

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from sandbox_fakeproxy.runtime.cleanup.processes import kill_all_below
from sandbox_fakeproxy.runtime.paths import SandboxPaths

# The script of a shell. Commands come through a named pipe, not an inherited descriptor, which the
# commands would inherit, too.
SCRIPT = (
    'IFS= read -r -d "" __sandbox_state <CHANNEL; eval "$__sandbox_state"; eval "$__sandbox_loop"'
)
_PROBE_TIMEOUT = 10.0  # seconds
# Python itself ignores these, and `subprocess` resets them in a child.
_RESET_BY_SUBPROCESS = {"SIGPIPE", "SIGXFSZ", "SIGXFZ"}
_RESET_AND_EXECUTE = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, [])
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True, slots=True)
class Pty:
    """A pseudo-terminal: its open sides, and the name by which a shell opens the slave."""

    master: int
    slave: int
    name: str


@dataclass(frozen=True, slots=True)
class StartedShell:
    """A shell that was started: its process id on this machine, and its future exit code."""

    leader: int
    exit_code: "asyncio.Future[int]"


class Machine(Protocol):
    """Runs the shells of one sandbox, from the first one to the end of all."""

    async def open_pty(self) -> Pty:
        """Return a new terminal.

        Raises:
            OSError: there is none.
        """
        ...

    async def start_shell(self, pty: Pty | None, channel: str) -> StartedShell:
        """Start a bash that leads a process session, on a terminal or without one.

        `channel` is the name of the pipe with its commands, in the sandbox's folder of channels.
        The exit code is negative if a signal has ended the shell.

        Raises:
            OSError: it cannot be started.
        """
        ...

    async def kill(self) -> None:
        """Kill all processes; shells may be started again."""
        ...

    async def close(self) -> None:
        """Kill all processes, and start no more."""
        ...


class SharedMachine:
    """Run shells among the processes of this machine, which they see and may signal."""

    def __init__(
        self, paths: SandboxPaths, bash: str, environment: Mapping[str, str], starter: Executor
    ) -> None:
        self._paths = paths
        self._starter = starter
        self._bash = bash
        self._environment = environment
        self._leaders: set[int] = set()
        self._is_closed = False

    async def open_pty(self) -> Pty:
        """Return a new terminal.

        Raises:
            OSError: there is none.
        """
        master, slave = os.openpty()
        return Pty(master, slave, os.ttyname(slave))

    async def start_shell(self, pty: Pty | None, channel: str) -> StartedShell:
        """Start a bash that leads a process session: see `Machine.start_shell`.

        Raises:
            OSError: it cannot be started.
        """
        if self._is_closed:
            raise OSError("the sandbox was stopped")
        loop = asyncio.get_running_loop()
        process = await loop.run_in_executor(self._starter, self._spawn, pty, channel)
        self._leaders.add(process.pid)
        exit_code: asyncio.Future[int] = loop.create_future()
        call_on_exit(process, lambda: exit_code.set_result(process.wait()))
        return StartedShell(process.pid, exit_code)

    async def kill(self) -> None:
        """Kill all processes; shells may be started again."""
        # In the starter's thread: every process that it has started before is known then.
        await asyncio.get_running_loop().run_in_executor(self._starter, self._kill)

    async def close(self) -> None:
        """Kill all processes, and start no more."""
        self._is_closed = True
        await self.kill()

    def _spawn(self, pty: Pty | None, channel: str) -> "subprocess.Popen[bytes]":
        start = SCRIPT.replace("CHANNEL", shlex.quote(str(self._paths.channels / channel)))
        if pty is not None:
            # The first terminal that the leader of a process session opens becomes its own.
            start = f"exec 0<>{shlex.quote(pty.name)} 1>&0 2>&0; {start}"
        stream = subprocess.DEVNULL if pty is None else pty.slave
        shell = [self._bash, "--norc", "--noprofile", "-c", start, "bash"]
        # The shell may end with this thread: the starter's thread lasts as long as the runtime.
        return subprocess.Popen(  # noqa: S603  (a program of the machine's own)
            with_default_signals([*_end_with_this_thread(), *shell]),
            stdin=stream,
            stdout=stream,
            stderr=stream,
            cwd=self._paths.directory,
            env=self._environment,
            start_new_session=True,
        )

    def _kill(self) -> None:
        kill_all_below(self._paths.directory, (), self._leaders)


def with_default_signals(command: Sequence[str]) -> Sequence[str]:
    """Return a command that first resets all signals, if this process ignores or blocks any.

    The process keeps its id: the interpreter that resets the signals executes the program. Starting
    it takes some 10 ms; if there is nothing to reset, the command is returned unchanged.
    """
    if not (_ignored_signals() or signal.pthread_sigmask(signal.SIG_BLOCK, [])):
        return command
    return [sys.executable, "-I", "-S", "-c", _RESET_AND_EXECUTE, *command]


def _ignored_signals() -> list[signal.Signals]:
    return [
        number
        for number in signal.Signals
        if number.name not in _RESET_BY_SUBPROCESS and signal.getsignal(number) is signal.SIG_IGN
    ]


@cache
def _end_with_this_thread() -> tuple[str, ...]:
    """Return a prefix for a command, with which the kernel kills it when this thread ends.

    It is empty on other systems than Linux, and if no `setpriv` supports it.
    """
    program = shutil.which("setpriv") if sys.platform == "linux" else None
    if program is None:
        return ()
    prefix = (program, "--pdeathsig", "KILL")
    try:
        subprocess.run(  # noqa: S603  (a program of the machine's own)
            [*prefix, "true"], capture_output=True, timeout=_PROBE_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError):  # BusyBox's setpriv does not support it
        return ()
    return prefix


def call_on_exit(process: "subprocess.Popen[bytes]", callback: Callable[[], object]) -> None:
    """Call a function in the running loop once a child process has ended."""
    loop = asyncio.get_running_loop()
    if hasattr(os, "pidfd_open"):
        call_on_pid_exit(process.pid, callback)
        return

    def wait() -> None:
        process.wait()
        loop.call_soon_threadsafe(callback)

    threading.Thread(target=wait, name="sandbox-waiter", daemon=True).start()


def call_on_pid_exit(pid: int, callback: Callable[[], object]) -> None:
    """Call a function in the running loop once any process has ended. Linux only.

    Raises:
        OSError: there is no such process.
    """
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)

    def on_exit() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        callback()

    loop.add_reader(descriptor, on_exit)
