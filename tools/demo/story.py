"""The story that the demo prints, for as long as somebody reads it."""

from __future__ import annotations

import io
import os
import sys
import time

from rich.console import Console
from rich.markup import escape


class ReaderGoneError(Exception):
    """Nobody reads the story any more: `make demo | head`."""


class Story:
    """Print each step as a person likes to read it: what was asked, what came back, how long."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # an ellipsis is not in every encoding
        self._is_read = True
        self._console = Console(highlight=False, soft_wrap=True)
        self._step = 0
        self._start = time.monotonic()

    def line(self, text: str, style: str = "") -> None:
        """Print a line."""
        if not self._is_read:
            raise ReaderGoneError
        # Not printed by the console itself, which would end the process where nobody reads.
        with self._console.capture() as capture:
            self._console.print(escape(text), style=style)
        try:
            sys.stdout.write(capture.get())
            sys.stdout.flush()
        except BrokenPipeError:
            self._is_read = False
            # What is still in the buffer is flushed to nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise ReaderGoneError from None

    def ask(self, title: str, request: str) -> None:
        """Begin a step."""
        self._step += 1
        self._start = time.monotonic()
        self.line(f"\n{self._step:2}. {title}", "bold")
        self.line(f"    > {request}", "cyan")

    def meanwhile(self, text: str) -> None:
        """Print what a wait reports."""
        self.line(f"      … {text}", "dim")

    def answer(self, text: str) -> None:
        """End a step with what came back."""
        for line in text.splitlines():
            self.line(f"    {line}")
        self.line(f"    ({time.monotonic() - self._start:.1f} s)", "dim")
