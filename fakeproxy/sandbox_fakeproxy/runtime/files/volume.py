"""Operations on the files of one sandbox, by the paths that the sandbox knows.

Every failure is a `FileError`. A write changes the file in place, as in the deployed runtime: the
file keeps its inode and its mode, and a write that fails half-way leaves half of the data.
"""

import os
import stat
import threading
import weakref
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

from .confinement import ConfinedTree
from .errors import FileRejected, file_errors
from .listing import DirectoryWalk, FileEntry
from .patterns import Glob, GlobState
from .search import SearchResult, search

_T = TypeVar("_T")

TEXT_LIMIT = 16 * 1024 * 1024  # bytes of a file that is read as text; a download has no limit
ENTRY_LIMIT = 10_000
_BLOCK = 256 * 1024


class OpenFile:
    """A file that is read from its beginning; `size` is its length in bytes when it was opened."""

    def __init__(self, descriptor: int) -> None:
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        # A finalizer, as the reader may be gone without a call of `close`.
        self.close = weakref.finalize(self, os.close, descriptor)

    def read(self, size: int) -> bytes:
        """Return at most `size` of the next bytes; none at the end."""
        return os.read(self._descriptor, min(size, _BLOCK))


class Volume:
    """The files in some directories of this machine, under the names that a sandbox knows."""

    def __init__(
        self,
        roots: Mapping[str, Path],
        *,
        owner: int | None = None,
        search_seconds: float = 5.0,
    ) -> None:
        self._tree = ConfinedTree(roots, owner)
        self._search_seconds = search_seconds
        self._write_lock = threading.Lock()  # a replacement reads and then writes

    def create_directories(self) -> None:
        """Create the directories that are missing.

        Raises:
            FileError: a directory cannot be created.
        """
        with file_errors("prepare", "/"):
            self._tree.create_roots()

    def read(self, path: str, start: int | None = None, end: int | None = None) -> str:
        """Return a file's text, or its lines from `start` up to but not including `end`, from 0.

        Raises:
            FileError: the file cannot be read, or is not UTF-8 text.
        """
        with file_errors("read", path), self._file(path, os.O_RDONLY) as file:
            text = _read_text(file)
        if start is None and end is None:
            return text
        *lines, last = text.split("\n")
        return "".join([*(f"{line}\n" for line in lines), last][start:end])

    def write(
        self, path: str, data: bytes, *, append: bool = False, operation: str = "write"
    ) -> int:
        """Write a file and return the number of bytes; missing parents are created.

        Raises:
            FileError: the file cannot be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0)
        with self._write_lock, file_errors(operation, path), self._file(path, flags) as file:
            if not append:
                os.ftruncate(file, 0)  # only now is it known to be a regular file
            _write_all(file, data)
        return len(data)

    def replace(self, path: str, old: str, new: str) -> int:
        """Replace every occurrence of a text in a file, and return their number.

        Raises:
            FileError: the file cannot be read or written, is not UTF-8 text, or would grow too
                large.
        """
        with self._write_lock, file_errors("replace", path), self._file(path, os.O_RDWR) as file:
            text = _read_text(file)
            count = text.count(old)
            if len(text) + count * (len(new) - len(old)) > TEXT_LIMIT:
                raise FileRejected(
                    "invalid_target", f"The file would have more than {TEXT_LIMIT} characters"
                )
            if count:
                data = text.replace(old, new).encode()
                os.lseek(file, 0, os.SEEK_SET)
                os.ftruncate(file, 0)
                _write_all(file, data)
        return count

    def search(self, path: str, regex: str) -> SearchResult:
        """Return the lines of a file in which an expression is found.

        Raises:
            FileError: the file cannot be read or is not UTF-8 text, or the search took too long.
            InvalidExpression: the expression is malformed.
        """
        with file_errors("search", path):
            with self._file(path, os.O_RDONLY) as file:
                text = _read_text(file)
            return search(text, regex, self._search_seconds)

    def list_directory(
        self, path: str, *, depth: int | None = 1, show_hidden: bool = True
    ) -> tuple[list[FileEntry], bool]:
        """Return the entries of a directory, and whether the result was truncated.

        It goes `depth` levels deep, or through all levels if that is None.

        Raises:
            FileError: the path is not a directory, or cannot be read.
        """

        def step(levels: int, entry: FileEntry) -> int | None:
            if not show_hidden and entry.name.startswith("."):
                return None
            return None if depth is not None and levels >= depth else levels + 1

        with file_errors("list", path):
            walk = DirectoryWalk(self._tree)
            if depth == 1:
                entries = [entry for entry in walk.entries(path) if step(0, entry)]
            else:
                entries = _take(entry for entry, _ in walk.descendants(path, 0, step))
        return entries[:ENTRY_LIMIT], walk.truncated or len(entries) > ENTRY_LIMIT

    def find(self, path: str, glob: Glob) -> tuple[list[str], bool]:
        """Return the files below a directory that match, and whether the result was truncated.

        Raises:
            FileError: the path is not a directory, or cannot be read.
        """

        def step(state: GlobState, entry: FileEntry) -> GlobState | None:
            return glob.step(state, entry.name) or None

        with file_errors("find", path):
            walk = DirectoryWalk(self._tree)
            paths = _take(
                entry.path
                for entry, state in walk.descendants(path, glob.start(), step)
                if glob.accepts(state) and not entry.is_directory
            )
        return paths[:ENTRY_LIMIT], walk.truncated or len(paths) > ENTRY_LIMIT

    def open(self, path: str) -> OpenFile:
        """Open a file of any size for reading.

        Raises:
            FileError: the file cannot be read.
        """
        with file_errors("download", path):
            return OpenFile(self._open(path, os.O_RDONLY))

    @contextmanager
    def _file(self, path: str, flags: int) -> Generator[int]:
        file = self._open(path, flags)
        try:
            yield file
        finally:
            os.close(file)

    def _open(self, path: str, flags: int) -> int:
        file = self._tree.open(path, flags, create_parents=bool(flags & os.O_CREAT))
        mode = os.fstat(file).st_mode
        if stat.S_ISREG(mode):
            return file
        os.close(file)
        kind = "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise FileRejected("invalid_target", f"A file was expected, and this is {kind}")


def _read_text(file: int) -> str:
    data = bytearray()
    while block := os.read(file, _BLOCK):
        data += block
        if len(data) > TEXT_LIMIT:
            raise FileRejected(
                "invalid_target", f"The file has more than {TEXT_LIMIT} bytes; download it instead"
            )
    return data.decode()


def _write_all(file: int, data: bytes) -> None:
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(file, remaining) :]


def _take(items: Iterable[_T]) -> list[_T]:
    """Return the items up to the limit, and one more if there are more."""
    return [*islice(items, ENTRY_LIMIT + 1)]
