"""A pseudo-terminal: the fake types and reads on its master side, and a shell has the slave."""

import fcntl
import os
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

from .descriptors import NonBlockingReader, NonBlockingWriter
from .machine import Pty

_ROWS, _COLUMNS = 24, 80


class Terminal:
    """The terminal of a shell, without echo and without changed line ends.

    The slave stays open here too: a shell that closes it for a while, as `exec` with redirections
    does, does not hang up the terminal.
    """

    def __init__(self, pty: Pty, on_output: Callable[[bytes], None]) -> None:
        self._master, self._slave = pty.master, pty.slave
        os.set_blocking(self._master, False)
        size = struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, size)
        self._input = NonBlockingWriter(self._master)
        self._is_open = True
        self.reset_modes()
        self._output = NonBlockingReader(self._master, on_output)

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
        self._output.drain()

    def close(self) -> None:
        """Hang up the terminal."""
        if self._is_open:
            self._is_open = False
            self._input.close()
            self._output.close()
            os.close(self._master)
            os.close(self._slave)
