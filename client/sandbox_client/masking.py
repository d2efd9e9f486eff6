"""Mask the API key and escape control characters in the output of commands."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_client.text import CONTROL, KEY_PREFIX

from .output import REPLACEMENT, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .output import Output, OutputChunk

MASK = "[key]"
MIN_KEY_END = 4  # characters: a shorter match with the end of the key may be chance
MAX_STRAY_BYTES = 3  # bytes of a UTF-8 character without the first one

_ERASED_LINE = "\r\x1b[K"


def masked(text: str, key: str) -> str:
    """Replace each occurrence of the key in `text` by a mask of the same length."""
    return text.replace(key, _mask(len(key))) if key else text


def _mask(length: int) -> str:
    return MASK.ljust(length, "*")[:length]


def start_of_key(text: str, key: str) -> int:
    """Return the length of the longest beginning of the key at the end of `text`."""
    for length in range(min(len(text), len(key) - 1), 0, -1):
        if text.endswith(key[:length]):
            return length
    return 0


def masked_start(text: str, key: str) -> str:
    """Mask a beginning of the key at the end of `text`, which is followed by a gap."""
    length = start_of_key(text, key)
    if length <= len(KEY_PREFIX):  # the prefix is not secret
        return text
    return text[:-length] + _mask(length)


def masked_end(text: str, key: str) -> str:
    """Mask an end of the key at the beginning of `text`, which follows a gap."""
    for length in range(min(len(text), len(key) - 1), MIN_KEY_END - 1, -1):
        if text.startswith(key[-length:]):
            return "*" * length + text[length:]
    return text


def masked_at_gaps(output: Output, key: str) -> Output:
    """Mask parts of the key next to the gaps of an output."""
    parts = list(output.parts)
    for number, (one, two) in enumerate(itertools.pairwise(output.parts)):
        parts[number] = replace(parts[number], text=masked_start(one.text, key))
        parts[number + 1] = replace(two, text=masked_end(two.text, key))
    return replace(output, parts=tuple(parts))


def _without_stray_bytes(part: Part) -> Part:
    """Remove the trailing bytes of a character that begins before the part.

    Each of these bytes arrives as a replacement character, which has three bytes itself.
    """
    if part.end - part.start == len(part.text):
        return part  # positions are characters
    leading = len(part.text) - len(part.text.lstrip(REPLACEMENT))
    excess = len(part.text.encode()) - (part.end - part.start)
    strays = min(leading, MAX_STRAY_BYTES, max(excess, 0) // 2)
    return Part(part.start + strays, part.text[strays:], part.end)


class Masker:
    """Mask the API key in output that arrives in chunks, and return it from `position` on.

    The mask has the length of the key, so positions do not change. The end of a chunk that may be
    the beginning of the key is held back. `end` is the position after the last chunk, and the
    position from which the first chunk has to be read: less than a key's length before `position`.
    """

    def __init__(self, key: str, position: int = 0) -> None:
        self.end = self._start = max(position - max(len(key) - 1, 0), 0)
        self._key = key
        self._position = position
        self._held: tuple[Part, OutputChunk] | None = None

    def feed(self, chunk: OutputChunk) -> Iterator[OutputChunk]:
        """Add the next chunk, and yield the output that can be shown."""
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
        yield from self._from_position(part, replace(chunk, gone=gone))

    def flush(self) -> Iterator[OutputChunk]:
        """Yield the output that was held back, at the end of the stream."""
        if self._held is not None:
            part, chunk = self._held
            self._held = None
            yield from self._from_position(part, replace(chunk, gone=0))

    def _flush_before_gap(self) -> Iterator[OutputChunk]:
        """Yield the output that was held back; the rest of the key may be in the gap."""
        if self._held is not None:
            held, chunk = self._held
            self._held = replace(held, text=masked_start(held.text, self._key)), chunk
        yield from self.flush()

    def _from_position(self, part: Part, chunk: OutputChunk) -> Iterator[OutputChunk]:
        if part.start < self._position:
            part = part.split(part.length_before(self._position))[1]
        if part.text or chunk.gone != 0:
            yield replace(chunk, text=part.text, end=part.end)


def visible(text: str) -> str:
    """Escape control characters, and keep only the last frame of each line.

    Frames of a line, such as those of a progress bar, end with a carriage return.
    """
    lines = CONTROL.sub(_escape, text).split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


class OutputFilter:
    """Make output that arrives in chunks safe to write.

    On a terminal, control characters are escaped and a carriage return erases the line, unless
    `is_raw`. `replaced` counts the replacement characters for bytes that are not UTF-8.
    """

    def __init__(self, *, is_terminal: bool = False, is_raw: bool = False) -> None:
        self.replaced = 0
        self._escapes = is_terminal and not is_raw
        self._held = ""  # carriage returns, which may be followed by a newline

    def feed(self, text: str) -> str:
        """Add the next chunk, and return the text that can be written."""
        self.replaced += text.count(REPLACEMENT)
        if not self._escapes:
            return text
        text = self._held + text
        length = len(text.rstrip("\r"))
        text, self._held = text[:length], text[length:]
        return _escaped(text)

    def end(self) -> None:
        """Drop the carriage returns that were held back at the end of the output."""
        self._held = ""


def _escaped(text: str) -> str:
    text = re.sub(r"\r+\n", "\n", CONTROL.sub(_escape, text))
    return re.sub(r"\r+", lambda _: _ERASED_LINE, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20 or code == 0x7F:
        return f"^{chr(code ^ 0x40)}"
    return match[0].encode("unicode_escape").decode()
