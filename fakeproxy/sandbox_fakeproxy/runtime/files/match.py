"""A program: read an expression and a text, write the lines that match. `search` starts it.

It imports nothing of the fake, as it runs without its packages.
"""

import fcntl
import json
import math
import os
import re
import resource
import select
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

_MEMORY = 1024**3  # bytes


def matches(text: str, regex: str, limit: int) -> dict[str, Any]:
    """Return the lines in which an expression is found, and their numbers from 0."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # a text's last newline ends a line and begins none
    try:
        search = re.compile(regex).search
    except (re.error, OverflowError, RecursionError) as exc:
        return {"error": str(exc)}
    numbers = [number for number, line in enumerate(lines) if search(line)]
    return {
        "matches": [lines[number] for number in numbers[:limit]],
        "line_numbers": numbers[:limit],
        "truncated": len(numbers) > limit,
    }


def _limit(kind: int, most: int) -> None:
    with suppress(ValueError, OSError):  # where the system has no such limit
        resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


@contextmanager
def _ended_with_its_reader() -> Generator[None]:
    """End this process when its output has no reader any more; by a signal, on Linux only."""
    output = sys.stdout.fileno()
    flags = fcntl.fcntl(output, fcntl.F_GETFL)
    fcntl.fcntl(output, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(output, fcntl.F_SETFL, flags | os.O_ASYNC)
    reader = select.poll()
    reader.register(output, 0)
    if reader.poll(0):  # it has left already
        sys.exit(1)
    try:
        yield
    finally:
        fcntl.fcntl(output, fcntl.F_SETFL, flags)


if __name__ == "__main__":
    _limit(resource.RLIMIT_AS, _MEMORY)
    asked = json.load(sys.stdin)
    # The caller may wait with a clock that stands still.
    _limit(resource.RLIMIT_CPU, math.ceil(asked.pop("seconds")))
    with _ended_with_its_reader():
        found = matches(**asked)
    json.dump(found, sys.stdout)
