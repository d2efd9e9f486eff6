"""A small machine for each sandbox, made with bubblewrap: its own processes, users and files.

Process 1 in it runs `supervisor.sh`. The kernel ends everything in it when that ends: when the
fake closes the channel, and when the fake is gone, however that came.
"""

import asyncio
import fcntl
import itertools
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_fakeproxy.runtime.paths import CHANNELS, SandboxPaths

from .bubblewrap import Bubblewrap
from .machine import SCRIPT, Pty, StartedShell, call_at_end_of, with_default_signals
from .syscall_filter import readable

_SUPERVISOR = Path(__file__).with_name("supervisor.sh")
_START_LIMIT = 30.0  # seconds
_END_LIMIT = 5.0  # seconds
_CREDENTIALS = struct.Struct("iII")  # pid, uid and gid
_KILLED = 128 + 9  # an exit code
_REPORT_LIMIT = 1.0  # seconds from the end of a shell to the report of its exit code
_LONGEST_LINE = 256  # bytes
_TIOCSPTLCK = 0x40045431  # unlock a terminal's far end
_TIOCGPTPEER = 0x5441  # open it
_TIOCGPTN = 0x80045430  # its number


@dataclass(slots=True)
class _Started:
    """A shell that the supervisor starts, or has started."""

    leader: "asyncio.Future[int]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    ended: "asyncio.Future[int]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class JailedMachine:
    """Run the shells of a sandbox in a jail, and in another one should that have ended."""

    def __init__(self, new_jail: "Callable[[], Jail]") -> None:
        self._new_jail = new_jail
        self._jail = new_jail()
        self._is_over = False

    async def open_pty(self) -> Pty:
        """Return a new terminal of the jail's own.

        Raises:
            OSError: the jail cannot be started, or has no more terminals.
        """
        jail = self._jail
        if jail.has_ended and not self._is_over:
            await jail.end()
            if jail is self._jail:
                self._jail = self._new_jail()
        return await self._jail.open_pty()

    async def start_shell(self, pty: Pty, channel: str) -> StartedShell:
        """Start a shell on a terminal: see `Machine.start_shell`.

        Raises:
            OSError: the jail has ended.
        """
        return await self._jail.start_shell(pty, channel)

    async def kill(self) -> None:
        """Kill all that runs; shells may be started again."""
        await self._jail.end()

    async def end(self) -> None:
        """Kill all that runs, and start no more."""
        self._is_over = True
        await self._jail.end()


class Jail:
    """One jail from its first shell to its end."""

    def __init__(
        self,
        bubblewrap: Bubblewrap,
        paths: SandboxPaths,
        bash: str,
        environment: Mapping[str, str],
        starter: Executor,
    ) -> None:
        self._starter = starter
        self._bubblewrap = bubblewrap
        self._paths = paths
        self._bash = bash
        self._environment = environment
        self._starting: asyncio.Task[int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._remove_group: Callable[[], None] = lambda: None
        self._channel: socket.socket | None = None
        self._unread = b""
        self._supervisor: asyncio.Future[int] | None = None  # its process id
        self._supervisor_fd = -1
        self._numbers = itertools.count()
        self._shells: dict[int, _Started] = {}
        self._ending: asyncio.Task[None] | None = None
        self.has_ended = False

    async def open_pty(self) -> Pty:
        """Return a new terminal, of which only the jail knows.

        Raises:
            OSError: the jail cannot be started, or has no more terminals.
        """
        supervisor = await self._started()
        # Below a mount point that no command can replace.
        near = os.open(
            f"/proc/{supervisor}/root/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        )
        try:
            fcntl.ioctl(near, _TIOCSPTLCK, struct.pack("i", 0))
            (number,) = struct.unpack("I", fcntl.ioctl(near, _TIOCGPTN, bytes(4)))
            far = fcntl.ioctl(near, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            if (owner := self._paths.owner) is not None:
                os.fchown(far, owner, owner)
        except OSError:
            os.close(near)
            raise
        return Pty(near, far, str(number))

    async def start_shell(self, pty: Pty, channel: str) -> StartedShell:
        """Start a shell on a terminal; its first commands come from a named pipe.

        Raises:
            OSError: the jail has ended.
        """
        await self._started()
        number = next(self._numbers)
        self._shells[number] = started = _Started()
        limits = " ".join(self._bubblewrap.limits.ulimits())
        self._send(f"{number} {pty.name} {CHANNELS}/{channel} {limits}\n")
        return StartedShell(await started.leader, started.ended)

    async def end(self) -> None:
        """End all that runs in it, and start no more."""
        self.has_ended = True
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        if self._starting is not None:
            await asyncio.wait({self._starting})
            self._starting.exception()  # which those have that wait for it
        self._close_channel()
        if self._process is not None:
            await asyncio.to_thread(self._kill, self._process)

    async def _started(self) -> int:
        """Start it if need be; return the process id of its supervisor.

        Raises:
            OSError: it cannot be started, or has ended.
        """
        if self.has_ended:
            raise OSError("the sandbox was stopped")
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> int:
        loop = asyncio.get_running_loop()
        channel, far = socket.socketpair()
        channel.setblocking(False)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._channel, self._supervisor = channel, loop.create_future()
        loop.add_reader(channel, self._read)
        try:
            with far:
                self._process = await loop.run_in_executor(self._starter, self._spawn, far)
            return await asyncio.wait_for(asyncio.shield(self._supervisor), _START_LIMIT)
        except BaseException as exc:
            self.has_ended = True  # the next command has another one
            if isinstance(exc, TimeoutError):
                message = f"bubblewrap did not start it within {_START_LIMIT:g} s"
                raise OSError(message) from exc
            raise

    def _spawn(self, channel: socket.socket) -> "subprocess.Popen[bytes]":
        self._bubblewrap.prepare(self._paths)
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        script = _SUPERVISOR.read_text(encoding="utf-8")
        supervisor = [self._bash, "--norc", "--noprofile", "-c", script, "supervisor"]
        shells = [self._bash, SCRIPT, *variables]
        try:
            with readable(self._bubblewrap.syscall_filter) as filters:
                arguments = self._bubblewrap.arguments(self._paths, filters)
                return subprocess.Popen(  # noqa: S603  (a program of the machine's own)
                    with_default_signals(self._in_a_group([*arguments, *supervisor, *shells])),
                    stdin=channel.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=self._environment,
                    cwd="/",
                    pass_fds=filters,
                )
        except OSError:
            self._remove_group()
            raise

    def _in_a_group(self, command: list[str]) -> list[str]:
        """Return a command that runs another one in a control group, where one can be made."""
        if self._bubblewrap.groups is None:
            return command
        group = self._bubblewrap.groups.try_to_make(self._bubblewrap.limits)
        self._remove_group = group.remove
        return group.joining(command)

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        """Kill process 1, and with it all that runs; wait until it is gone."""
        if self._supervisor_fd >= 0:  # a command could keep it from ending by itself
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._supervisor_fd, signal.SIGKILL)
            os.close(self._supervisor_fd)
            self._supervisor_fd = -1
        else:
            process.kill()
        with suppress(subprocess.TimeoutExpired):  # it hangs in the kernel
            process.wait(_END_LIMIT)
        self._remove_group()

    def _send(self, line: str) -> None:
        if self._channel is None:
            raise OSError("the sandbox was stopped")
        self._channel.sendall(line.encode())

    def _read(self) -> None:
        """Read messages of the supervisor; a forged one ends the jail."""
        channel = self._channel
        assert channel is not None  # noqa: S101  (it is read only as long as it is open)
        try:
            data, ancillary, _, _ = channel.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        pid = next((_CREDENTIALS.unpack(content)[0] for _, _, content in ancillary), 0)
        *lines, self._unread = (self._unread + data).split(b"\n")
        try:
            for line in lines:
                self._take(line, pid)
        except (ValueError, OSError):
            data = b""
        if not data or len(self._unread) > _LONGEST_LINE:
            self._close_channel()

    def _take(self, line: bytes, pid: int) -> None:
        assert self._supervisor is not None  # noqa: S101  (made before the channel is read)
        word, *numbers = line.split(b" ")
        shell = self._shells.get(int(numbers[0])) if numbers else None
        if word == b"ready" and not self._supervisor.done():
            self._supervisor_fd = os.pidfd_open(pid)
            self._supervisor.set_result(pid)
        elif word == b"started" and shell is not None and not shell.leader.done():
            shell.leader.set_result(pid)
            self._watch(pid, shell)
        elif word == b"ended" and len(numbers) == 2 and shell is not None:
            del self._shells[int(numbers[0])]
            if not shell.ended.done():
                shell.ended.set_result(int(numbers[1]))
        else:
            raise ValueError("not what the supervisor says")

    def _watch(self, pid: int, shell: _Started) -> None:
        """Note the end of a shell also when a command has killed the one that would tell it."""

        def give_up() -> None:
            if not shell.ended.done():
                shell.ended.set_result(_KILLED)

        loop = asyncio.get_running_loop()
        try:
            call_at_end_of(pid, lambda: loop.call_later(_REPORT_LIMIT, give_up))
        except OSError:  # it has ended already
            loop.call_later(_REPORT_LIMIT, give_up)

    def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self.has_ended = True
        asyncio.get_running_loop().remove_reader(channel)
        channel.close()
        gone = OSError("the sandbox's process 1 has ended")
        for future in (self._supervisor, *(shell.leader for shell in self._shells.values())):
            if future is not None and not future.done():
                future.set_exception(gone)
                future.exception()  # which those have that wait for it
        for shell in self._shells.values():
            if not shell.ended.done():
                shell.ended.set_result(_KILLED)
