"""Resolve the paths of a sandbox inside its directories, and never outside.

A path is walked name by name, each opened relative to the directory before it and never through
a link; links are read and walked by hand. So whatever changes under the walk, it stays inside.
"""

import errno
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox_fakeproxy.runtime.walk import DIRECTORY

from .errors import FileRejected

_Names = tuple[str, ...]

_PATH_LIMIT = 4096  # bytes, as on Linux
_LINK_LIMIT = 40  # as on Linux


class ConfinedTree:
    """Directories of this machine under the names that a sandbox knows them by."""

    def __init__(self, roots: Mapping[str, Path], owner: int | None = None) -> None:
        self.owner = owner  # of new files and directories, if not this process's user
        self._roots = {_names(name): str(path) for name, path in roots.items()}
        self._inside = " and ".join(sorted(roots))

    def make_roots(self) -> None:
        """Make the directories, where they are not there yet."""
        for root in self._roots.values():
            Path(root).mkdir(parents=True, exist_ok=True)
            if self.owner is not None:
                os.chown(root, self.owner, self.owner, follow_symlinks=False)

    @contextmanager
    def reach(self, path: str, *, make_parents: bool = False) -> Generator[tuple[int, str]]:
        """Yield the open directory that a path leads to, and a name in it that is no link.

        The name need not exist; it is `.` where the path leads to the directory itself.

        Raises:
            FileRejected: the path is none, or leads out.
            OSError: it leads nowhere.
        """
        _check(path)
        walk = _PathWalk(self, make_parents=make_parents)
        try:
            yield walk.to(path)
        finally:
            walk.leave()

    def open(self, path: str, flags: int, *, make_parents: bool = False) -> int:
        """Open the file, directory or device at a path without waiting; `flags` may create a file.

        Raises:
            FileRejected: the path is none, or leads out.
            OSError: it cannot be opened.
        """
        with self.reach(path, make_parents=make_parents) as (directory, name):
            if path.endswith(("/", "/.")):  # it says that it leads to a directory
                if flags & os.O_CREAT:
                    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
                flags |= os.O_DIRECTORY
            safe = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            file = os.open(name, safe, 0o666, dir_fd=directory)
            if flags & os.O_CREAT and self.owner is not None:
                os.fchown(file, self.owner, self.owner)
            return file

    def stat(self, path: str) -> os.stat_result:
        """Return the status of a file, or of the target of a link.

        Raises:
            FileRejected: the path is none, or leads out.
            OSError: it is not there.
        """
        with self.reach(path) as (directory, name):
            return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def root(self, names: _Names) -> str | None:
        """Return the directory of this machine that stands for a path, if one does.

        Raises:
            FileRejected: the path is neither one of the directories nor on the way to one.
        """
        if names in self._roots:
            return self._roots[names]
        if any(root[: len(names)] == names for root in self._roots):
            return None
        raise self.leads_out()

    def leads_out(self) -> FileRejected:
        """Say that a path leads out, and where it may lead."""
        return FileRejected(
            "permission_denied", f"Only what is in {self._inside} can be reached, and this is not"
        )

    def known(self, target: str) -> str:
        """Return a link's target by the sandbox's names: commands know the machine's own."""
        for names, root in self._roots.items():
            if target == root or target.startswith(f"{root}/"):
                return "/" + "/".join(names) + target.removeprefix(root)
        return target


class _PathWalk:
    """One walk, which holds one directory open at a time: none above the tree's own."""

    def __init__(self, tree: ConfinedTree, *, make_parents: bool) -> None:
        self._tree = tree
        self._make_parents = make_parents
        self._at: _Names = ()
        self._directory: int | None = None
        self._links = 0

    def to(self, path: str) -> tuple[int, str]:
        ahead = [*reversed(_names(path))]
        while ahead:
            name = ahead.pop()
            target = self._link(name)
            if target is not None:
                ahead.extend(reversed(self._follow(target)))
            elif name == "..":
                self._start_over(self._at[:-1])
            elif ahead or self._directory is None:
                self._enter(name)
            else:
                return self._directory, name
        if self._directory is None:
            raise self._tree.leads_out()
        return self._directory, "."

    def leave(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
        self._directory = None

    def _link(self, name: str) -> str | None:
        if self._directory is None or name == "..":
            return None
        with suppress(OSError):  # no link, or nothing at all: entering it will tell
            return self._tree.known(os.readlink(name, dir_fd=self._directory))
        return None

    def _follow(self, target: str) -> _Names:
        self._links += 1
        if self._links > _LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            self._start_over(())
        return _names(target)

    def _start_over(self, names: _Names) -> None:
        """Go to a directory that was reached before; `..` of an open one may be anywhere by now."""
        self.leave()
        self._at = ()
        for name in names:
            self._enter(name)

    def _enter(self, name: str) -> None:
        if self._directory is None:
            root = self._tree.root((*self._at, name))
            if root is not None:
                self._directory = os.open(root, DIRECTORY)
        else:
            if self._make_parents:
                self._make(name, self._directory)
            below = os.open(name, DIRECTORY, dir_fd=self._directory)
            self.leave()
            self._directory = below
        self._at = (*self._at, name)

    def _make(self, name: str, directory: int) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=directory)
            if (owner := self._tree.owner) is not None:
                os.chown(name, owner, owner, dir_fd=directory, follow_symlinks=False)


def _names(path: str) -> _Names:
    return tuple(name for name in path.split("/") if name not in {"", "."})


def _check(path: str) -> None:
    if not path.startswith("/"):
        raise FileRejected("invalid_path", "The path must be absolute, such as /sandbox/notes.txt")
    if "\0" in path:
        raise FileRejected("invalid_path", "No path can hold a NUL character")
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise FileRejected("invalid_path", f"The path has more than {_PATH_LIMIT} bytes")
