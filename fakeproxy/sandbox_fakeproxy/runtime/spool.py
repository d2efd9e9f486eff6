"""Bytes that only grow: in memory, or in unlinked files of a folder."""

import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

# Bytes that are kept in memory before they are written to a file, and that are read at a time.
_BUFFER_SIZE = 64 * 1024


class Piece:
    """Bytes that only grow, in memory, or with a `folder` in a file.

    `size` counts what the owner counts: characters or bytes. The file is unlinked, so the system
    removes it once this object and its parts are gone, also if the process is killed. If the disk
    fails, later bytes stay in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self.size = 0
        self.has_failed = False
        self._folder = folder
        self._file: _UnlinkedFile | None = None
        self._written = 0  # bytes in the file
        self._buffer = bytearray()  # the bytes that follow those

    def append(self, data: bytes, size: int) -> None:
        """Append data, which counts as `size`."""
        self.size += size
        self._buffer += data
        if self._folder is not None and len(self._buffer) > _BUFFER_SIZE and not self.has_failed:
            self._write(self._folder)

    def part(self) -> "Part":
        """Return the present bytes."""
        return Part(bytes(self._buffer), self._file, self._written)

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
class Part:
    """Bytes at one moment: the first `in_file` bytes of a file, then `rest`."""

    rest: bytes
    file: "_UnlinkedFile | None" = None
    in_file: int = 0

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.in_file + len(self.rest)

    def buffer(self, start: int = 0, stop: int | None = None) -> bytearray:
        """Return a buffer for the bytes in a range, with those that are in memory at its end.

        `fill` reads the others into it. The buffer is allocated here, in the caller's thread, as
        malloc retains much of the memory that other threads have allocated.
        """
        stop = self.size if stop is None else stop
        in_file = max(min(stop, self.in_file) - start, 0)
        first = max(start - self.in_file, 0)
        return bytearray(in_file) + self.rest[first : max(stop - self.in_file, 0)]

    def fill(self, buffer: bytearray, start: int = 0) -> None:
        """Read the bytes of the file from `start` on into a buffer of this range.

        Raises:
            OSError: the disk fails.
        """
        if self.file is not None and start < self.in_file:
            self.file.read_into(buffer, start, min(start + len(buffer), self.in_file))


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

    def read_into(self, buffer: bytearray, start: int, stop: int) -> None:
        """Read the bytes from `start` to `stop` into the beginning of a buffer.

        Raises:
            OSError: the disk fails.
        """
        offset = start
        while offset < stop:
            data = os.pread(self._descriptor, min(_BUFFER_SIZE, stop - offset), offset)
            if not data:
                raise OSError("The file is shorter than what was written to it")
            buffer[offset - start : offset - start + len(data)] = data
            offset += len(data)
