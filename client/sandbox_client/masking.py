"""A command's output as it may be shown: without the key, and without control over a terminal."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_client.text import KEY_PREFIX

from .output import REPLACEMENT, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .output import Output, OutputChunk

MASK = "[key]"
SHORTEST_END = 4  # characters of the key that are more than chance
LONGEST_REST = 3  # bytes of a character without its first one

# Control characters except tab, newline and carriage return, and those that reorder text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ERASED_LINE = "\r\x1b[K"


def masked(text: str, key: str) -> str:
    """Return `text` with a mask of the same length for each occurrence of the key."""
    return text.replace(key, _mask(len(key))) if key else text


def _mask(length: int) -> str:
    return MASK.ljust(length, "*")[:length]


def start_of_key(text: str, key: str) -> int:
    """Return the length of the longest end of `text` that is the start of the key."""
    for length in range(min(len(text), len(key) - 1), 0, -1):
        if text.endswith(key[:length]):
            return length
    return 0


def masked_start(text: str, key: str) -> str:
    """Return `text`, after which something is missing, with a mask for a start of the key."""
    length = start_of_key(text, key)
    if length <= len(KEY_PREFIX):  # which is no secret
        return text
    return text[:-length] + _mask(length)


def masked_end(text: str, key: str) -> str:
    """Return `text`, before which something is missing, with a mask for an end of the key."""
    for length in range(min(len(text), len(key) - 1), SHORTEST_END - 1, -1):
        if text.startswith(key[-length:]):
            return "*" * length + text[length:]
    return text


def masked_at_gaps(output: Output, key: str) -> Output:
    """Return an output with a mask for parts of the key next to a gap."""
    parts = list(output.parts)
    for number, (one, two) in enumerate(itertools.pairwise(output.parts)):
        parts[number] = replace(parts[number], text=masked_start(one.text, key))
        parts[number + 1] = replace(two, text=masked_end(two.text, key))
    return replace(output, parts=tuple(parts))


def _without_stray_bytes(part: Part) -> Part:
    """Return a part without the trailing bytes of a character that begins before it.

    Each such byte arrives as a replacement character, which has three bytes itself.
    """
    if part.end - part.start == len(part.text):
        return part  # positions are characters
    leading = len(part.text) - len(part.text.lstrip(REPLACEMENT))
    excess = len(part.text.encode()) - (part.end - part.start)
    strays = min(leading, LONGEST_REST, max(excess, 0) // 2)
    return Part(part.start + strays, part.text[strays:], part.end)


class Masker:
    """Mask the API key in an output that comes in pieces, from a position on.

    The mask has the length of the key, so positions do not change. A piece's end that may be the
    start of the key is held back. `end` is the position after the last piece; the first piece has
    to begin there, less than a key's length before `position`.
    """

    def __init__(self, key: str, position: int = 0) -> None:
        self.end = self._start = max(position - max(len(key) - 1, 0), 0)
        self._key = key
        self._position = position
        self._held: tuple[Part, OutputChunk] | None = None

    def feed(self, chunk: OutputChunk) -> Iterator[OutputChunk]:
        """Add the next piece, and yield the output that is complete."""
        start, gone = self.end + (chunk.gone or 0), chunk.gone
        if chunk.unit == "characters":
            start = chunk.end - len(chunk.text)
        part = Part(start, chunk.text, chunk.end)
        if chunk.gone != 0:
            yield from self._flush_before_gap()
            part = replace(part, text=masked_end(part.text, self._key))
        if gone:
            gone = max(start - max(self.end, self._position), 0)
        if self.end == self._start > 0:
            part = _without_stray_bytes(part)
        if self._held is not None:
            held, _ = self._held
            part = Part(held.start, held.text + part.text, part.end)
        part = replace(part, text=masked(part.text, self._key))
        part, held = part.split(len(part.text) - start_of_key(part.text, self._key))
        self.end, self._held = chunk.end, (held, chunk) if held.text else None
        yield from self._wanted(part, replace(chunk, gone=gone))

    def flush(self) -> Iterator[OutputChunk]:
        """Yield the output that was held back, at the end of the stream."""
        if self._held is not None:
            part, chunk = self._held
            self._held = None
            yield from self._wanted(part, replace(chunk, gone=0))

    def _flush_before_gap(self) -> Iterator[OutputChunk]:
        """Yield the output that was held back; the rest of the key may be in the gap."""
        if self._held is not None:
            held, chunk = self._held
            self._held = replace(held, text=masked_start(held.text, self._key)), chunk
        yield from self.flush()

    def _wanted(self, part: Part, chunk: OutputChunk) -> Iterator[OutputChunk]:
        if part.start < self._position:
            part = part.split(part.length_before(self._position))[1]
        if part.text or chunk.gone != 0:
            yield replace(chunk, text=part.text, end=part.end)


def visible(text: str) -> str:
    """Return `text` with control characters spelled, and of each line only its last frame.

    A frame ends with a carriage return, as those of a progress bar do.
    """
    lines = _CONTROL.sub(_spell, text).split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


class OutputFilter:
    """Change an output that comes in pieces into what may be written.

    On a terminal, control characters are spelled, unless the output is `raw`, and a carriage return
    starts the line anew. `replaced` counts the characters that stand for bytes that are no UTF-8.
    """

    def __init__(self, *, is_terminal: bool = False, is_raw: bool = False) -> None:
        self.replaced = 0
        self._spells = is_terminal and not is_raw
        self._held = ""  # carriage returns, which may stand before a newline

    def feed(self, text: str) -> str:
        """Return the text that can be written after the next piece."""
        self.replaced += text.count(REPLACEMENT)
        if not self._spells:
            return text
        text = self._held + text
        length = len(text.rstrip("\r"))
        text, self._held = text[:length], text[length:]
        return _spelled(text)

    def end(self) -> None:
        """Forget the carriage returns that were held back: nothing follows them."""
        self._held = ""


def _spelled(text: str) -> str:
    text = re.sub(r"\r+\n", "\n", _CONTROL.sub(_spell, text))
    return re.sub(r"\r+", lambda _: _ERASED_LINE, text)


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20 or code == 0x7F:
        return f"^{chr(code ^ 0x40)}"
    return match[0].encode("unicode_escape").decode()
