"""`remote-sandbox` in a terminal: a test types lines and reads the output."""

from __future__ import annotations

import contextlib
import re
import sys
import termios
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyte

from tests.integration.programs import DEADLINE, clean_environment
from tests.integration.pseudo_terminal import PseudoTerminal, open_pseudo_terminal

if TYPE_CHECKING:
    from collections.abc import Generator

_PROGRAM = Path(__file__).with_name("clock_program.py")
_LINES = 40
_LAST_BYTES = 20_000  # of a huge output; they fill the screen
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\r")


@dataclass
class RemoteSandboxTerminal:
    """A terminal that runs `remote-sandbox`."""

    pseudo: PseudoTerminal
    columns: int
    _received: bytearray = field(default_factory=bytearray)
    _waited_for: int = 0  # where in `output` the text ends that was waited for last

    @property
    def output(self) -> str:
        """All output so far, without escape sequences."""
        return _ESCAPES.sub("", self._received.decode(errors="replace"))

    @property
    def screen(self) -> str:
        """The text that the screen shows now."""
        screen = pyte.Screen(self.columns, _LINES)
        pyte.ByteStream(screen).feed(bytes(self._received[-_LAST_BYTES:]))
        return "\n".join(line.rstrip() for line in screen.display).strip("\n")

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, then type a line."""
        self.wait_for(question)
        self.type(f"{text}\n")

    def type(self, keys: str) -> None:
        """Send keys to the program."""
        self.pseudo.type(keys)

    def wait_for(self, text: str) -> None:
        """Read output until `text` follows the text of the last `wait_for`."""
        while text not in self.output[self._waited_for :]:
            assert self._read(), f"the program ended without {text!r} in:\n{self.output}"
        self._waited_for = self.output.index(text, self._waited_for) + len(text)

    @property
    def hides_input(self) -> bool:
        """Whether the terminal hides typed characters."""
        return not termios.tcgetattr(self.pseudo.fd)[3] & termios.ECHO

    def finish(self) -> int:
        """Read the remaining output and return the exit code."""
        while self._read():
            pass
        return self.pseudo.process.wait(DEADLINE)

    def _read(self) -> bool:
        """Read the next output; return False at the end."""
        data = self.pseudo.read(DEADLINE)
        assert data is not None, f"no output for {DEADLINE:.0f} s after:\n{self.output}"
        self._received += data
        return bool(data)


@contextlib.contextmanager
def open_terminal(
    home: Path, *arguments: str, columns: int = 80, **variables: str
) -> Generator[RemoteSandboxTerminal]:
    """Start `remote-sandbox` with `arguments` in a terminal; kill it at the end.

    `variables` may set the clock of `clock_program`.
    """
    command = [sys.executable, "-P", str(_PROGRAM), *arguments]
    env = clean_environment(home, TERM="xterm-256color", **variables)
    with open_pseudo_terminal(command, env=env, size=(_LINES, columns)) as pseudo:
        yield RemoteSandboxTerminal(pseudo, columns)
