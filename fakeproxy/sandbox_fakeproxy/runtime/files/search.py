"""Regular expressions that strangers wrote, matched where they cannot hold up the fake.

Python's own matching may take for ever and lets no other thread run meanwhile; so it happens in
a process of its own, which has its time and its memory and then is ended.
"""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import FileRejected

_PROGRAM = [sys.executable, "-I", "-S", str(Path(__file__).with_name("match.py"))]
_MATCH_LIMIT = 10_000


class InvalidExpression(Exception):
    """It is no regular expression of Python's."""


@dataclass(frozen=True, slots=True)
class Found:
    """The lines that match, and their numbers from 0, as a read's `start_line` counts."""

    matches: list[str]
    line_numbers: list[int]
    truncated: bool


def search(text: str, regex: str, seconds: float) -> Found:
    """Return the lines of a text in which an expression is found.

    Raises:
        InvalidExpression: it is none.
        FileRejected: it took too much time or memory.
    """
    asked = {"text": text, "regex": regex, "limit": _MATCH_LIMIT, "seconds": seconds}
    late = FileRejected(
        "io_error", f"The search took more than {seconds:g} s; simplify the expression"
    )
    try:
        ended = subprocess.run(  # noqa: S603  (a program of ours; what is asked is no argument)
            _PROGRAM,
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise late from exc
    if ended.returncode == -signal.SIGXCPU:
        raise late
    if ended.returncode != 0:
        raise FileRejected("io_error", "The search took too much memory; simplify the expression")
    answer = json.loads(ended.stdout)
    if "error" in answer:
        raise InvalidExpression(answer["error"])
    return Found(**answer)
