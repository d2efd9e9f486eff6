"""A pseudo-terminal of 80 columns: a test types into it and reads the screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.integration.programs import DEADLINE, clean_environment

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

# The program opens /dev/tty, so the terminal has to be its own.
_START = (
    "import fcntl, runpy, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " runpy.run_module('sandbox_client', run_name='__main__', alter_sys=True)"
)
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\r")


@dataclass
class Terminal:
    """`remote-sandbox` in a pseudo-terminal; `end` is the test's end of it."""

    process: subprocess.Popen[bytes]
    end: int
    raw: bytearray = field(default_factory=bytearray)
    seen: int = 0

    @property
    def screen(self) -> str:
        """The output so far, without escape sequences."""
        return _ESCAPES.sub("", self.raw.decode(errors="replace"))

    def answer(self, question: str, text: str) -> None:
        """Wait for a question that was not answered before, and type a line."""
        self.wait_for(question)
        self.type(f"{text}\n")

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self.end, text.encode())

    def wait_for(self, words: str) -> None:
        """Read until `words` are shown, after those that were waited for before."""
        while words not in self.screen[self.seen :]:
            assert self._read(), f"{words!r} never came; there is:\n{self.screen}"
        self.seen = self.screen.index(words, self.seen) + len(words)

    @property
    def is_hiding(self) -> bool:
        """Whether the terminal hides typed characters."""
        return not termios.tcgetattr(self.end)[3] & termios.ECHO

    def finish(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        return self.process.wait(DEADLINE)

    def _read(self) -> bool:
        """Read the next output; return False at the end."""
        ready, _, _ = select.select([self.end], [], [], DEADLINE)
        assert ready, f"nothing came for {DEADLINE:.0f} s; there is:\n{self.screen}"
        with contextlib.suppress(OSError):  # EIO: the program has closed the terminal
            self.raw += (data := os.read(self.end, 65536))
            return bool(data)
        return False


@contextlib.contextmanager
def a_terminal(home: Path, *words: str, **variables: str) -> Generator[Terminal]:
    """Start `remote-sandbox` with `words` in a terminal of its own."""
    end, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *words],
            env=clean_environment(home, TERM="xterm-256color", **variables),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(process, end)
        finally:
            process.kill()
            process.wait(DEADLINE)
    finally:
        os.close(end)
