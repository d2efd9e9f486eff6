"""Print the steps of the demo."""

from __future__ import annotations

import io
import os
import sys
import time

from rich.console import Console
from rich.markup import escape


class OutputClosed(Exception):
    """The reader has closed standard output, as in `make demo | head`."""


class StepPrinter:
    """Print each step: its number and title, the request, the result and the seconds it took."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # not every encoding has an ellipsis
        self._is_open = True
        self._console = Console(highlight=False, soft_wrap=True)
        self._step = 0
        self._start = time.monotonic()

    def line(self, text: str, style: str = "") -> None:
        """Print a line.

        Raises:
            OutputClosed: the reader has closed standard output.
        """
        if not self._is_open:
            raise OutputClosed
        # Captured, because the console would exit the process on a closed output.
        with self._console.capture() as capture:
            self._console.print(escape(text), style=style)
        try:
            sys.stdout.write(capture.get())
            sys.stdout.flush()
        except BrokenPipeError:
            self._is_open = False
            # Python flushes its buffer at exit, which must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutputClosed from None

    def begin(self, title: str, request: str) -> None:
        """Begin a step: print its number, its title and the request."""
        self._step += 1
        self._start = time.monotonic()
        self.line(f"\n{self._step:2}. {title}", "bold")
        self.line(f"    > {request}", "cyan")

    def progress(self, text: str) -> None:
        """Print a progress line of the current step."""
        self.line(f"      … {text}", "dim")

    def end(self, result: str) -> None:
        """End the step: print the result and the seconds since it began."""
        for line in result.splitlines():
            self.line(f"    {line}")
        self.line(f"    ({time.monotonic() - self._start:.1f} s)", "dim")
