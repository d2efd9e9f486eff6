"""What of a long output goes into one reply, and how to ask for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .output import Output

MAX_OUTPUT = 30_000  # characters of a command's output in one reply
MAX_TAIL = 4_000  # characters, where the rest is asked for anyway


@dataclass(frozen=True)
class TruncatedText:
    """A part of an output: `after` is where to go on, `left_out` the number of skipped positions.

    `gone` of them can no longer be read. Positions count characters, or bytes with the pipe API.
    """

    text: str
    after: int
    left_out: int = 0
    gone: int = 0


def head_and_tail(output: Output, limit: int = MAX_OUTPUT, *, name: str = "after") -> TruncatedText:
    """Return the output, or its head and tail with how to get what lies between.

    `name` is the argument that takes the position where to go on.
    """
    if _fits(output, limit):
        return TruncatedText(output.text, output.end)
    first, last = output.parts[0], output.parts[-1]
    head = first.text[: limit // 2]
    room = len(last.text) - (len(head) if last is first else 0)
    tail_length = min(limit // 2, room)
    head_end = first.position_after(len(head))
    left_out = last.position_after(len(last.text) - tail_length) - head_end
    marker = _marker(output, left_out, f"{name}={head_end}", output.gone)
    text = f"{head}{marker}{output.last(tail_length)}"
    return TruncatedText(text, output.end, left_out, output.gone)


def tail(output: Output, limit: int = MAX_TAIL, *, name: str = "after") -> TruncatedText:
    """Return the output's end with how to get what stands before it."""
    if _fits(output, limit):
        return TruncatedText(output.text, output.end)
    text = output.last(limit)
    last = output.parts[-1]
    left_out = last.position_after(len(last.text) - len(text)) - output.start
    marker = _marker(output, left_out, f"{name}={output.start}", output.gone).lstrip()
    return TruncatedText(f"{marker}{text}", output.end, left_out, output.gone)


def page(output: Output, limit: int | None = MAX_OUTPUT, *, name: str = "after") -> TruncatedText:
    """Return the characters of the output in order, as many as one reply holds."""
    shown = output.read(output.start, limit)
    left_out = output.end - shown.end
    later = output.gone_after(shown.end)  # among those left out
    told = f"[… {_told_gone(shown.gone)} …]\n" if shown.gone else ""
    marker = _marker(output, left_out, f"{name}={shown.end}", later) if left_out else ""
    return TruncatedText(f"{told}{shown.text}{marker}", shown.end, left_out, shown.gone + later)


def _fits(output: Output, limit: int) -> bool:
    return output.is_whole and sum(len(part.text) for part in output.parts) <= limit


def lines(text: str, first: int, path: str, limit: int = MAX_OUTPUT) -> TruncatedText:
    """Return a file's lines, whose first has the number `first`, as many as one reply holds.

    `after` is the number of the line to go on with; 0 where none follows. `path` is the file's, as
    a word of a shell's.
    """
    if len(text) <= limit:
        return TruncatedText(text, first + text.count("\n"))
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
    return TruncatedText(shown.removesuffix("\n") + marker, after, left_out)


def _rest_of_line(shown: str, number: int, path: str) -> str:
    """Return the command that prints what follows of a line: cut counts bytes everywhere."""
    return f"sed -n {number}p {path} | cut -b {len(shown.encode()) + 1}- prints it"


def _marker(output: Output, left_out: int, where: str, gone: int) -> str:
    told = f", but {_told_gone(gone)}" if gone else ""
    return f"\n[… {left_out} {output.unit} left out; {where} shows them{told} …]\n"


def _told_gone(gone: int) -> str:
    return f"{gone} are gone: the runtime keeps only the start and the end of so long an output"
