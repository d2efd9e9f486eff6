"""One stream of a command's output, kept by byte offset in bounded memory and disk space.

A reader asks for the bytes from an offset on and gets text: bytes that are not UTF-8 are replaced.
An incomplete character at the end is held back until it is complete, or until the command has
ended. So the texts of consecutive reads, put together, are the text of the whole stream.
"""

import asyncio
import codecs
from dataclasses import dataclass
from pathlib import Path

from sandbox_fakeproxy.runtime.spool import Part, Piece

HEAD_LIMIT = 1024 * 1024  # bytes
TAIL_LIMIT = 128 * 1024 * 1024  # bytes
_MEMORY_LIMIT = 1024 * 1024  # bytes of the tail, if the disk fails
_MAX_BYTES = 4  # of one character
# A text that is cut is read from its ends only, if it is longer than this many times its limit.
_READ_WHOLE = 8


class OutputStream:
    """Keep the first `HEAD_LIMIT` bytes of a stream, and at least the last `TAIL_LIMIT`.

    With a `folder`, all but small buffers are kept in unlinked files there: see `Piece`. If the
    disk fails, a shorter tail is kept in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.size = 0  # bytes so far, with those that are not kept any more
        self._folder = folder
        self._tail_limit = TAIL_LIMIT
        self._head = Piece(folder)
        # The tail is these two together. When the newer one is full, it becomes the older one. So
        # pieces only grow, and slices of them stay valid.
        self._older = Piece(folder)
        self._newer = Piece(folder)
        self._last = b""  # bytes: enough to find an incomplete character
        self._is_complete = False

    @property
    def end(self) -> int:
        """The offset up to which the stream can be read: all of it but an incomplete character."""
        return self.size - (0 if self._is_complete else _incomplete_length(self._last))

    def feed(self, data: bytes) -> None:
        """Append bytes."""
        self._last = (self._last + data[-_MAX_BYTES:])[-_MAX_BYTES:]
        room = max(HEAD_LIMIT - self.size, 0)
        self.size += len(data)
        _append(self._head, data[:room])
        self._append_to_tail(data[room:])
        if self._folder is not None and (self._head.has_failed or self._newer.has_failed):
            self._folder, self._tail_limit = None, _MEMORY_LIMIT
            self._older, self._newer = self._newer, Piece(None)

    def finish(self) -> None:
        """Let an incomplete character at the end be read, replaced, as the command has ended."""
        self._is_complete = True

    def from_offset(self, offset: int = 0) -> "StreamSlice":
        """Return what can be read now from an offset on; bytes that are not kept are left out."""
        tail_start = self.size - self._older.size - self._newer.size
        starts = (0, tail_start, tail_start + self._older.size)
        pieces = zip(starts, (self._head, self._older, self._newer), strict=True)
        parts = tuple((start, piece.part()) for start, piece in pieces if piece.size)
        return StreamSlice(min(offset, self.end), self.end, parts)

    def _append_to_tail(self, data: bytes) -> None:
        if self._newer.size and self._newer.size + len(data) > self._tail_limit:
            self._older, self._newer = self._newer, Piece(self._folder)
        _append(self._newer, data)


@dataclass(frozen=True, slots=True)
class StreamSlice:
    """The bytes of a stream from `start` to `end` at one moment; `parts` begin at their offsets."""

    start: int
    end: int
    parts: tuple[tuple[int, Part], ...]

    async def text(self, limit: int = 0) -> str:
        """Return the bytes as text; with a limit, the head and tail of a longer text.

        The limit is one of characters. A marker between head and tail says how many bytes are left
        out.

        Raises:
            OSError: a file cannot be read.
        """
        size = self.end - self.start
        if not limit or size <= _READ_WHOLE * limit:
            data = await self._read(self.start, self.end)
            text = data.decode(errors="replace")
            if not limit or len(text) <= limit:
                return text
            ends = data, data
        else:
            span = _MAX_BYTES * limit
            ends = (
                await self._read(self.start, self.start + span),
                await self._read(self.end - span, self.end),
            )
        # One character stands for each byte that is not UTF-8, so that all bytes can be counted.
        head, tail = (data.decode(errors="surrogateescape") for data in ends)
        head_bytes = _encode(head[: limit - limit // 2])
        tail_bytes = _encode(tail[len(tail) - limit // 2 :])
        left_out = size - len(head_bytes) - len(tail_bytes)
        marker = f"\n[... {left_out} bytes left out ...]\n"
        return marker.join(part.decode(errors="replace") for part in (head_bytes, tail_bytes))

    async def _read(self, start: int, stop: int) -> bytes:
        """Return the bytes of a range that are kept, without blocking the event loop."""
        reads: list[tuple[Part, bytearray, int]] = []
        for offset, part in self.parts:
            first, last = max(start - offset, 0), min(stop - offset, part.size)
            if first < last:
                reads.append((part, part.buffer(first, last), first))
        if any(first < part.in_file for part, _, first in reads):
            await asyncio.to_thread(_fill, reads)
        return b"".join(buffer for _, buffer, _ in reads)


def _fill(reads: list[tuple[Part, bytearray, int]]) -> None:
    for part, buffer, start in reads:
        part.fill(buffer, start)


def _append(piece: Piece, data: bytes) -> None:
    if data:
        piece.append(data, len(data))


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _incomplete_length(last: bytes) -> int:
    """Return how many of the last bytes are the beginning of one character."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    decoder.decode(last)
    return len(decoder.getstate()[0])
