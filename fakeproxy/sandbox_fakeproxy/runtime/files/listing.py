"""The entries of a directory and of those below it: read, chosen, ordered and described.

A walk is bounded, goes in the order of names, and never through a link.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, TypeVar

from sandbox_fakeproxy.clock import iso

from .confinement import ConfinedTree
from .errors import FileRejected

_S = TypeVar("_S")

_DIRECTORY_LIMIT = 100_000  # entries read of one directory
_WALK_LIMIT = 200_000  # entries seen in one walk


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One name in a directory. A link is described as its target, if that is inside."""

    path: str
    status: os.stat_result
    is_link: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def extension(self) -> str:
        """The end of a file's name with its dot, or nothing."""
        return "" if self.is_directory else PurePosixPath(self.name).suffix

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, or a link to one."""
        return stat.S_ISDIR(self.status.st_mode)


class DirectoryWalk:
    """A walk down a tree in the order of names; `truncated` when it had to end early."""

    def __init__(self, tree: ConfinedTree) -> None:
        self._tree = tree
        self._left = _WALK_LIMIT
        self.truncated = False

    def entries(self, path: str) -> list[FileEntry]:
        """Return the entries of a directory.

        Raises:
            FileRejected: the path is none, or leads out.
            OSError: it is no directory that can be read.
        """
        directory = self._tree.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(directory) as scanned:
                found = [self._entry(path, each) for each in islice(scanned, _DIRECTORY_LIMIT)]
                self.truncated = self.truncated or next(scanned, None) is not None
        finally:
            os.close(directory)
        return sorted((each for each in found if each), key=lambda each: each.name)

    def below(
        self, path: str, start: _S, step: Callable[[_S, FileEntry], _S | None]
    ) -> Iterator[tuple[FileEntry, _S]]:
        """Yield all entries below a directory, each with its state, and nothing where that is None.

        What cannot be read on the way is passed over.

        Raises:
            FileRejected: the path is none, or leads out.
            OSError: it is no directory that can be read.
        """
        ahead = [(each, start) for each in reversed(self.entries(path))]
        while ahead:
            if self._left == 0:
                self.truncated = True
                return
            self._left -= 1
            entry, before = ahead.pop()
            state = step(before, entry)
            if state is None:
                continue
            yield entry, state
            if entry.is_directory and not entry.is_link:
                with suppress(OSError, FileRejected):
                    ahead.extend((each, state) for each in reversed(self.entries(entry.path)))

    def _entry(self, directory: str, scanned: os.DirEntry[str]) -> FileEntry | None:
        path = f"{directory.rstrip('/')}/{scanned.name}"
        with suppress(OSError):  # gone by now
            status, is_link = scanned.stat(follow_symlinks=False), scanned.is_symlink()
            if is_link:
                with suppress(OSError, FileRejected):
                    status = self._tree.stat(path)
            return FileEntry(path, status, is_link)
        return None


_ORDERS: dict[str, Callable[[FileEntry], Any]] = {
    "name": lambda entry: entry.path,
    "size": lambda entry: entry.status.st_size,
    "modified": lambda entry: entry.status.st_mtime_ns,
    "type": lambda entry: (not entry.is_directory, entry.extension, entry.path),
}
ORDERS = tuple(_ORDERS)


@dataclass(frozen=True, slots=True)
class ListingOptions:
    """Which entries are shown, and in which order. Directories pass any filter of extensions."""

    extensions: Collection[str] | None
    order: str
    descending: bool
    sizes: bool
    permissions: bool

    def of(self, entries: Collection[FileEntry]) -> list[FileEntry]:
        """Return the entries to show, in order."""
        chosen = [entry for entry in entries if self._shows(entry)]
        if self.order == "name" and not self.descending:
            return chosen  # as they were read: a directory's own right after it
        return sorted(chosen, key=_ORDERS[self.order], reverse=self.descending)

    def described(self, entry: FileEntry) -> dict[str, Any]:
        """Write one entry."""
        modified = datetime.fromtimestamp(entry.status.st_mtime, UTC)
        written: dict[str, Any] = {
            "name": writable(entry.name),
            "path": writable(entry.path),
            "is_directory": entry.is_directory,
            "size": entry.status.st_size if self.sizes and not entry.is_directory else None,
            "modified_time": iso(modified),
            "extension": writable(entry.extension) or None,
        }
        if self.permissions:
            written["permissions"] = f"{entry.status.st_mode & 0o777:03o}"
        return written

    def _shows(self, entry: FileEntry) -> bool:
        if self.extensions is None or entry.is_directory:
            return True
        return entry.extension.removeprefix(".") in {
            each.removeprefix(".") for each in self.extensions
        }


def writable(name: str) -> str:
    """Return a name as JSON can hold it: one that is not UTF-8 has marks where it is not."""
    return name.encode(errors="surrogateescape").decode(errors="replace")
