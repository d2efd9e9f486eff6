"""Truncate long output for one reply, with a marker that says how to read the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .output import Output

MAX_OUTPUT = 30_000  # characters of a command's output in one reply
MAX_TAIL = 4_000  # characters of a tail


@dataclass(frozen=True)
class TruncatedText:
    """A part of an output: `after` is the position after it, `left_out` the number of skipped ones.

    `gone` of the skipped positions can no longer be read. Positions count characters, or bytes with
    the pipe API.
    """

    text: str
    after: int
    left_out: int = 0
    gone: int = 0


def head_and_tail(output: Output, limit: int = MAX_OUTPUT, *, name: str = "after") -> TruncatedText:
    """Return the output, or its head and tail with a marker between them.

    The marker names the argument `name` and the position to read the rest.
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
    """Return the end of the output, after a marker for the rest; see `head_and_tail`."""
    if _fits(output, limit):
        return TruncatedText(output.text, output.end)
    text = output.last(limit)
    last = output.parts[-1]
    left_out = last.position_after(len(last.text) - len(text)) - output.start
    marker = _marker(output, left_out, f"{name}={output.start}", output.gone).lstrip()
    return TruncatedText(f"{marker}{text}", output.end, left_out, output.gone)


def page(output: Output, limit: int | None = MAX_OUTPUT, *, name: str = "after") -> TruncatedText:
    """Return the beginning of the output, before a marker for the rest; see `head_and_tail`."""
    first = output.read(output.start, limit)
    left_out = output.end - first.end
    gone_later = output.gone_after(first.end)  # among those left out
    note = f"[… {_describe_gone(first.gone)} …]\n" if first.gone else ""
    marker = _marker(output, left_out, f"{name}={first.end}", gone_later) if left_out else ""
    return TruncatedText(
        f"{note}{first.text}{marker}", first.end, left_out, first.gone + gone_later
    )


def _fits(output: Output, limit: int) -> bool:
    return output.is_whole and sum(len(part.text) for part in output.parts) <= limit


def lines(text: str, first: int, path: str, limit: int = MAX_OUTPUT) -> TruncatedText:
    """Return whole lines of a file up to `limit` characters, before a marker for the rest.

    `first` is the number of the first line. In the result, `after` is the number of the next line,
    0 if there is none. `path` is the path of the file, quoted for the shell.
    """
    if len(text) <= limit:
        return TruncatedText(text, first + text.count("\n"))
    end = text.rfind("\n", 0, limit) + 1
    shown = text[: end or limit]
    left_out = len(text) - len(shown)
    note = f"{left_out} characters left out"
    after = first + (shown.count("\n") or 1)
    if not end:
        note += f", the rest of line {first} among them: {_rest_of_line(shown, first, path)}"
        after = after if text.partition("\n")[2] else 0
    next_lines = f"; start_line={after} continues" if after else ""
    marker = f"\n[… {note}{next_lines} …]\n"
    return TruncatedText(shown.removesuffix("\n") + marker, after, left_out)


def _rest_of_line(shown: str, number: int, path: str) -> str:
    """Return a clause with the command that prints the rest of a line; `cut` counts bytes."""
    return f"sed -n {number}p {path} | cut -b {len(shown.encode()) + 1}- prints it"


def _marker(output: Output, left_out: int, argument: str, gone: int) -> str:
    note = f", but {_describe_gone(gone)}" if gone else ""
    return f"\n[… {left_out} {output.unit} left out; {argument} shows them{note} …]\n"


def _describe_gone(gone: int) -> str:
    return f"{gone} are gone: the runtime keeps only the start and the end of so long an output"
