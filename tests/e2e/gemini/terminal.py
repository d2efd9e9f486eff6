"""A person at a terminal: Gemini CLI on one side, a screen and keys on the other."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pyte

from tests.e2e.npm import GEMINI_CLI
from tests.integration.programs import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.e2e.gemini.program import Gemini

COLUMNS, LINES = 110, 50
STILL = 0.5  # seconds without a change, after which nothing more is about to be drawn
ESCAPE = "\x1b"


class Screen(pyte.Screen):
    """A screen that answers what the program asks of the terminal."""

    def __init__(self, keyboard: int) -> None:
        super().__init__(COLUMNS, LINES)
        self._keyboard = keyboard

    def write_process_input(self, data: str) -> None:
        """Give an answer where keys come from."""
        os.write(self._keyboard, data.encode())

    def select_graphic_rendition(self, *attrs: int, private: bool = False) -> None:
        """Leave what is private alone: it asks about keys, and pyte does not know it."""
        if not private:
            super().select_graphic_rendition(*attrs)


class Terminal:
    """A pseudo-terminal in which Gemini CLI runs."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self._process = process
        self._screen = Screen(descriptor)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def shown(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._descriptor, keys.encode())

    def enter(self) -> None:
        """Look at what is typed, and press Enter.

        While it looks for completions, Gemini CLI takes no notice of Enter.
        """
        self.wait_until_still()
        self.press("\r")

    def submit(self, line: str) -> None:
        """Type a line, and press Enter once it is on the screen."""
        before = self.shown.count(line)
        self.press(line)
        self.wait_for(line, times=before + 1)
        self.enter()

    def wait_for(self, words: str, times: int = 1) -> None:
        """Look at the screen until it shows `words`, so many times."""
        deadline = time.monotonic() + DEADLINE
        while self.shown.count(words) < times:
            seen = self._look(deadline - time.monotonic())
            assert seen, f"{words!r} is not on the screen:\n{self.shown}"

    def wait_until_still(self) -> None:
        """Look at the screen until nothing changes any more."""
        deadline = time.monotonic() + DEADLINE
        while self._look(STILL):
            assert time.monotonic() < deadline, f"The screen still changes:\n{self.shown}"

    def wait_for_the_end(self) -> int:
        """Look at the screen until the program ends, and return its exit code."""
        deadline = time.monotonic() + DEADLINE
        while self._look(deadline - time.monotonic()):
            pass
        return self._process.wait(DEADLINE)

    def _look(self, patience: float) -> bool:
        """Show what the program writes next, if it does so within `patience` seconds."""
        if not select.select([self._descriptor], [], [], max(0, patience))[0]:
            return False
        with contextlib.suppress(OSError):  # Linux's way to say that nobody writes any more
            if written := os.read(self._descriptor, 65536):
                self._stream.feed(written)
                return True
        return False


@contextlib.contextmanager
def a_terminal(gemini: Gemini, *words: str) -> Generator[Terminal]:
    """Start Gemini CLI in a terminal; at the end nothing of it runs."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (LINES, COLUMNS))
    process = subprocess.Popen(
        [*GEMINI_CLI.command(), *words],
        cwd=gemini.workspace,
        env=gemini.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait(DEADLINE)
        os.close(ours)
