"""Where the shells of a sandbox run: in a jail, or among all processes of this machine.

Shells start with the default signals. In the background (`nohup … &`), a process starts with Ctrl-C
ignored, its children inherit that, and no POSIX shell can undo it: commands would not heed a kill.
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

# Python ignores these itself, and `subprocess` resets them in a child.
_RESET_BY_SUBPROCESS = {"SIGPIPE", "SIGXFSZ", "SIGXFZ"}
_RESET_AND_EXECUTE = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, [])
os.execvp(sys.argv[1], sys.argv[1:])
"""


def with_default_signals(command: Sequence[str]) -> Sequence[str]:
    """Return a command that resets all signals first, if this process ignores or blocks any.

    The process keeps its id: the interpreter that resets them is replaced by the program. It costs
    its start, some 10 ms, and nothing where there is nothing to reset.
    """
    if not (_ignored() or signal.pthread_sigmask(signal.SIG_BLOCK, [])):
        return command
    return [sys.executable, "-I", "-S", "-c", _RESET_AND_EXECUTE, *command]


def _ignored() -> list[signal.Signals]:
    return [
        each
        for each in signal.Signals
        if each.name not in _RESET_BY_SUBPROCESS and signal.getsignal(each) is signal.SIG_IGN
    ]


_PATIENCE = 10.0  # seconds

# The script of a shell. Commands come through a named pipe: an inherited descriptor would be
# inherited by the commands, too.
SCRIPT = (
    'IFS= read -r -d "" __sandbox_state <CHANNEL; eval "$__sandbox_state"; eval "$__sandbox_loop"'
)


@dataclass(frozen=True, slots=True)
class Pty:
    """A pseudo-terminal: its open ends, and the name by which a shell opens the far one."""

    near: int
    far: int
    name: str


@dataclass(frozen=True, slots=True)
class StartedShell:
    """A shell that was started: its process id on this machine, and later its exit code."""

    leader: int
    ended: "asyncio.Future[int]"


class Machine(Protocol):
    """Where the shells of one sandbox run, from the first one on to the end of all."""

    async def open_pty(self) -> Pty:
        """Return a new terminal.

        Raises:
            OSError: there is none.
        """
        ...

    async def start_shell(self, pty: Pty, channel: str) -> StartedShell:
        """Start a bash that leads a process session on a terminal.

        `channel` is the name of the pipe, in the place's folder of channels, with its commands.

        Raises:
            OSError: it cannot be started.
        """
        ...

    async def kill(self) -> None:
        """Kill all that runs; shells may be started again."""
        ...

    async def end(self) -> None:
        """Kill all that runs, and start no more."""
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
        self._has_ended = False

    async def open_pty(self) -> Pty:
        """Return a new terminal.

        Raises:
            OSError: there is none.
        """
        near, far = os.openpty()
        return Pty(near, far, os.ttyname(far))

    async def start_shell(self, pty: Pty, channel: str) -> StartedShell:
        """Start a bash that leads a process session on a terminal.

        Raises:
            OSError: it cannot be started.
        """
        if self._has_ended:
            raise OSError("the sandbox was stopped")
        loop = asyncio.get_running_loop()
        process = await loop.run_in_executor(self._starter, self._spawn, pty, channel)
        self._leaders.add(process.pid)
        ended: asyncio.Future[int] = loop.create_future()
        call_at_end(process, lambda: ended.set_result(process.wait()))
        return StartedShell(process.pid, ended)

    async def kill(self) -> None:
        """Kill all that runs; shells may be started again."""
        # Once the starter is free, every process that it has started is known.
        await asyncio.get_running_loop().run_in_executor(self._starter, self._kill)

    async def end(self) -> None:
        """Kill all that runs, and start no more."""
        self._has_ended = True
        await self.kill()

    def _spawn(self, pty: Pty, channel: str) -> "subprocess.Popen[bytes]":
        script = SCRIPT.replace("CHANNEL", shlex.quote(str(self._paths.channels / channel)))
        # The leader of a process session: the first terminal that it opens becomes its own.
        start = f"exec 0<>{shlex.quote(pty.name)} 1>&0 2>&0; {script}"
        # The thread that starts it lasts as long as the runtime.
        shell = [self._bash, "--norc", "--noprofile", "-c", start, "bash"]
        return subprocess.Popen(  # noqa: S603  (a program of the machine's own)
            with_default_signals([*_ending_with_its_parent(), *shell]),
            stdin=pty.far,
            stdout=pty.far,
            stderr=pty.far,
            cwd=self._paths.directory,
            env=self._environment,
            start_new_session=True,
        )

    def _kill(self) -> None:
        kill_all_below(self._paths.directory, (), self._leaders)


@cache
def _ending_with_its_parent() -> tuple[str, ...]:
    """Return words before a command that have the kernel kill it when this thread has ended.

    There are none but on Linux, and not without a `setpriv` that can do it.
    """
    program = shutil.which("setpriv") if sys.platform == "linux" else None
    if program is None:
        return ()
    words = (program, "--pdeathsig", "KILL")
    try:
        subprocess.run(  # noqa: S603  (a program of the machine's own)
            [*words, "true"], capture_output=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):  # that of BusyBox cannot
        return ()
    return words


def call_at_end(process: "subprocess.Popen[bytes]", act: Callable[[], object]) -> None:
    """Call a function in the running loop once a process has ended."""
    loop = asyncio.get_running_loop()
    if hasattr(os, "pidfd_open"):
        call_at_end_of(process.pid, act)
        return

    def wait() -> None:
        process.wait()
        loop.call_soon_threadsafe(act)

    threading.Thread(target=wait, name="sandbox-waiter", daemon=True).start()


def call_at_end_of(pid: int, act: Callable[[], object]) -> None:
    """Call a function in the running loop once any process has ended. Linux only.

    Raises:
        OSError: there is no such process.
    """
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        act()

    loop.add_reader(descriptor, ended)
