"""Gemini CLI in a terminal: a test types keys and reads the screen."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pyte

from tests.e2e.npm import GEMINI_CLI
from tests.integration.programs import DEADLINE
from tests.integration.pseudo_terminal import PseudoTerminal, open_pseudo_terminal

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.e2e.gemini.gemini_cli import GeminiCLI

COLUMNS, LINES = 110, 50
STILL = 0.5  # seconds without output, after which the screen counts as complete
ESCAPE = "\x1b"


class Screen(pyte.Screen):
    """A screen that answers the terminal queries of the program."""

    def __init__(self, pseudo: PseudoTerminal) -> None:
        super().__init__(COLUMNS, LINES)
        self._pseudo = pseudo

    def write_process_input(self, data: str) -> None:
        """Send the answer to a query, which the program reads like typed keys."""
        self._pseudo.type(data)

    def select_graphic_rendition(self, *attrs: int, private: bool = False) -> None:
        """Ignore private sequences: they query the keyboard mode, which pyte does not support."""
        if not private:
            super().select_graphic_rendition(*attrs)


class GeminiTerminal:
    """A terminal that runs Gemini CLI."""

    def __init__(self, pseudo: PseudoTerminal) -> None:
        self._pseudo = pseudo
        self._screen = Screen(pseudo)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def shown(self) -> str:
        """The text on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def type(self, keys: str) -> None:
        """Send keys to the program."""
        self._pseudo.type(keys)

    def enter(self) -> None:
        """Press Enter once the screen is still: Gemini CLI ignores it while it completes."""
        self.wait_until_still()
        self.type("\r")

    def submit(self, line: str) -> None:
        """Type a line, wait until it is on the screen, and press Enter."""
        before = self.shown.count(line)
        self.type(line)
        self.wait_for(line, times=before + 1)
        self.enter()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Read output until the screen shows `text` at least `times` times."""
        deadline = time.monotonic() + DEADLINE
        while self.shown.count(text) < times:
            seen = self._read(deadline - time.monotonic())
            assert seen, f"{text!r} is not on the screen:\n{self.shown}"

    def wait_until_still(self) -> None:
        """Read output until the screen has not changed for STILL seconds."""
        deadline = time.monotonic() + DEADLINE
        while self._read(STILL):
            assert time.monotonic() < deadline, f"The screen still changes:\n{self.shown}"

    def finish(self) -> int:
        """Read the remaining output and return the exit code."""
        deadline = time.monotonic() + DEADLINE
        while self._read(deadline - time.monotonic()):
            pass
        return self._pseudo.process.wait(DEADLINE)

    def _read(self, timeout: float) -> bool:
        """Draw the next output; return False at its end or after `timeout` seconds without any."""
        data = self._pseudo.read(timeout)
        if data:
            self._stream.feed(data)
        return bool(data)


@contextlib.contextmanager
def open_gemini_terminal(gemini: GeminiCLI, *arguments: str) -> Generator[GeminiTerminal]:
    """Start Gemini CLI in a terminal; kill it at the end."""
    command = [*GEMINI_CLI.command(), *arguments]
    with open_pseudo_terminal(
        command, env=gemini.environment(), cwd=gemini.workspace, size=(LINES, COLUMNS)
    ) as pseudo:
        yield GeminiTerminal(pseudo)
