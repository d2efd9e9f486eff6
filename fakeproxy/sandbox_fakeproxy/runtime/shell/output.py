"""A command's output, kept within bounds in memory and on disk, however much it writes."""

import asyncio
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

TRUNCATED_LIMIT = 30_000  # characters
FULL_LIMIT = 10_000_000  # characters: enough for any log
_MARKER_ROOM = 100
_IN_MEMORY = 64 * 1024  # bytes that are written to a file at once, and read from it


class Output:
    """Keep a text: the whole of it up to `limit` characters, else its head and tail.

    With a `folder`, all but small buffers is kept in files there. They have no names, so the
    system removes them once this object and its snapshots are gone, also if the process is killed.
    Should the disk fail, the tail that follows is kept in memory, and is shorter.
    """

    def __init__(self, limit: int, folder: Path | None = None) -> None:
        self._head_limit = limit - limit // 2
        self._tail_limit = limit // 2
        self._folder = folder
        self._head = _Piece(folder)
        # The tail is the end of these two together. When the newer one is full, it becomes the
        # older one: so pieces only grow, and a snapshot of them stays true.
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
            self._leave_disk()

    def snapshot(self) -> "Snapshot":
        """Return the text that is kept now."""
        head, *tail = (each.part() for each in (self._head, self._older, self._newer))
        return Snapshot(self._size, head, tuple(tail), self._tail_limit)

    def _append_to_tail(self, text: str) -> None:
        if self._newer.size + len(text) > self._tail_limit:
            self._older, self._newer = self._newer, _Piece(self._folder)
        self._newer.append(text)

    def _leave_disk(self) -> None:
        """End the head here, and keep a tail that memory has room for."""
        self._folder = None
        self._head_limit = self._head.size
        self._tail_limit = min(self._tail_limit, TRUNCATED_LIMIT // 2)
        self._older, self._newer = self._newer, _Piece(None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The kept parts of an output of `size` characters at one moment."""

    size: int
    head: "_Part"
    tail: tuple["_Part", ...] = ()
    tail_limit: int = 0

    @classmethod
    def of(cls, text: str) -> "Snapshot":
        """Return a snapshot of a whole text."""
        return cls(len(text), _Part(text.encode()))

    def text(self) -> str:
        """Return the text, saying how much of it was not kept.

        Raises:
            OSError: a file cannot be read.
        """
        buffers = self._buffers()
        self._fill(buffers)
        return self._joined(buffers)

    async def read(self) -> str:
        """Return the text as `text` does; the event loop does not wait for the disk.

        The buffers are made here, as malloc keeps much of the memory that a thread has allocated.
        """
        buffers = self._buffers()
        if any(buffers):
            await asyncio.to_thread(self._fill, buffers)
        return self._joined(buffers)

    @property
    def _parts(self) -> "tuple[_Part, ...]":
        return (self.head, *self.tail)

    def _buffers(self) -> list[bytearray]:
        """Return an empty buffer for the bytes in the file of each part."""
        return [bytearray(part.in_file) for part in self._parts]

    def _fill(self, buffers: list[bytearray]) -> None:
        for part, buffer in zip(self._parts, buffers, strict=True):
            if part.file is not None:
                part.file.read_into(buffer)

    def _joined(self, buffers: list[bytearray]) -> str:
        parts = zip(self._parts, buffers, strict=True)
        head, *tails = (in_file.decode() + part.rest.decode() for part, in_file in parts)
        tail = "".join(tails)
        if len(tail) <= self.tail_limit and len(head) + len(tail) == self.size:
            return head + tail
        tail = tail[-self.tail_limit :][_MARKER_ROOM:]
        left_out = self.size - len(head) - len(tail)
        return f"{head}\n[... {left_out} characters left out ...]\n{tail}"


class _Piece:
    """A text that only grows, as UTF-8: in memory, or with a folder in a file."""

    def __init__(self, folder: Path | None) -> None:
        self.size = 0  # characters
        self.has_failed = False
        self._folder = folder
        self._file: _NamelessFile | None = None
        self._written = 0  # bytes of the file
        self._buffer = bytearray()  # the bytes after them

    def append(self, text: str) -> None:
        """Append text; if the disk fails, it stays in memory."""
        self.size += len(text)
        self._buffer += text.encode()
        if self._folder is not None and len(self._buffer) > _IN_MEMORY and not self.has_failed:
            self._write(self._folder)

    def part(self) -> "_Part":
        """Return the present text."""
        return _Part(bytes(self._buffer), self._file, self._written)

    def _write(self, folder: Path) -> None:
        try:
            self._file = self._file or _NamelessFile(folder)
            self._file.write(self._written, bytes(self._buffer))
        except OSError:
            self.has_failed = True
            return
        self._written += len(self._buffer)
        self._buffer.clear()


@dataclass(frozen=True, slots=True)
class _Part:
    """Text as UTF-8: `in_file` bytes of a file, and the rest in memory."""

    rest: bytes
    file: "_NamelessFile | None" = None
    in_file: int = 0


class _NamelessFile:
    """A file in a folder, without a name there, until nothing refers to this object."""

    def __init__(self, folder: Path) -> None:
        file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115  (closed below)
        weakref.finalize(self, file.close)
        self._descriptor = file.fileno()

    def write(self, offset: int, data: bytes) -> None:
        """Write all of some bytes.

        Raises:
            OSError: the disk is full, or fails.
        """
        while data:
            count = os.pwrite(self._descriptor, data, offset)
            offset, data = offset + count, data[count:]

    def read_into(self, buffer: bytearray) -> None:
        """Fill a buffer with the file's beginning.

        Raises:
            OSError: the disk fails.
        """
        offset = 0
        while offset < len(buffer):
            data = os.pread(self._descriptor, min(_IN_MEMORY, len(buffer) - offset), offset)
            if not data:
                raise OSError("The file has lost its end")
            buffer[offset : offset + len(data)] = data
            offset += len(data)
