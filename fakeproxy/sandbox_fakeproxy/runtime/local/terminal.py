"""A pseudo-terminal: the fake types and reads on its master side, and a shell has the slave."""

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

from .machine import Pty

TYPED_LIMIT = 16 * 1024 * 1024  # bytes; as much as a request may have
_CHUNK = 65_536  # bytes
_CHUNKS_AT_ONCE = 16  # then the event loop runs other callbacks, however much a command writes
_ROWS, _COLUMNS = 24, 80


class Terminal:
    """The terminal of a shell, without echo and without changed line ends.

    The slave stays open here too: a shell that closes it for a while, as `exec` with redirections
    does, does not hang up the terminal.
    """

    def __init__(self, pty: Pty, on_output: Callable[[bytes], None]) -> None:
        self._on_output = on_output
        self._master, self._slave = pty.master, pty.slave
        os.set_blocking(self._master, False)
        size = struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, size)
        self._input = NonBlockingWriter(self._master)
        self._is_open = True
        self.reset_modes()
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def reset_modes(self) -> None:
        """Reset the terminal's modes, which a command may have changed."""
        if not self._is_open:
            return
        with suppress(termios.error):
            modes = termios.tcgetattr(self._master)
            modes[0] = termios.ICRNL
            modes[1] &= ~termios.OPOST
            modes[3] |= termios.ICANON | termios.ISIG
            modes[3] &= ~(termios.ECHO | termios.ECHONL)
            termios.tcsetattr(self._master, termios.TCSANOW, modes)

    def type(self, text: str) -> bool:
        """Type text; return False, without typing it, if too much input is unread."""
        return self._input.send(text.encode())

    def foreground_group(self) -> int | None:
        """Return the foreground process group, which Ctrl-C interrupts; None if there is none."""
        if not self._is_open:
            return None
        with suppress(OSError):
            return os.tcgetpgrp(self._master) or None
        return None

    def drain(self) -> None:
        """Read the output that can be read without waiting."""
        while self._is_open and self._read():
            pass

    def close(self) -> None:
        """Hang up the terminal."""
        if self._is_open:
            self._is_open = False
            self._input.close()
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)

    def _read(self) -> bool:
        """Read some chunks; return whether more may be readable without waiting."""
        for _ in range(_CHUNKS_AT_ONCE):
            try:
                chunk = os.read(self._master, _CHUNK)
            except BlockingIOError:
                return False
            except OSError:  # Linux, after a hangup: the shell has ended
                chunk = b""
            if not chunk:
                asyncio.get_running_loop().remove_reader(self._master)
                return False
            self._on_output(chunk)
            if not self._is_open:
                return False
        return True


class NonBlockingWriter:
    """Write bytes to a non-blocking descriptor, and keep those that it does not take yet."""

    def __init__(self, descriptor: int, limit: int = TYPED_LIMIT) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._pending = bytearray()
        self._is_waiting = False

    def send(self, data: bytes) -> bool:
        """Write data, now or later; return False, without writing it, if too much is pending."""
        if self._descriptor < 0:
            return True  # closed: no reader is left, as when a program has ended
        self._flush()
        fits = len(self._pending) + len(data) <= self._limit
        if fits:
            self._pending += data
            self._flush()
        return fits

    def close(self) -> None:
        """Discard pending data and write no more.

        The descriptor stays open: its owner closes it, and its number may then be reused.
        """
        self._pending.clear()
        self._set_waiting(waiting=False)
        self._descriptor = -1

    def _flush(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._descriptor, self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            self._pending.clear()
        self._set_waiting(waiting=bool(self._pending))

    def _set_waiting(self, *, waiting: bool) -> None:
        if waiting == self._is_waiting:
            return
        self._is_waiting = waiting
        loop = asyncio.get_running_loop()
        if waiting:
            loop.add_writer(self._descriptor, self._flush)
        else:
            loop.remove_writer(self._descriptor)
