"""The output of a command: text with positions, in bounded memory."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import Literal

Unit = Literal["characters", "bytes"]  # of positions
REPLACEMENT = "\ufffd"  # for bytes that are not UTF-8
MAX_HEAD = MAX_TAIL = 5_000_000  # characters that a `Recorder` keeps of longer output


@dataclass(frozen=True)
class OutputChunk:
    """New output and the position after it.

    `gone` positions before it can no longer be read, None if their number is unknown. `is_error`
    means that it is from standard error.
    """

    text: str
    end: int
    gone: int | None = 0
    is_error: bool = False
    unit: Unit = "characters"


@dataclass(frozen=True)
class Part:
    """Consecutive text from position `start` to position `end`.

    Positions count characters (terminal API) or bytes (pipe API). A byte that is not UTF-8 arrives
    as a replacement character, which has three bytes itself. Positions within a text that mixes
    such bytes with real replacement characters are approximate.
    """

    start: int
    text: str
    end: int

    def position_after(self, length: int) -> int:
        """Return the position after the first `length` characters."""
        span = self.end - self.start
        if span == len(self.text):
            return self.start + length
        if length >= len(self.text):
            return self.end
        before, size = self.text[:length], len(self.text.encode())
        excess = 0
        if size != span and (replaced := self.text.count(REPLACEMENT)):
            excess = (size - span) * before.count(REPLACEMENT) // replaced
        return self.start + len(before.encode()) - excess

    def length_before(self, position: int) -> int:
        """Return the number of characters before a position."""
        if self.end - self.start == len(self.text):
            return min(max(position - self.start, 0), len(self.text))
        low, high = 0, len(self.text)
        while low < high:
            middle = (low + high) // 2
            if self.position_after(middle) < position:
                low = middle + 1
            else:
                high = middle
        return low

    def split(self, length: int) -> tuple[Part, Part]:
        """Return the first `length` characters and the rest."""
        if length >= len(self.text):
            return self, Part(self.end, "", self.end)
        middle = self.position_after(length)
        first = Part(self.start, self.text[:length], middle)
        return first, Part(middle, self.text[length:], self.end)


@dataclass(frozen=True)
class Page:
    """Text of an output, the position after it, and the number of lost positions before it."""

    text: str
    end: int
    gone: int = 0


@dataclass(frozen=True)
class Output:
    """Output from position `start` on, with gaps between its parts.

    `gone` of the missing positions can no longer be read from the runtime. Positions count `unit`.
    """

    start: int = 0
    parts: tuple[Part, ...] = ()
    gone: int = 0
    unit: Unit = "characters"

    @classmethod
    def of(cls, text: str) -> Output:
        """Return complete output, with positions that count characters."""
        return cls(parts=(Part(0, text, len(text)),)) if text else cls()

    @property
    def end(self) -> int:
        """The position after the last character."""
        return self.parts[-1].end if self.parts else self.start

    @property
    def is_whole(self) -> bool:
        """Whether no position is missing."""
        return sum(part.end - part.start for part in self.parts) == self.end - self.start

    @property
    def text(self) -> str:
        """The text of all parts."""
        return "".join(part.text for part in self.parts)

    def since(self, position: int) -> Output:
        """Return the output from a position on, or from its end if that is before it."""
        position = min(position, self.end)
        if position <= self.start:
            return self
        rests = [part.split(part.length_before(position))[1] for part in self.parts]
        parts = tuple(rest for rest in rests if rest.text)
        return Output(position, parts, self.gone_after(position), self.unit)

    def gone_after(self, position: int) -> int:
        """Return the number of positions after this one that can no longer be read."""
        gaps = sum(
            max(two.start - max(one.end, position), 0)
            for one, two in itertools.pairwise(self.parts)
        )
        return min(self.gone, gaps)

    def last(self, length: int) -> str:
        """Return up to `length` consecutive characters before the end."""
        return self.parts[-1].text[-length:] if self.parts and length else ""

    def read(self, position: int, limit: int | None = None) -> Page:
        """Return up to `limit` consecutive characters from a position on."""
        for part in self.parts:
            if position < part.end:
                first = part.length_before(position)
                text = part.text[first:][:limit]
                end = part.position_after(first + len(text))
                return Page(text, end, max(part.start - max(position, self.start), 0))
        return Page("", max(self.end, self.start))


class Recorder:
    """Collect output chunk by chunk, and keep the head and the tail of long output.

    Positions count bytes, from `start` on.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = self.end = start
        self._gone = 0
        self._head: list[Part] = []
        self._tail: deque[Part] = deque()
        self._head_length = self._tail_length = 0

    def add(self, chunk: OutputChunk) -> None:
        """Add the next chunk."""
        gone = chunk.gone or 0
        self._gone += gone
        part = Part(self.end + gone, chunk.text, chunk.end)
        self.end = chunk.end
        head, rest = part.split(MAX_HEAD - self._head_length)
        if head.text:
            self._head.append(head)
            self._head_length += len(head.text)
        if rest.text:
            self._tail.append(rest)
            self._tail_length += len(rest.text)
        self._drop()

    def output(self) -> Output:
        """Return the collected output."""
        parts = tuple(_joined([*self._head, *self._tail]))
        return Output(self._start, parts, self._gone, "bytes")

    def _drop(self) -> None:
        """Drop text from the beginning of the tail until it is short enough."""
        while self._tail_length > MAX_TAIL:
            first = self._tail.popleft()
            dropped, kept = first.split(self._tail_length - MAX_TAIL)
            self._tail_length -= len(dropped.text)
            if kept.text:
                self._tail.appendleft(kept)


def _joined(parts: list[Part]) -> list[Part]:
    """Join the parts that have no gap between them."""
    groups: list[list[Part]] = []
    for part in parts:
        if groups and groups[-1][-1].end == part.start:
            groups[-1].append(part)
        else:
            groups.append([part])
    return [
        Part(group[0].start, "".join(part.text for part in group), group[-1].end)
        for group in groups
    ]
