"""Walk and remove a directory tree that other processes change at the same time.

Each directory is opened by its name relative to its open parent, and never through a link. So no
path is too long, and the walk stays in the tree even if directories are moved or replaced.
"""

import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_MAX_OPEN = 32  # directories that a walk holds open, in addition to the top
_CLOSED = -1

Entries = Iterator[os.DirEntry[str]]
OnLeave = Callable[[str, int], None]


def walk(
    top: Path,
    *,
    permissions: int = 0o500,
    keep_modes: bool = False,
    on_leave: OnLeave | None = None,
) -> Generator[tuple[int, Entries]]:
    """Yield the descriptor and the entries of each directory, from `top` down.

    Both are valid until the next iteration. The walk enters only the subdirectories that the
    caller has read from the entries, and skips directories that it cannot open.

    A directory of this process's user is given the `permissions` that its owner lacks; with
    `keep_modes`, its mode is restored when the walk leaves it. `on_leave` is called after the walk
    has returned from a directory to its parent, with the name of the directory and the descriptor
    of the parent.
    """
    levels = _Levels(permissions, keep_modes=keep_modes)
    try:
        if levels.enter(os.fspath(top)):
            yield levels.visit()
        while levels.has_any:
            name = levels.next_name()
            if name is None:
                levels.leave(on_leave)
            elif levels.enter(name):
                yield levels.visit()
    finally:
        levels.close()


def set_mode(name: str, directory: int | None, kind: int, mode: int) -> None:
    """Set the mode of a file, and never that of a link's target.

    `kind` is the expected file type, such as `stat.S_IFREG`. Where chmod cannot refuse to follow
    links, a file that is no longer of that type is left unchanged.

    Raises:
        OSError: the mode cannot be set.
    """
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, mode, dir_fd=directory, follow_symlinks=False)
        return
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if stat.S_IFMT(os.fstat(descriptor).st_mode) == kind:
            Path(f"/proc/self/fd/{descriptor}").chmod(mode)
    finally:
        os.close(descriptor)


def is_directory(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a directory and not a link; False if that is unknown."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


@dataclass(slots=True)
class _Level:
    """One directory on the path from the top of a walk to its current directory."""

    name: str
    descriptor: int  # _CLOSED if it was closed because too many were open
    identity: tuple[int, int]  # device and inode
    mode: int  # before the walk
    subdirectories: list[str] = field(default_factory=list[str])  # still to be entered


class _Levels:
    """The directories from the top to the current one; the top and the last few are open."""

    def __init__(self, permissions: int, *, keep_modes: bool) -> None:
        self._permissions = permissions
        self._keep_modes = keep_modes
        self._levels: list[_Level] = []

    @property
    def has_any(self) -> bool:
        return bool(self._levels)

    def next_name(self) -> str | None:
        """Return the next subdirectory of the current directory to enter; None if there is none."""
        names = self._levels[-1].subdirectories
        return names.pop() if names else None

    def enter(self, name: str) -> bool:
        """Enter a subdirectory of the current directory; return False if it cannot be opened."""
        parent = self._levels[-1].descriptor if self._levels else None
        try:
            descriptor, status = self._open(name, parent)
        except OSError:
            return False
        mode = stat.S_IMODE(status.st_mode)
        self._levels.append(_Level(name, descriptor, _identity(status), mode))
        self._limit_open()
        return True

    def visit(self) -> tuple[int, Entries]:
        """Return the descriptor and the entries of the current directory."""
        level = self._levels[-1]
        return level.descriptor, _entries(level)

    def leave(self, on_leave: OnLeave | None) -> None:
        """Return to the parent directory, even if the current one was moved out of it."""
        level = self._levels.pop()
        parent = self._levels[-1] if self._levels else None
        if parent is not None and parent.descriptor == _CLOSED:
            parent.descriptor = _open_same("..", level.descriptor, parent.identity)
        self._close(level)
        if parent is None:
            return
        if parent.descriptor == _CLOSED:
            self._reopen_from_top()
        if on_leave is not None and self._levels[-1] is parent:
            on_leave(level.name, parent.descriptor)

    def close(self) -> None:
        for level in self._levels:
            if level.descriptor != _CLOSED:
                self._close(level)
        self._levels.clear()

    def _open(self, name: str, parent: int | None) -> tuple[int, os.stat_result]:
        """Open a directory and grant the permissions; return its descriptor and its status before.

        Raises:
            OSError: it is not a directory, or may not be read.
        """
        before = None
        try:
            descriptor = os.open(name, DIRECTORY, dir_fd=parent)
        except PermissionError:
            before = os.stat(name, dir_fd=parent, follow_symlinks=False)
            set_mode(name, parent, stat.S_IFDIR, self._permitted(before.st_mode))
            descriptor = os.open(name, DIRECTORY, dir_fd=parent)
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        if self._permitted(mode) != mode and status.st_uid == os.geteuid():
            with suppress(OSError):
                os.fchmod(descriptor, self._permitted(mode))
        is_same = before is not None and _identity(before) == _identity(status)
        return descriptor, before if before is not None and is_same else status

    def _permitted(self, mode: int) -> int:
        return stat.S_IMODE(mode) | self._permissions

    def _limit_open(self) -> None:
        """Close the open directory nearest to the top, but not the top, if too many are open."""
        if len(self._levels) > _MAX_OPEN + 1:
            level = self._levels[-_MAX_OPEN - 1]
            if level.descriptor != _CLOSED:
                os.close(level.descriptor)
                level.descriptor = _CLOSED

    def _reopen_from_top(self) -> None:
        """Open the directories again from the top, down to the first one that was moved."""
        levels = self._levels[1:]
        del self._levels[1:]
        for level in levels:
            level.descriptor = _open_same(level.name, self._levels[-1].descriptor, level.identity)
            if level.descriptor == _CLOSED:
                return
            self._levels.append(level)
            self._limit_open()

    def _close(self, level: _Level) -> None:
        permitted = self._permitted(level.mode)
        with suppress(OSError):
            if self._keep_modes and permitted != level.mode:
                status = os.fstat(level.descriptor)
                if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == permitted:
                    os.fchmod(level.descriptor, level.mode)
        os.close(level.descriptor)


def _entries(level: _Level) -> Entries:
    with suppress(OSError), os.scandir(level.descriptor) as scanned:
        for entry in scanned:
            if is_directory(entry):
                level.subdirectories.append(entry.name)
            yield entry


def _open_same(name: str, directory: int, identity: tuple[int, int]) -> int:
    """Open a directory; return _CLOSED if it does not have this identity any more."""
    with suppress(OSError):
        descriptor = os.open(name, DIRECTORY, dir_fd=directory)
        if _identity(os.fstat(descriptor)) == identity:
            return descriptor
        os.close(descriptor)
    return _CLOSED


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def remove_tree(directory: Path) -> None:
    """Remove a directory, including unreadable parts, and never the target of a link."""
    for descriptor, entries in walk(directory, permissions=0o700, on_leave=_remove_directory):
        # Read all entries first: a file system may omit names if a directory changes meanwhile.
        for entry in list(entries):
            if not is_directory(entry):
                with suppress(OSError):
                    os.unlink(entry.name, dir_fd=descriptor)
    with suppress(OSError):
        directory.rmdir()


def _remove_directory(name: str, parent: int) -> None:
    with suppress(OSError):
        os.rmdir(name, dir_fd=parent)
