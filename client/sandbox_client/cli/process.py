"""Standard output, standard error and the signals of this process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Generator

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
