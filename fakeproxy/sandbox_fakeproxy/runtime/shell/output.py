"""A command's output, kept in bounded memory and disk space however much it writes."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from sandbox_fakeproxy.runtime.spool import Part, Piece

TRUNCATED_LIMIT = 30_000  # characters
FULL_LIMIT = 10_000_000  # characters: enough for any log
_MARKER_ROOM = 100  # characters of the tail that give way to the marker


class Output:
    """Keep a text of up to `limit` characters in full, and of a longer one its head and tail.

    With a `folder`, all but small buffers are kept in files there. The files are unlinked, so the
    system removes them once this object and its snapshots are gone, also if the process is killed.
    If the disk fails, the head ends there, and a shorter tail is kept in memory.
    """

    def __init__(self, limit: int, folder: Path | None = None) -> None:
        self._head_limit = limit - limit // 2
        self._tail_limit = limit // 2
        self._folder = folder
        self._head = Piece(folder)
        # The tail is the end of these two together. When the newer one is full, it becomes the
        # older one. So pieces only grow, and snapshots of them stay valid.
        self._older = Piece(folder)
        self._newer = Piece(folder)
        self._size = 0

    def feed(self, text: str) -> None:
        """Append text."""
        room = max(self._head_limit - self._size, 0)
        self._size += len(text)
        _append(self._head, text[:room])
        self._append_to_tail(text[room:][-self._tail_limit :])
        if self._folder is not None and (self._head.has_failed or self._newer.has_failed):
            self._switch_to_memory()

    def snapshot(self) -> "Snapshot":
        """Return the text as it is kept now."""
        head, *tail = (piece.part() for piece in (self._head, self._older, self._newer))
        return Snapshot(self._size, head, tuple(tail), self._tail_limit)

    def _append_to_tail(self, text: str) -> None:
        if self._newer.size + len(text) > self._tail_limit:
            self._older, self._newer = self._newer, Piece(self._folder)
        _append(self._newer, text)

    def _switch_to_memory(self) -> None:
        """End the head here, and keep a shorter tail in memory."""
        self._folder = None
        self._head_limit = self._head.size
        self._tail_limit = min(self._tail_limit, TRUNCATED_LIMIT // 2)
        self._older, self._newer = self._newer, Piece(None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The parts of an output of `size` characters that are kept at one moment."""

    size: int
    head: Part
    tail: tuple[Part, ...] = ()
    tail_limit: int = 0

    @classmethod
    def of(cls, text: str) -> "Snapshot":
        """Return a snapshot of a complete text."""
        return cls(len(text), Part(text.encode()))

    def text(self) -> str:
        """Return the text, with a marker in place of characters that were not kept.

        Raises:
            OSError: a file cannot be read.
        """
        buffers = self._buffers()
        self._fill(buffers)
        return self._join(buffers)

    async def read(self) -> str:
        """Return the text as `text` does, without blocking the event loop."""
        buffers = self._buffers()
        if any(part.in_file for part in self._parts):
            await asyncio.to_thread(self._fill, buffers)
        return self._join(buffers)

    @property
    def _parts(self) -> tuple[Part, ...]:
        return (self.head, *self.tail)

    def _buffers(self) -> list[bytearray]:
        """Return a buffer for each part."""
        return [part.buffer() for part in self._parts]

    def _fill(self, buffers: list[bytearray]) -> None:
        for part, buffer in zip(self._parts, buffers, strict=True):
            part.fill(buffer)

    def _join(self, buffers: list[bytearray]) -> str:
        head, *tails = (buffer.decode() for buffer in buffers)
        tail = "".join(tails)
        if len(tail) <= self.tail_limit and len(head) + len(tail) == self.size:
            return head + tail
        tail = tail[-self.tail_limit :][_MARKER_ROOM:]
        left_out = self.size - len(head) - len(tail)
        return f"{head}\n[... {left_out} characters left out ...]\n{tail}"


def _append(piece: Piece, text: str) -> None:
    piece.append(text.encode(), len(text))
