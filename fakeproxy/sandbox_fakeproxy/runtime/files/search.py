"""Search a text with a caller's regular expression, in a process with limits.

Python's own matching may take for ever and lets no other thread run meanwhile. So it runs in a
separate process, which is ended when it exceeds its time or its memory.
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
    """A regular expression is malformed."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The lines that match, and their numbers from 0, as a read's `start_line` counts."""

    matches: list[str]
    line_numbers: list[int]
    truncated: bool


def search(text: str, regex: str, seconds: float) -> SearchResult:
    """Return the lines of a text in which an expression is found.

    Raises:
        InvalidExpression: the expression is malformed.
        FileRejected: the search took too much time or memory.
    """
    request = {"text": text, "regex": regex, "limit": _MATCH_LIMIT, "seconds": seconds}
    timeout_error = FileRejected(
        "io_error", f"The search took more than {seconds:g} s; simplify the expression"
    )
    try:
        process = subprocess.run(  # noqa: S603  (our own program; the request is not an argument)
            _PROGRAM,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise timeout_error from exc
    if process.returncode == -signal.SIGXCPU:
        raise timeout_error
    if process.returncode != 0:
        raise FileRejected("io_error", "The search took too much memory; simplify the expression")
    result = json.loads(process.stdout)
    if "error" in result:
        raise InvalidExpression(result["error"])
    return SearchResult(**result)
