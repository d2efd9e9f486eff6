"""Run a program in a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.programs import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class PseudoTerminal:
    """A program in a pseudo-terminal; `fd` is the test's end of it."""

    process: subprocess.Popen[bytes]
    fd: int

    def type(self, keys: str) -> None:
        """Send keys to the program."""
        os.write(self.fd, keys.encode())

    def read(self, timeout: float) -> bytes | None:
        """Return the next output, b"" at its end, or None after `timeout` seconds without any."""
        if not select.select([self.fd], [], [], max(0, timeout))[0]:
            return None
        with contextlib.suppress(OSError):  # EIO: the program has closed the terminal
            return os.read(self.fd, 65536)
        return b""


@contextlib.contextmanager
def open_pseudo_terminal(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    size: tuple[int, int],
    cwd: Path | None = None,
) -> Generator[PseudoTerminal]:
    """Start a program in a pseudo-terminal of `size` (lines, columns); kill it at the end."""
    fd, program_fd = pty.openpty()
    try:
        termios.tcsetwinsize(program_fd, size)
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=program_fd,
            stdout=program_fd,
            stderr=program_fd,
            start_new_session=True,
        )
        os.close(program_fd)
        try:
            yield PseudoTerminal(process, fd)
        finally:
            process.kill()
            process.wait(DEADLINE)
    finally:
        os.close(fd)
