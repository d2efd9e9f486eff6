"""The standard streams and the signals of this process."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import signal
import stat
import sys
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import anyio

from sandbox_client.errors import InputUnreadable

if TYPE_CHECKING:
    from collections.abc import Generator

MAX_LINE = 4096  # bytes of piped input
_HANDLED_LIKE_CTRL_C = (signal.SIGTERM, signal.SIGHUP)


class OutputLost(Exception):
    """The result cannot be written to standard output, for the reason in the message."""


def open_streams() -> None:
    """Prepare standard output and standard error for any text.

    Raises:
        OutputLost: standard output is closed.
    """
    if sys.stderr is None:  # 2>&-
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  # open until the process ends
    if sys.stdout is None:  # >&-
        raise OutputLost("it is closed; nothing was done")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character outside the encoding is no error


def write(text: str) -> None:
    """Write to standard output and flush it.

    Raises:
        BrokenPipeError: the reader has closed the pipe.
        OutputLost: the text cannot be written for another reason.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OutputLost(exc.strerror or "no reason given") from exc


def write_error(text: str) -> None:
    """Write to standard error; if that fails, discard this and all later text."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO | None) -> None:
    """Redirect a stream to /dev/null, so that Python's flush at exit cannot fail."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):  # not a file, in a test
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in the body, unless this process ignores it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class Interruption:
    """The signal that interrupted this process: SIGINT until another one arrives."""

    signal: int = signal.SIGINT

    @contextlib.contextmanager
    def by_other_signals(self) -> Generator[None]:
        """Handle SIGTERM and SIGHUP like Ctrl-C in the body, unless they or Ctrl-C are ignored."""

        def interrupt(number: int, _: object) -> None:
            self.signal = number
            signal.raise_signal(signal.SIGINT)  # asyncio turns SIGINT into a cancellation

        before = {each: signal.getsignal(each) for each in _HANDLED_LIKE_CTRL_C}
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            before.clear()  # raised again as SIGINT, they would have no effect
        handled = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
        for each in handled:
            signal.signal(each, interrupt)
        try:
            yield
        finally:
            for each in handled:
                signal.signal(each, before[each])
