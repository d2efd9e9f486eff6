"""Operations on the files of one sandbox, by the paths that the sandbox knows.

Every failure is a `FileError`. A write goes straight to the file, as in the deployed runtime: it
keeps its inode and its mode, and one that fails half-way leaves half of it.
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
from .errors import FileRejected, faults
from .listing import DirectoryWalk, FileEntry
from .patterns import Glob, GlobState
from .search import Found, search

_T = TypeVar("_T")

TEXT_LIMIT = 16 * 1024 * 1024  # bytes that are read as text; a download has no limit
ENTRY_LIMIT = 10_000
_BLOCK = 256 * 1024


class OpenFile:
    """A file to be read from its beginning, as long as it was when it was opened."""

    def __init__(self, number: int) -> None:
        self.size = os.fstat(number).st_size
        self._number = number
        # Also when its reader is gone.
        self.close = weakref.finalize(self, os.close, number)

    def read(self, most: int) -> bytes:
        """Return the next bytes; none at the end."""
        return os.read(self._number, min(most, _BLOCK))


class Volume:
    """Directories of this machine, confined, under the names that a sandbox knows them by."""

    def __init__(
        self,
        roots: Mapping[str, Path],
        *,
        owner: int | None = None,
        search_seconds: float = 5.0,
    ) -> None:
        self._tree = ConfinedTree(roots, owner)
        self._search_seconds = search_seconds
        self._changing = threading.Lock()  # a replacement reads and then writes

    def make(self) -> None:
        """Make the directories, where they are not there yet.

        Raises:
            FileError: they cannot be made.
        """
        with faults("prepare", "/"):
            self._tree.make_roots()

    def read(self, path: str, start: int | None = None, end: int | None = None) -> str:
        """Return a file's text, or its lines from `start` on and before `end`, from 0.

        Raises:
            FileError: it cannot be read, or is no text.
        """
        with faults("read", path), self._file(path, os.O_RDONLY) as file:
            text = _read_text(file)
        if start is None and end is None:
            return text
        *lines, last = text.split("\n")
        return "".join([*(f"{line}\n" for line in lines), last][start:end])

    def write(
        self, path: str, data: bytes, *, append: bool = False, operation: str = "write"
    ) -> int:
        """Write a file, made with its parents if need be; return how many bytes were written.

        Raises:
            FileError: it cannot be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0)
        with self._changing, faults(operation, path), self._file(path, flags) as file:
            if not append:
                os.ftruncate(file, 0)  # not before it is known to be a file
            _write(file, data)
        return len(data)

    def replace(self, path: str, old: str, new: str) -> int:
        """Replace a text wherever it is in a file; return how often.

        Raises:
            FileError: it cannot be read or written, is no text, or would grow too large.
        """
        with self._changing, faults("replace", path), self._file(path, os.O_RDWR) as file:
            text = _read_text(file)
            count = text.count(old)
            if len(text) + count * (len(new) - len(old)) > TEXT_LIMIT:
                raise FileRejected(
                    "invalid_target", f"It would have more than {TEXT_LIMIT} characters"
                )
            if count:
                data = text.replace(old, new).encode()
                os.lseek(file, 0, os.SEEK_SET)
                os.ftruncate(file, 0)
                _write(file, data)
        return count

    def search(self, path: str, regex: str) -> Found:
        """Return the lines of a file in which an expression is found.

        Raises:
            FileError: it cannot be read, is no text, or the search took too long.
            InvalidExpression: it is none.
        """
        with faults("search", path):
            with self._file(path, os.O_RDONLY) as file:
                text = _read_text(file)
            return search(text, regex, self._search_seconds)

    def listing(
        self, path: str, *, depth: int | None = 1, hidden: bool = True
    ) -> tuple[list[FileEntry], bool]:
        """Return the entries of a directory, `depth` levels deep or all, and whether there is more.

        Raises:
            FileError: it cannot be read, or is no directory.
        """

        def step(above: int, entry: FileEntry) -> int | None:
            if not hidden and entry.name.startswith("."):
                return None
            return None if depth is not None and above >= depth else above + 1

        with faults("list", path):
            walk = DirectoryWalk(self._tree)
            if depth == 1:
                found = [each for each in walk.entries(path) if step(0, each)]
            else:
                found = _first(entry for entry, _ in walk.below(path, 0, step))
        return found[:ENTRY_LIMIT], walk.truncated or len(found) > ENTRY_LIMIT

    def find(self, path: str, glob: Glob) -> tuple[list[str], bool]:
        """Return the files below a directory that a pattern matches, and whether there are more.

        Raises:
            FileError: it cannot be read, or is no directory.
        """

        def step(state: GlobState, entry: FileEntry) -> GlobState | None:
            return glob.step(state, entry.name) or None

        with faults("find", path):
            walk = DirectoryWalk(self._tree)
            found = _first(
                entry.path
                for entry, state in walk.below(path, glob.start(), step)
                if glob.accepts(state) and not entry.is_directory
            )
        return found[:ENTRY_LIMIT], walk.truncated or len(found) > ENTRY_LIMIT

    def open(self, path: str) -> OpenFile:
        """Open a file of any size.

        Raises:
            FileError: it cannot be read.
        """
        with faults("download", path):
            return OpenFile(self._open(path, os.O_RDONLY))

    @contextmanager
    def _file(self, path: str, flags: int) -> Generator[int]:
        file = self._open(path, flags)
        try:
            yield file
        finally:
            os.close(file)

    def _open(self, path: str, flags: int) -> int:
        file = self._tree.open(path, flags, make_parents=bool(flags & os.O_CREAT))
        mode = os.fstat(file).st_mode
        if stat.S_ISREG(mode):
            return file
        os.close(file)
        what = "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise FileRejected("invalid_target", f"A file was expected, and this is {what}")


def _read_text(file: int) -> str:
    data = bytearray()
    while block := os.read(file, _BLOCK):
        data += block
        if len(data) > TEXT_LIMIT:
            raise FileRejected(
                "invalid_target", f"It has more than {TEXT_LIMIT} bytes; download it instead"
            )
    return data.decode()


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _first(found: Iterable[_T]) -> list[_T]:
    """Return as many as are told, and one more if there are more."""
    return [*islice(found, ENTRY_LIMIT + 1)]
