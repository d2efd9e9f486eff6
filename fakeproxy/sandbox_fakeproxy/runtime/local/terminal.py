"""A pseudo-terminal: the fake types and reads at one end, and a shell runs at the other."""

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

from .machine import Pty

_CHUNK = 65_536
_CHUNKS_AT_ONCE = 16  # then others have their turn, however much a command writes
_ROWS, _COLUMNS = 24, 80
TYPED_LIMIT = 16 * 1024 * 1024  # bytes; as much as a request may bring


class Terminal:
    """A pseudo-terminal whose far end a shell opens.

    It neither echoes what is typed nor changes line ends. The far end stays open here too: a shell
    that lets go of it for a while, as `exec` with redirections does, has not hung up.
    """

    def __init__(self, pty: Pty, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._near, self._far = pty.near, pty.far
        os.set_blocking(self._near, False)
        size = struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0)
        fcntl.ioctl(self._far, termios.TIOCSWINSZ, size)
        self._typing = Sending(self._near)
        self._is_open = True
        self.make_plain()
        asyncio.get_running_loop().add_reader(self._near, self._read)

    def make_plain(self) -> None:
        """Reset the terminal's settings, which a command may have changed."""
        if not self._is_open:
            return
        with suppress(termios.error):
            modes = termios.tcgetattr(self._near)
            modes[0] = termios.ICRNL
            modes[1] &= ~termios.OPOST
            modes[3] |= termios.ICANON | termios.ISIG
            modes[3] &= ~(termios.ECHO | termios.ECHONL)
            termios.tcsetattr(self._near, termios.TCSANOW, modes)

    def type(self, text: str) -> bool:
        """Type text, unless too much input is unread; return whether it was typed."""
        return self._typing.send(text.encode())

    def foreground(self) -> int | None:
        """Return the process group that Ctrl-C would reach."""
        if not self._is_open:
            return None
        with suppress(OSError):
            return os.tcgetpgrp(self._near) or None
        return None

    def drain(self) -> None:
        """Read all that can be read without waiting."""
        while self._is_open and self._read():
            pass

    def close(self) -> None:
        """Hang up."""
        if self._is_open:
            self._is_open = False
            self._typing.close()
            asyncio.get_running_loop().remove_reader(self._near)
            os.close(self._near)
            os.close(self._far)

    def _read(self) -> bool:
        """Read a few chunks; tell whether there may be more just now."""
        for _ in range(_CHUNKS_AT_ONCE):
            try:
                chunk = os.read(self._near, _CHUNK)
            except BlockingIOError:
                return False
            except OSError:  # Linux: it was hung up, as the shell has ended
                chunk = b""
            if not chunk:
                asyncio.get_running_loop().remove_reader(self._near)
                return False
            self._hear(chunk)
            if not self._is_open:
                return False
        return True


class Sending:
    """Send bytes to a descriptor as it takes them."""

    def __init__(self, descriptor: int, limit: int = TYPED_LIMIT) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._pending = bytearray()
        self._waits = False

    def send(self, data: bytes) -> bool:
        """Send all of it, now or later, or nothing where too much is waiting; tell which."""
        if self._descriptor < 0:
            return True  # no reader is left, as when a program has ended
        self._push()
        fits = len(self._pending) + len(data) <= self._limit
        if fits:
            self._pending += data
            self._push()
        return fits

    def close(self) -> None:
        """Send nothing ever again; the descriptor stays open, and its number may be reused."""
        self._pending.clear()
        self._wait(wanted=False)
        self._descriptor = -1

    def _push(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._descriptor, self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            self._pending.clear()
        self._wait(wanted=bool(self._pending))

    def _wait(self, *, wanted: bool) -> None:
        if wanted == self._waits:
            return
        self._waits = wanted
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_writer(self._descriptor, self._push)
        else:
            loop.remove_writer(self._descriptor)
