"""Standard input: bytes for a command, and lines of a pipe or a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import sys
import termios

import anyio

from sandbox_client.errors import InputUnreadable

MAX_LINE = 4096  # bytes


def is_keyboard() -> bool:
    """Return whether standard input is a terminal."""
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # closed
        return False


async def read_input(size: int) -> bytes:
    """Read `size` bytes, or fewer at the end of the input; Ctrl-C cancels the read.

    Raises:
        InputUnreadable: standard input is closed or cannot be read.
    """
    data = bytearray()
    try:
        number = sys.stdin.fileno()
        while len(data) < size:
            with contextlib.suppress(PermissionError):  # a file: it can always be read
                await anyio.wait_readable(number)
            piece = os.read(number, size - len(data))
            if not piece:
                break
            data += piece
    except (AttributeError, OSError, ValueError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or "it is closed"
        raise InputUnreadable(f"Standard input cannot be read: {reason}") from None
    return bytes(data)


def has_unread_input() -> bool:
    """Return whether standard input is a pipe or a file with unread data."""
    try:
        number = sys.stdin.fileno()
        status = os.fstat(number)
        if stat.S_ISREG(status.st_mode):
            return status.st_size > os.lseek(number, 0, os.SEEK_CUR)
        if not stat.S_ISFIFO(status.st_mode):
            return False
        size = fcntl.ioctl(number, termios.FIONREAD, bytes(4))
        return int.from_bytes(size, sys.byteorder) > 0
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        return False


def read_piped_line() -> str:
    """Read the first line of a pipe or a file; bytes that are not UTF-8 are replaced."""
    _wait_for_input()
    return sys.stdin.buffer.readline(MAX_LINE).decode(errors="replace").strip()


class TypedLines:
    """The lines of standard input without their ends; unlike `input`, it misses no Ctrl-C."""

    def readline(self) -> str:
        """Return the next line.

        Raises:
            EOFError: the input has ended.
        """
        _wait_for_input()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")


def _wait_for_input() -> None:
    """Wait until standard input can be read or a signal arrives.

    A read that begins just after a signal would block. Python writes each signal to the wake-up
    descriptor, which ends this wait.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        select.select([sys.stdin, reader], [], [])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
