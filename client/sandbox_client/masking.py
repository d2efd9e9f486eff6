"""Mask the API key and other secrets, and escape control characters in the output of commands."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from sandbox_client.text import CONTROL, KEY_PREFIX

from .output import REPLACEMENT, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .output import Output, OutputChunk

MASK = "[key]"
MIN_KEY_END = 4  # characters: a shorter match with the end of the key may be chance
MIN_SECRET = 8  # characters: a shorter value, such as `true`, would mask other words
MAX_STRAY_BYTES = 3  # bytes of a UTF-8 character without the first one

_FILLERS = "*·•🔒"  # characters of one to four bytes
_ERASED_LINE = "\r\x1b[K"


def masked(text: str, *keys: str) -> str:
    """Replace each occurrence of a key in `text` by a mask of the same length."""
    return _pattern(keys).sub(lambda match: _mask(match[0]), text) if any(keys) else text


@cache
def _pattern(keys: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for the keys; of those that begin at one place, the longest matches."""
    return re.compile("|".join(map(re.escape, sorted(filter(None, keys), key=len, reverse=True))))


def _mask(key: str) -> str:
    """Return a mask with as many characters and bytes of UTF-8 as the key."""
    filler = _filler(key)
    return MASK[: len(key)] + filler[len(MASK) :] if key[: len(MASK)].isascii() else filler


def _filler(text: str) -> str:
    return "".join(_FILLERS[len(character.encode(errors="replace")) - 1] for character in text)


def end_of_complete(text: str, *keys: str) -> int:
    """Return the position in `text` from which on a key may begin whose rest is missing.

    The beginning of a key within another key that is complete does not count.
    """
    if not any(keys):
        return len(text)
    longest = max(map(len, keys))
    first = max(len(text) - longest + 1, 0)
    starts = [
        place
        for place in range(first, len(text))
        if any(len(text) - place < len(key) and key.startswith(text[place:]) for key in keys)
    ]
    for match in _pattern(keys).finditer(text, max(first - longest, 0)) if starts else ():
        starts = [place for place in starts if not match.start() < place < match.end()]
    return min(starts, default=len(text))


def masked_start(text: str, *keys: str) -> str:
    """Mask a beginning of a key at the end of `text`, which is followed by a gap."""
    place = end_of_complete(text, *keys)
    start = text[place:]
    least = len(KEY_PREFIX) + 1 if KEY_PREFIX.startswith(start[: len(KEY_PREFIX)]) else MIN_KEY_END
    if len(start) < least:  # the prefix is not secret
        return text
    return text[:place] + _mask(start)


def masked_end(text: str, *keys: str) -> str:
    """Mask an end of a key at the beginning of `text`, which follows a gap."""
    longest = max(map(len, keys), default=0)
    for length in range(min(len(text), longest - 1), MIN_KEY_END - 1, -1):
        if any(length < len(key) and text.startswith(key[-length:]) for key in keys):
            return _filler(text[:length]) + text[length:]
    return text


def masked_at_gaps(output: Output, *keys: str) -> Output:
    """Mask parts of a key next to the gaps of an output."""
    parts = list(output.parts)
    for number, (one, two) in enumerate(itertools.pairwise(output.parts)):
        parts[number] = replace(parts[number], text=masked_start(one.text, *keys))
        parts[number + 1] = replace(two, text=masked_end(two.text, *keys))
    return replace(output, parts=tuple(parts))


def secrets_in(value: str) -> list[str]:
    """Return what is masked of a variable's value: its lines, unless they are short words."""
    lines = (line.strip() for line in value.splitlines())
    return [line for line in lines if len(line) >= MIN_SECRET]


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
    """Mask keys in output that arrives in chunks, and return it from `position` on.

    A mask has the length of its key, so positions do not change. The end of a chunk that may be the
    beginning of a key is held back. `end` is the position after the last chunk, and the position
    from which the first chunk has to be read: less than a key's length before `position`.
    """

    def __init__(self, key: str, position: int = 0, *, others: Sequence[str] = ()) -> None:
        self._keys = tuple(each for each in (key, *others) if each)
        longest = max((len(each.encode(errors="replace")) for each in self._keys), default=1)
        self.end = self._start = max(position - longest + 1, 0)
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
            part = replace(part, text=masked_end(part.text, *self._keys))
        if gone:
            gone = max(start - max(self.end, self._position), 0)
        if self.end == self._start > 0:
            part = _without_stray_bytes(part)
        if self._held is not None:
            held, _ = self._held
            part = Part(held.start, held.text + part.text, part.end)
        part, held = part.split(end_of_complete(part.text, *self._keys))
        part = replace(part, text=masked(part.text, *self._keys))
        self.end, self._held = chunk.end, (held, chunk) if held.text else None
        yield from self._from_position(part, replace(chunk, gone=gone))

    def flush(self) -> Iterator[OutputChunk]:
        """Yield the output that was held back, at the end of the stream."""
        if self._held is not None:
            part, chunk = self._held
            part = replace(part, text=masked(part.text, *self._keys))
            self._held = None
            yield from self._from_position(part, replace(chunk, gone=0))

    def _flush_before_gap(self) -> Iterator[OutputChunk]:
        """Yield the output that was held back; the rest of the key may be in the gap."""
        if self._held is not None:
            held, chunk = self._held
            self._held = replace(held, text=masked_start(held.text, *self._keys)), chunk
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
