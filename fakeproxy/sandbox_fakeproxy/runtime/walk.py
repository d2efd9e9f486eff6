"""Walk a directory tree that others change at the same time.

Each directory is opened by its name in the open directory above it, and never through a link. So
no path is too long, and the walk stays in the tree whatever is moved or replaced meanwhile.
"""

import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_HELD = 32  # directories that a walk holds open, beside the top
_CLOSED = -1

Entries = Iterator[os.DirEntry[str]]
Left = Callable[[str, int], None]


def walk(
    top: Path, *, permissions: int = 0o500, keep_modes: bool = False, left: Left | None = None
) -> Generator[tuple[int, Entries]]:
    """Yield the descriptor of each directory, from `top` down, and its entries.

    Both are valid until the next directory is asked for, and only those directories are entered
    that were read from the entries. What cannot be read is passed over.

    A directory of this process's user that lacks some `permissions` of its owner is given them:
    with `keep_modes` only until the walk has left it. `left` is called after a walk has left a
    directory for the one above it, with the name and the descriptor of the one above.
    """
    levels = _Levels(permissions, keep_modes=keep_modes)
    try:
        if levels.enter(os.fspath(top)):
            yield levels.visit()
        while levels.has_any:
            name = levels.next_name()
            if name is None:
                levels.leave(left)
            elif levels.enter(name):
                yield levels.visit()
    finally:
        levels.close()


def set_mode(name: str, directory: int | None, kind: int, mode: int) -> None:
    """Set the mode of a file of that kind, such as `stat.S_IFREG`, and never of a link's target.

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
    """Tell whether an entry was a directory, as far as that is known, and no link to one."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


@dataclass(slots=True)
class _Level:
    """A directory on the way from the top to where a walk is."""

    name: str
    descriptor: int  # or _CLOSED, as too many are open
    identity: tuple[int, int]
    mode: int  # to be restored
    below: list[str] = field(default_factory=list[str])  # directories to be entered


class _Levels:
    """The directories from the top of a walk to where it is; the last few are open, and the top."""

    def __init__(self, permissions: int, *, keep_modes: bool) -> None:
        self._permissions = permissions
        self._keep_modes = keep_modes
        self._levels: list[_Level] = []

    @property
    def has_any(self) -> bool:
        return bool(self._levels)

    def next_name(self) -> str | None:
        """Return the name of a directory that is still to be entered from the current one."""
        below = self._levels[-1].below
        return below.pop() if below else None

    def enter(self, name: str) -> bool:
        """Enter a directory in the current one; tell whether that was possible."""
        above = self._levels[-1].descriptor if self._levels else None
        try:
            descriptor, status = self._open(name, above)
        except OSError:
            return False
        mode = stat.S_IMODE(status.st_mode)
        self._levels.append(_Level(name, descriptor, _identity(status), mode))
        self._hold_few()
        return True

    def visit(self) -> tuple[int, Entries]:
        """Return the descriptor and the entries of the current directory."""
        level = self._levels[-1]
        return level.descriptor, _entries(level)

    def leave(self, left: Left | None) -> None:
        """Go back to the directory above, which may have been moved meanwhile."""
        level = self._levels.pop()
        above = self._levels[-1] if self._levels else None
        if above is not None and above.descriptor == _CLOSED:
            above.descriptor = _open_same("..", level.descriptor, above.identity)
        self._close(level)
        if above is None:
            return
        if above.descriptor == _CLOSED:
            self._find_again()
        if left is not None and self._levels[-1] is above:
            left(level.name, above.descriptor)

    def close(self) -> None:
        for level in self._levels:
            if level.descriptor != _CLOSED:
                self._close(level)
        self._levels.clear()

    def _open(self, name: str, above: int | None) -> tuple[int, os.stat_result]:
        """Open a directory with its permissions; return also its status from before.

        Raises:
            OSError: it is none, or may not be read.
        """
        before = None
        try:
            descriptor = os.open(name, DIRECTORY, dir_fd=above)
        except PermissionError:
            before = os.stat(name, dir_fd=above, follow_symlinks=False)
            set_mode(name, above, stat.S_IFDIR, self._permitted(before.st_mode))
            descriptor = os.open(name, DIRECTORY, dir_fd=above)
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        if self._permitted(mode) != mode and status.st_uid == os.geteuid():
            with suppress(OSError):
                os.fchmod(descriptor, self._permitted(mode))
        is_same = before is not None and _identity(before) == _identity(status)
        return descriptor, before if before is not None and is_same else status

    def _permitted(self, mode: int) -> int:
        return stat.S_IMODE(mode) | self._permissions

    def _hold_few(self) -> None:
        """Close the highest open directory below the top, if there are too many."""
        if len(self._levels) > _HELD + 1:
            level = self._levels[-_HELD - 1]
            if level.descriptor != _CLOSED:
                os.close(level.descriptor)
                level.descriptor = _CLOSED

    def _find_again(self) -> None:
        """Go down from the top once more, as far as the directories are where they were."""
        ahead = self._levels[1:]
        del self._levels[1:]
        for level in ahead:
            level.descriptor = _open_same(level.name, self._levels[-1].descriptor, level.identity)
            if level.descriptor == _CLOSED:
                return
            self._levels.append(level)
            self._hold_few()

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
                level.below.append(entry.name)
            yield entry


def _open_same(name: str, directory: int, identity: tuple[int, int]) -> int:
    """Open the directory of that identity; return _CLOSED if it is another one by now."""
    with suppress(OSError):
        descriptor = os.open(name, DIRECTORY, dir_fd=directory)
        if _identity(os.fstat(descriptor)) == identity:
            return descriptor
        os.close(descriptor)
    return _CLOSED


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def remove_tree(directory: Path) -> None:
    """Remove a directory, also with unreadable parts, and never the target of a link."""
    for descriptor, entries in walk(directory, permissions=0o700, left=_remove_directory):
        # A file system need not tell all names of a directory that is changed while it is read.
        for entry in list(entries):
            if not is_directory(entry):
                with suppress(OSError):
                    os.unlink(entry.name, dir_fd=descriptor)
    with suppress(OSError):
        directory.rmdir()


def _remove_directory(name: str, above: int) -> None:
    with suppress(OSError):
        os.rmdir(name, dir_fd=above)
