"""A jail for each sandbox, created by bubblewrap: it has its own processes, users and files.

Process 1 of the jail runs `supervisor.sh`. When that ends, the kernel kills all other processes of
the jail. It ends when the fake closes the channel, and when the fake itself has ended in any way.
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
from .machine import SCRIPT, Pty, StartedShell, call_on_pid_exit, with_default_signals
from .syscall_filter import filter_descriptors

_SUPERVISOR = Path(__file__).with_name("supervisor.sh")
_START_TIMEOUT = 30.0  # seconds
_END_TIMEOUT = 5.0  # seconds
_CREDENTIALS = struct.Struct("iII")  # pid, uid and gid
_KILLED = -signal.SIGKILL  # the exit code of a shell that nothing has reported
_REPORT_TIMEOUT = 1.0  # seconds from the end of a shell to the report of its exit code
_LINE_LIMIT = 256  # bytes
# ioctls of a terminal's master: unlock the slave, open the slave, get the terminal's number
_TIOCSPTLCK, _TIOCGPTPEER, _TIOCGPTN = 0x40045431, 0x5441, 0x80045430


@dataclass(slots=True)
class _JailedShell:
    """A shell that the supervisor starts or has started: its process id and its exit code."""

    leader: "asyncio.Future[int]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    exit_code: "asyncio.Future[int]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class JailedMachine:
    """Run the shells of a sandbox in a jail; a new jail replaces one that has ended."""

    def __init__(self, new_jail: "Callable[[], Jail]") -> None:
        self._new_jail = new_jail
        self._jail = new_jail()
        self._is_closed = False

    async def open_pty(self) -> Pty:
        """Return a new terminal of the jail.

        Raises:
            OSError: the jail cannot be started, or has no more terminals.
        """
        await self._replace_ended_jail()
        return await self._jail.open_pty()

    async def start_shell(self, pty: Pty | None, channel: str) -> StartedShell:
        """Start a shell: see `Machine.start_shell`.

        Raises:
            OSError: the jail has ended, or cannot be started.
        """
        if pty is None:  # a terminal is one of the jail that has opened it
            await self._replace_ended_jail()
        return await self._jail.start_shell(pty, channel)

    async def kill(self) -> None:
        """Kill all processes; shells may be started again."""
        await self._jail.close()

    async def close(self) -> None:
        """Kill all processes, and start no more."""
        self._is_closed = True
        await self._jail.close()

    async def _replace_ended_jail(self) -> None:
        jail = self._jail
        if jail.has_ended and not self._is_closed:
            await jail.close()
            if jail is self._jail:
                self._jail = self._new_jail()


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
        self._supervisor: asyncio.Future[int] | None = None  # the process id
        self._supervisor_fd = -1
        self._shell_numbers = itertools.count()
        self._shells: dict[int, _JailedShell] = {}
        self._closing: asyncio.Task[None] | None = None
        self.has_ended = False

    async def open_pty(self) -> Pty:
        """Return a new terminal, which exists only in the jail.

        Raises:
            OSError: the jail cannot be started, or has no more terminals.
        """
        supervisor = await self._ensure_started()
        # /dev/pts is a mount point, which no command can replace.
        master = os.open(
            f"/proc/{supervisor}/root/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        )
        try:
            fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
            (number,) = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))
            slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            if (owner := self._paths.owner) is not None:
                os.fchown(slave, owner, owner)
        except OSError:
            os.close(master)
            raise
        return Pty(master, slave, str(number))

    async def start_shell(self, pty: Pty | None, channel: str) -> StartedShell:
        """Start a shell; it reads commands from the named pipe `channel`.

        Raises:
            OSError: the jail has ended.
        """
        await self._ensure_started()
        number = next(self._shell_numbers)
        self._shells[number] = shell = _JailedShell()
        limits = " ".join(self._bubblewrap.limits.ulimits())
        terminal = "-" if pty is None else pty.name
        self._send(f"{number} {terminal} {CHANNELS}/{channel} {limits}\n")
        return StartedShell(await shell.leader, shell.exit_code)

    async def close(self) -> None:
        """Kill all processes of the jail, and start no more."""
        self.has_ended = True
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._starting is not None:
            await asyncio.wait({self._starting})
            self._starting.exception()  # retrieved here; those that wait for it get it too
        self._close_channel()
        if self._process is not None:
            await asyncio.to_thread(self._kill, self._process)

    async def _ensure_started(self) -> int:
        """Start the jail if it has not started; return the process id of its supervisor.

        Raises:
            OSError: the jail cannot be started, or has ended.
        """
        if self.has_ended:
            raise OSError("the sandbox was stopped")
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> int:
        loop = asyncio.get_running_loop()
        channel, supervisor_end = socket.socketpair()
        channel.setblocking(False)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._channel, self._supervisor = channel, loop.create_future()
        loop.add_reader(channel, self._read)
        try:
            with supervisor_end:
                self._process = await loop.run_in_executor(
                    self._starter, self._spawn, supervisor_end
                )
            return await asyncio.wait_for(asyncio.shield(self._supervisor), _START_TIMEOUT)
        except BaseException as exc:
            self.has_ended = True  # the next command starts another jail
            if isinstance(exc, TimeoutError):
                message = f"bubblewrap did not start it within {_START_TIMEOUT:g} s"
                raise OSError(message) from exc
            raise

    def _spawn(self, channel: socket.socket) -> "subprocess.Popen[bytes]":
        self._bubblewrap.prepare(self._paths)
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        script = _SUPERVISOR.read_text(encoding="utf-8")
        supervisor = [self._bash, "--norc", "--noprofile", "-c", script, "supervisor"]
        shells = [self._bash, SCRIPT, *variables]
        try:
            with filter_descriptors(self._bubblewrap.syscall_filter) as filters:
                bubblewrap = self._bubblewrap.command(self._paths, filters)
                return subprocess.Popen(  # noqa: S603  (a program of the machine's own)
                    with_default_signals(self._join_group([*bubblewrap, *supervisor, *shells])),
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

    def _join_group(self, command: list[str]) -> list[str]:
        """Return a command that runs another one in a control group, if one can be created."""
        if self._bubblewrap.groups is None:
            return command
        group = self._bubblewrap.groups.try_create(self._bubblewrap.limits)
        self._remove_group = group.remove
        return group.join_command(command)

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        """Kill process 1, and with it all processes of the jail; wait until it has ended."""
        if self._supervisor_fd >= 0:  # a command could prevent it from ending by itself
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._supervisor_fd, signal.SIGKILL)
            os.close(self._supervisor_fd)
            self._supervisor_fd = -1
        else:
            process.kill()
        with suppress(subprocess.TimeoutExpired):  # it hangs in the kernel
            process.wait(_END_TIMEOUT)
        self._remove_group()

    def _send(self, line: str) -> None:
        if self._channel is None:
            raise OSError("the sandbox was stopped")
        self._channel.sendall(line.encode())

    def _read(self) -> None:
        """Read messages of the supervisor; a forged message ends the jail."""
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
                self._handle(line, pid)
        except (ValueError, OSError):
            data = b""
        if not data or len(self._unread) > _LINE_LIMIT:
            self._close_channel()

    def _handle(self, line: bytes, pid: int) -> None:
        assert self._supervisor is not None  # noqa: S101  (created before the channel is read)
        kind, *numbers = line.split(b" ")
        shell = self._shells.get(int(numbers[0])) if numbers else None
        if kind == b"ready" and not self._supervisor.done():
            self._supervisor_fd = os.pidfd_open(pid)
            self._supervisor.set_result(pid)
        elif kind == b"started" and shell is not None and not shell.leader.done():
            shell.leader.set_result(pid)
            self._watch_exit(pid, shell)
        elif kind == b"ended" and len(numbers) == 2 and shell is not None:
            del self._shells[int(numbers[0])]
            if not shell.leader.done():
                shell.leader.set_exception(OSError("it ended before it had started"))
                shell.leader.exception()  # retrieved here, as the caller may have given up
            if not shell.exit_code.done():
                shell.exit_code.set_result(int(numbers[1]))
        else:
            raise ValueError("not a message of the supervisor")

    def _watch_exit(self, pid: int, shell: _JailedShell) -> None:
        """Detect the end of a shell even if a command killed the process that would report it."""

        def give_up() -> None:
            if not shell.exit_code.done():
                shell.exit_code.set_result(_KILLED)

        loop = asyncio.get_running_loop()
        try:
            call_on_pid_exit(pid, lambda: loop.call_later(_REPORT_TIMEOUT, give_up))
        except OSError:  # it has ended already
            loop.call_later(_REPORT_TIMEOUT, give_up)

    def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self.has_ended = True
        asyncio.get_running_loop().remove_reader(channel)
        channel.close()
        error = OSError("the sandbox's process 1 has ended")
        for future in (self._supervisor, *(shell.leader for shell in self._shells.values())):
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # retrieved here; those that wait for it get it too
        for shell in self._shells.values():
            if not shell.exit_code.done():
                shell.exit_code.set_result(_KILLED)
