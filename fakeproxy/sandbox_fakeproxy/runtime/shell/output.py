"""A command's output, kept in bounded memory and disk space however much it writes."""

import asyncio
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

TRUNCATED_LIMIT = 30_000  # characters
FULL_LIMIT = 10_000_000  # characters: enough for any log
_MARKER_ROOM = 100  # characters of the tail that give way to the marker
_BUFFER_SIZE = (
    64 * 1024
)  # bytes kept in memory before they are written to a file, and read at a time


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
        self._head = _Piece(folder)
        # The tail is the end of these two together. When the newer one is full, it becomes the
        # older one. So pieces only grow, and snapshots of them stay valid.
        self._older = _Piece(folder)
        self._newer = _Piece(folder)
        self._size = 0

    def feed(self, text: str) -> None:
        """Append text."""
        room = max(self._head_limit - self._size, 0)
        self._size += len(text)
        self._head.append(text[:room])
        self._append_to_tail(text[room:][-self._tail_limit :])
        if self._folder is not None and (self._head.has_failed or self._newer.has_failed):
            self._switch_to_memory()

    def snapshot(self) -> "Snapshot":
        """Return the text as it is kept now."""
        head, *tail = (piece.part() for piece in (self._head, self._older, self._newer))
        return Snapshot(self._size, head, tuple(tail), self._tail_limit)

    def _append_to_tail(self, text: str) -> None:
        if self._newer.size + len(text) > self._tail_limit:
            self._older, self._newer = self._newer, _Piece(self._folder)
        self._newer.append(text)

    def _switch_to_memory(self) -> None:
        """End the head here, and keep a shorter tail in memory."""
        self._folder = None
        self._head_limit = self._head.size
        self._tail_limit = min(self._tail_limit, TRUNCATED_LIMIT // 2)
        self._older, self._newer = self._newer, _Piece(None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The parts of an output of `size` characters that are kept at one moment."""

    size: int
    head: "_Part"
    tail: tuple["_Part", ...] = ()
    tail_limit: int = 0

    @classmethod
    def of(cls, text: str) -> "Snapshot":
        """Return a snapshot of a complete text."""
        return cls(len(text), _Part(text.encode()))

    def text(self) -> str:
        """Return the text, with a marker in place of characters that were not kept.

        Raises:
            OSError: a file cannot be read.
        """
        buffers = self._buffers()
        self._fill(buffers)
        return self._join(buffers)

    async def read(self) -> str:
        """Return the text as `text` does, without blocking the event loop.

        The buffers are allocated in this thread, as malloc retains much of the memory that other
        threads have allocated.
        """
        buffers = self._buffers()
        if any(buffers):
            await asyncio.to_thread(self._fill, buffers)
        return self._join(buffers)

    @property
    def _parts(self) -> "tuple[_Part, ...]":
        return (self.head, *self.tail)

    def _buffers(self) -> list[bytearray]:
        """Return a buffer for each part, of the size of its bytes in a file."""
        return [bytearray(part.in_file) for part in self._parts]

    def _fill(self, buffers: list[bytearray]) -> None:
        for part, buffer in zip(self._parts, buffers, strict=True):
            if part.file is not None:
                part.file.read_into(buffer)

    def _join(self, buffers: list[bytearray]) -> str:
        parts = zip(self._parts, buffers, strict=True)
        head, *tails = (in_file.decode() + part.rest.decode() for part, in_file in parts)
        tail = "".join(tails)
        if len(tail) <= self.tail_limit and len(head) + len(tail) == self.size:
            return head + tail
        tail = tail[-self.tail_limit :][_MARKER_ROOM:]
        left_out = self.size - len(head) - len(tail)
        return f"{head}\n[... {left_out} characters left out ...]\n{tail}"


class _Piece:
    """A text that only grows, as UTF-8: in memory, or with a `folder` in a file."""

    def __init__(self, folder: Path | None) -> None:
        self.size = 0  # characters
        self.has_failed = False
        self._folder = folder
        self._file: _UnlinkedFile | None = None
        self._written = 0  # bytes in the file
        self._buffer = bytearray()  # the bytes that follow those

    def append(self, text: str) -> None:
        """Append text; if the disk fails, the text stays in memory."""
        self.size += len(text)
        self._buffer += text.encode()
        if self._folder is not None and len(self._buffer) > _BUFFER_SIZE and not self.has_failed:
            self._write(self._folder)

    def part(self) -> "_Part":
        """Return the present text."""
        return _Part(bytes(self._buffer), self._file, self._written)

    def _write(self, folder: Path) -> None:
        try:
            self._file = self._file or _UnlinkedFile(folder)
            self._file.write(self._written, bytes(self._buffer))
        except OSError:
            self.has_failed = True
            return
        self._written += len(self._buffer)
        self._buffer.clear()


@dataclass(frozen=True, slots=True)
class _Part:
    """A text as UTF-8: the first `in_file` bytes of a file, then `rest`."""

    rest: bytes
    file: "_UnlinkedFile | None" = None
    in_file: int = 0


class _UnlinkedFile:
    """An unlinked file in a folder; it is closed when this object is collected."""

    def __init__(self, folder: Path) -> None:
        file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115  (closed below)
        weakref.finalize(self, file.close)
        self._descriptor = file.fileno()

    def write(self, offset: int, data: bytes) -> None:
        """Write all of `data` at an offset.

        Raises:
            OSError: the disk is full, or fails.
        """
        while data:
            count = os.pwrite(self._descriptor, data, offset)
            offset, data = offset + count, data[count:]

    def read_into(self, buffer: bytearray) -> None:
        """Fill a buffer with the first bytes of the file.

        Raises:
            OSError: the disk fails.
        """
        offset = 0
        while offset < len(buffer):
            data = os.pread(self._descriptor, min(_BUFFER_SIZE, len(buffer) - offset), offset)
            if not data:
                raise OSError("The file is shorter than what was written to it")
            buffer[offset : offset + len(data)] = data
            offset += len(data)
