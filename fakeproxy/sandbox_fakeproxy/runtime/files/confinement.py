"""Resolve the paths of a sandbox inside its directories, and never outside.

A path is resolved name by name: each name is opened relative to the directory before it and never
through a link, and links are read and resolved here. So a path stays inside even if files are
moved or replaced while it is resolved.
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
    """Directories of this machine under the names by which a sandbox knows them."""

    def __init__(self, roots: Mapping[str, Path], owner: int | None = None) -> None:
        self.owner = owner  # of new files and directories, if not this process's user
        self._roots = {_split(name): str(path) for name, path in roots.items()}
        self._root_names = " and ".join(sorted(roots))

    def create_roots(self) -> None:
        """Create the root directories that are missing."""
        for root in self._roots.values():
            Path(root).mkdir(parents=True, exist_ok=True)
            if self.owner is not None:
                os.chown(root, self.owner, self.owner, follow_symlinks=False)

    @contextmanager
    def resolve(self, path: str, *, create_parents: bool = False) -> Generator[tuple[int, str]]:
        """Yield the open parent directory of a path's target, and the target's name in it.

        The name is not that of a link and need not exist; it is `.` if the target is the directory
        itself.

        Raises:
            FileRejected: the path is invalid or leads outside.
            OSError: a directory of the path cannot be entered, or it has too many links.
        """
        _check(path)
        resolver = _Resolver(self, create_parents=create_parents)
        try:
            yield resolver.resolve(path)
        finally:
            resolver.close()

    def open(self, path: str, flags: int, *, create_parents: bool = False) -> int:
        """Open a file, directory or device without blocking, and return its descriptor.

        The `flags` may ask to create a file.

        Raises:
            FileRejected: the path is invalid or leads outside.
            OSError: the file cannot be opened.
        """
        with self.resolve(path, create_parents=create_parents) as (directory, name):
            if path.endswith(("/", "/.")):  # only a directory has such a path
                if flags & os.O_CREAT:
                    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
                flags |= os.O_DIRECTORY
            safe_flags = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            file = os.open(name, safe_flags, 0o666, dir_fd=directory)
            if flags & os.O_CREAT and self.owner is not None:
                os.fchown(file, self.owner, self.owner)
            return file

    def stat(self, path: str) -> os.stat_result:
        """Return the status of a file; links are followed.

        Raises:
            FileRejected: the path is invalid or leads outside.
            OSError: the file does not exist.
        """
        with self.resolve(path) as (directory, name):
            return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def root_directory(self, names: _Names) -> str | None:
        """Return the directory of this machine for a root; None above the roots.

        Raises:
            FileRejected: the path is neither a root nor above one.
        """
        if names in self._roots:
            return self._roots[names]
        if any(root[: len(names)] == names for root in self._roots):
            return None
        raise self.outside_error()

    def outside_error(self) -> FileRejected:
        """Return the error for a path that leads outside the roots."""
        return FileRejected(
            "permission_denied",
            f"Only what is in {self._root_names} can be reached, and this is not",
        )

    def to_sandbox_path(self, target: str) -> str:
        """Return a link's target as a path of the sandbox.

        Commands that run without a jail create links to paths of this machine.
        """
        for names, root in self._roots.items():
            if target == root or target.startswith(f"{root}/"):
                return "/" + "/".join(names) + target.removeprefix(root)
        return target


class _Resolver:
    """Resolve one path. It holds one directory open at a time, and none above the roots."""

    def __init__(self, tree: ConfinedTree, *, create_parents: bool) -> None:
        self._tree = tree
        self._create_parents = create_parents
        self._current: _Names = ()
        self._directory: int | None = None  # the descriptor of the current one
        self._links_followed = 0

    def resolve(self, path: str) -> tuple[int, str]:
        remaining = [*reversed(_split(path))]
        while remaining:
            name = remaining.pop()
            target = self._read_link(name)
            if target is not None:
                remaining.extend(reversed(self._follow(target)))
            elif name == "..":
                self._restart(self._current[:-1])
            elif remaining or self._directory is None:
                self._enter(name)
            else:
                return self._directory, name
        if self._directory is None:
            raise self._tree.outside_error()
        return self._directory, "."

    def close(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
        self._directory = None

    def _read_link(self, name: str) -> str | None:
        if self._directory is None or name == "..":
            return None
        with suppress(OSError):  # not a link, or missing: then entering or opening it fails
            return self._tree.to_sandbox_path(os.readlink(name, dir_fd=self._directory))
        return None

    def _follow(self, target: str) -> _Names:
        self._links_followed += 1
        if self._links_followed > _LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            self._restart(())
        return _split(target)

    def _restart(self, names: _Names) -> None:
        """Enter a directory again from its root.

        `..` of the open directory would not do: that directory may have been moved meanwhile.
        """
        self.close()
        self._current = ()
        for name in names:
            self._enter(name)

    def _enter(self, name: str) -> None:
        if self._directory is None:
            root = self._tree.root_directory((*self._current, name))
            if root is not None:
                self._directory = os.open(root, DIRECTORY)
        else:
            if self._create_parents:
                self._create(name, self._directory)
            child = os.open(name, DIRECTORY, dir_fd=self._directory)
            self.close()
            self._directory = child
        self._current = (*self._current, name)

    def _create(self, name: str, directory: int) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=directory)
            if (owner := self._tree.owner) is not None:
                os.chown(name, owner, owner, dir_fd=directory, follow_symlinks=False)


def _split(path: str) -> _Names:
    return tuple(name for name in path.split("/") if name not in {"", "."})


def _check(path: str) -> None:
    if not path.startswith("/"):
        raise FileRejected("invalid_path", "The path must be absolute, such as /sandbox/notes.txt")
    if "\0" in path:
        raise FileRejected("invalid_path", "A path cannot contain a NUL character")
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise FileRejected("invalid_path", f"The path has more than {_PATH_LIMIT} bytes")
