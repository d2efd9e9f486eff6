"""What of a long output goes into one reply, and how to ask for the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._shell_wire import Kept

MAX_OUTPUT = 30_000  # characters of a command's output in one reply
MAX_TAIL = 4_000  # characters, where the rest is asked for anyway
MAX_LINE = 120

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")


@dataclass(frozen=True)
class Excerpt:
    """A part of an output: `after` is where to go on, `left_out` the number of skipped characters.

    `gone` of them can no longer be read.
    """

    text: str
    after: int
    left_out: int = 0
    gone: int = 0


def head_and_tail(output: str, limit: int = MAX_OUTPUT) -> Excerpt:
    """Return the output, or its head and tail with how to get what lies between."""
    kept = Kept.of(output)
    if kept.size <= limit:
        return Excerpt(output, len(output))
    half = limit // 2
    left_out = kept.size - 2 * half
    marker = _marker(left_out, half, kept.gone)
    return Excerpt(f"{output[:half]}{marker}{output[-half:]}", kept.size, left_out, kept.gone)


def tail(output: str, limit: int = MAX_TAIL) -> Excerpt:
    """Return the output's end with how to get what stands before it."""
    kept = Kept.of(output)
    if kept.size <= limit:
        return Excerpt(output, len(output))
    left_out = kept.size - limit
    marker = _marker(left_out, 0, kept.gone).lstrip()
    return Excerpt(f"{marker}{output[-limit:]}", kept.size, left_out, kept.gone)


def page(output: str, after: int, limit: int = MAX_OUTPUT) -> Excerpt:
    """Return the characters after the first `after`, in order, as many as one reply holds."""
    kept = Kept.of(output)
    gone, text, reached = kept.read(after, limit)
    left_out = kept.size - reached
    later = kept.gone if reached <= len(kept.start) else 0  # among those left out
    told = f"[… {_told_gone(gone)} …]\n" if gone else ""
    marker = _marker(left_out, reached, later) if left_out else ""
    return Excerpt(f"{told}{text}{marker}", reached, left_out, gone + later)


def lines(text: str, first: int, path: str, limit: int = MAX_OUTPUT) -> Excerpt:
    """Return a file's lines, whose first has the number `first`, as many as one reply holds.

    `after` is the number of the line to go on with; 0 where none follows. `path` is the file's, as
    a word of a shell's.
    """
    if len(text) <= limit:
        return Excerpt(text, first + text.count("\n"))
    end = text.rfind("\n", 0, limit) + 1
    shown = text[: end or limit]
    left_out = len(text) - len(shown)
    told = f"{left_out} characters left out"
    after = first + (shown.count("\n") or 1)
    if not end:
        told += f", the rest of line {first} among them: {_rest_of_line(shown, first, path)}"
        after = after if text.partition("\n")[2] else 0
    goes_on = f"; start_line={after} goes on" if after else ""
    marker = f"\n[… {told}{goes_on} …]\n"
    return Excerpt(shown.removesuffix("\n") + marker, after, left_out)


def one_line(text: str) -> str:
    """Return `text` as one short printable line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"


def _rest_of_line(shown: str, number: int, path: str) -> str:
    """Return the command that prints what follows of a line: cut counts bytes everywhere."""
    return f"sed -n {number}p {path} | cut -b {len(shown.encode()) + 1}- prints it"


def last_line(output: str) -> str:
    """Return the last line that says something, fit for a line of progress; maybe empty."""
    for line in reversed(output[-4 * MAX_TAIL :].splitlines()):
        if shown := one_line(_ESCAPES.sub("", line)):
            return shown
    return ""


def _marker(left_out: int, after: int, gone: int) -> str:
    told = f", but {_told_gone(gone)}" if gone else ""
    return f"\n[… {left_out} characters left out; after={after} shows them{told} …]\n"


def _told_gone(gone: int) -> str:
    return f"{gone} are gone: the runtime keeps only the start and the end of so long an output"
