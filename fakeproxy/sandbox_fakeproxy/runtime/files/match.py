"""A program that reads an expression and a text from stdin and writes the matching lines.

`search` starts it. It imports nothing of the fake, as it runs without the fake's packages.
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
    """Return the lines in which an expression is found, and their numbers from 0.

    The result has at most `limit` lines. It has only an `error` if the expression is malformed.
    """
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


def _set_limit(kind: int, value: int) -> None:
    with suppress(ValueError, OSError):  # where the system has no such limit
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


@contextmanager
def _exit_without_reader() -> Generator[None]:
    """End this process when its output has lost its reader.

    A signal (SIGIO) ends it, on Linux only.
    """
    output = sys.stdout.fileno()
    flags = fcntl.fcntl(output, fcntl.F_GETFL)
    fcntl.fcntl(output, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(output, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(output, 0)
    if poll.poll(0):  # the reader is gone already
        sys.exit(1)
    try:
        yield
    finally:
        fcntl.fcntl(output, fcntl.F_SETFL, flags)


if __name__ == "__main__":
    _set_limit(resource.RLIMIT_AS, _MEMORY)
    request = json.load(sys.stdin)
    # The caller's timeout does not end a search while the caller's clock stands still.
    _set_limit(resource.RLIMIT_CPU, math.ceil(request.pop("seconds")))
    with _exit_without_reader():
        result = matches(**request)
    json.dump(result, sys.stdout)
