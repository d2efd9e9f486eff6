"""Read, filter, sort and describe the entries of a directory and of those below it.

A walk is bounded, visits entries in the order of their names, and never follows a link.
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

_State = TypeVar("_State")

_DIRECTORY_LIMIT = 100_000  # entries read of one directory
_WALK_LIMIT = 200_000  # entries seen in one walk


@dataclass(frozen=True, slots=True)
class FileEntry:
    """An entry of a directory; a link has the status of its target, if that is inside."""

    path: str
    status: os.stat_result
    is_link: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def extension(self) -> str:
        """The suffix of a file's name with its dot; empty if there is none."""
        return "" if self.is_directory else PurePosixPath(self.name).suffix

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, or a link to one."""
        return stat.S_ISDIR(self.status.st_mode)


class DirectoryWalk:
    """A walk down a tree in the order of names; `truncated` if a limit ended it early."""

    def __init__(self, tree: ConfinedTree) -> None:
        self._tree = tree
        self._remaining = _WALK_LIMIT
        self.truncated = False

    def entries(self, path: str) -> list[FileEntry]:
        """Return the entries of a directory.

        Raises:
            FileRejected: the path is invalid or leads outside.
            OSError: the path is not a directory, or cannot be read.
        """
        directory = self._tree.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(directory) as scanned:
                entries = [self._entry(path, item) for item in islice(scanned, _DIRECTORY_LIMIT)]
                self.truncated = self.truncated or next(scanned, None) is not None
        finally:
            os.close(directory)
        return sorted((entry for entry in entries if entry), key=lambda entry: entry.name)

    def descendants(
        self, path: str, start: _State, step: Callable[[_State, FileEntry], _State | None]
    ) -> Iterator[tuple[FileEntry, _State]]:
        """Yield the entries below a directory, each with its state.

        `step` computes an entry's state from that of its parent (`start` at the top); if it is
        None, the entry and everything below it are skipped. So are unreadable directories.

        Raises:
            FileRejected: the path is invalid or leads outside.
            OSError: the path is not a directory, or cannot be read.
        """
        stack = [(entry, start) for entry in reversed(self.entries(path))]
        while stack:
            if self._remaining == 0:
                self.truncated = True
                return
            self._remaining -= 1
            entry, parent_state = stack.pop()
            state = step(parent_state, entry)
            if state is None:
                continue
            yield entry, state
            if entry.is_directory and not entry.is_link:
                with suppress(OSError, FileRejected):
                    children = self.entries(entry.path)
                    stack.extend((child, state) for child in reversed(children))

    def _entry(self, directory: str, scanned: os.DirEntry[str]) -> FileEntry | None:
        path = f"{directory.rstrip('/')}/{scanned.name}"
        with suppress(OSError):  # deleted meanwhile
            status, is_link = scanned.stat(follow_symlinks=False), scanned.is_symlink()
            if is_link:
                with suppress(OSError, FileRejected):
                    status = self._tree.stat(path)
            return FileEntry(path, status, is_link)
        return None


_SORT_KEYS: dict[str, Callable[[FileEntry], Any]] = {
    "name": lambda entry: entry.path,
    "size": lambda entry: entry.status.st_size,
    "modified": lambda entry: entry.status.st_mtime_ns,
    "type": lambda entry: (not entry.is_directory, entry.extension, entry.path),
}
SORT_KEYS = tuple(_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class ListingOptions:
    """Options of a listing. The filter by `extensions` keeps all directories."""

    extensions: Collection[str] | None
    sort_by: str
    descending: bool
    include_size: bool
    include_permissions: bool

    def select(self, entries: Collection[FileEntry]) -> list[FileEntry]:
        """Return the entries that pass the filter, sorted."""
        selected = [entry for entry in entries if self._is_selected(entry)]
        if self.sort_by == "name" and not self.descending:
            return selected  # in the order of the walk: a directory's entries follow it directly
        return sorted(selected, key=_SORT_KEYS[self.sort_by], reverse=self.descending)

    def describe(self, entry: FileEntry) -> dict[str, Any]:
        """Return an entry as a JSON object."""
        modified = datetime.fromtimestamp(entry.status.st_mtime, UTC)
        described: dict[str, Any] = {
            "name": json_safe(entry.name),
            "path": json_safe(entry.path),
            "is_directory": entry.is_directory,
            "size": entry.status.st_size if self.include_size and not entry.is_directory else None,
            "modified_time": iso(modified),
            "extension": json_safe(entry.extension) or None,
        }
        if self.include_permissions:
            described["permissions"] = f"{entry.status.st_mode & 0o777:03o}"
        return described

    def _is_selected(self, entry: FileEntry) -> bool:
        if self.extensions is None or entry.is_directory:
            return True
        return entry.extension.removeprefix(".") in {
            extension.removeprefix(".") for extension in self.extensions
        }


def json_safe(name: str) -> str:
    """Return a name for a JSON response, with U+FFFD for bytes that are not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="replace")
