"""The entries of a directory, and of those below it: bounded, sorted, never through a link."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import TypeVar

from .confinement import Tree
from .errors import Misfit

_State = TypeVar("_State")

_DIRECTORY_LIMIT = 100_000  # entries read of one directory
_WALK_LIMIT = 200_000  # entries seen in one walk


@dataclass(frozen=True, slots=True)
class Entry:
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


class Walk:
    """A walk down a tree in the order of names; `truncated` when it had to end early."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._left = _WALK_LIMIT
        self.truncated = False

    def entries(self, path: str) -> list[Entry]:
        """Return the entries of a directory.

        Raises:
            Misfit: the path is none, or leads out.
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
        self, path: str, start: _State, step: Callable[[_State, Entry], _State | None]
    ) -> Iterator[tuple[Entry, _State]]:
        """Yield all entries below a directory, each with its state, and nothing where that is None.

        What cannot be read on the way is passed over.

        Raises:
            Misfit: the path is none, or leads out.
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
                with suppress(OSError, Misfit):
                    ahead.extend((each, state) for each in reversed(self.entries(entry.path)))

    def _entry(self, directory: str, scanned: os.DirEntry[str]) -> Entry | None:
        path = f"{directory.rstrip('/')}/{scanned.name}"
        with suppress(OSError):  # gone by now
            status, is_link = scanned.stat(follow_symlinks=False), scanned.is_symlink()
            if is_link:
                with suppress(OSError, Misfit):
                    status = self._tree.stat(path)
            return Entry(path, status, is_link)
        return None
