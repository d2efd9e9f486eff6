"""Where a path leads in a jail: in its own directories and in what it sees of the machine.

A path is walked name by name, each opened relative to the directory before it and never through
a link; links are read and walked by hand, as their targets are paths of the jail. So whatever a
command changes under the walk, it never looks at the rest of this machine.
"""

import errno
import os
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PATH_LIMIT = 4096  # characters; on Linux, bytes
_LINK_LIMIT = 40  # as on Linux
_STEP_LIMIT = 5000  # names that one walk looks at: after each `..` of a link it starts over


@dataclass(frozen=True, slots=True)
class JailedPaths:
    """The directories that are mounted in a jail, and those that are made there."""

    mounted: Mapping[str, Path]  # with their places on this machine
    made: Collection[str]  # with nothing of this machine in them, but for other ones of these
    owner: int | None = None  # the user of its commands, if another one than this process's

    def has_directory(self, path: str) -> bool:
        """Tell whether commands can go to a path."""
        walk = _Walk(self)
        try:
            walk.to(path)
        except OSError:  # a part of it is missing, too long or may not be entered
            return False
        finally:
            walk.leave()
        return True


class _Walk:
    """One walk. It holds one directory open at a time; none in a directory that is made."""

    def __init__(self, paths: JailedPaths) -> None:
        self._paths = paths
        self._at = ""  # the path of the jail, without a link
        self._directory: int | None = None
        self._links = self._steps = 0

    def to(self, path: str) -> None:
        ahead = self._names(path)
        while ahead:
            name = ahead.pop()
            if name == "..":
                self._go_up()
            elif name not in {"", "."} and (target := self._enter(name)) is not None:
                self._links += 1
                _require(self._links <= _LINK_LIMIT, errno.ELOOP)
                if target.startswith("/"):
                    self._start_over("")
                ahead.extend(self._names(target))

    def leave(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
        self._directory = None

    def _go_up(self) -> None:
        """Go to the directory that was reached before; `..` of this one may be anywhere by now."""
        self._start_over(self._at.rpartition("/")[0])

    def _start_over(self, path: str) -> None:
        self.leave()
        self._at = ""
        for name in filter(None, path.split("/")):
            target = self._enter(name)
            _require(target is None, errno.ENOENT)  # else a command has replaced a directory

    def _names(self, path: str) -> list[str]:
        """Return the names in a path, the last one first."""
        _require(len(path) < _PATH_LIMIT, errno.ENAMETOOLONG)
        return path.split("/")[::-1]

    def _enter(self, name: str) -> str | None:
        """Enter a directory; if it is a link, stay and return its target."""
        self._steps += 1
        _require(self._steps <= _STEP_LIMIT, errno.ELOOP)
        path = f"{self._at}/{name}"
        _require(len(path) < _PATH_LIMIT, errno.ENAMETOOLONG)
        if path in self._paths.made:
            self.leave()
        else:
            mounted = self._paths.mounted.get(path)
            file, directory = (name, self._directory) if mounted is None else (str(mounted), None)
            _require(mounted is not None or directory is not None, errno.ENOENT)
            with suppress(OSError):  # no link, or nothing at all: opening it will tell
                return os.readlink(file, dir_fd=directory)
            self._open(file, directory)
        self._at = path
        return None

    def _open(self, file: str, directory: int | None) -> None:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        below = os.open(file, flags, dir_fd=directory)
        self.leave()
        self._directory = below
        found, owner = os.fstat(below), self._paths.owner
        # This process is root, where they have another owner, and enters what they may not.
        may_enter = owner in {None, found.st_uid} or found.st_mode & stat.S_IXOTH
        _require(bool(may_enter), errno.EACCES)


def _require(condition: bool, number: int) -> None:
    if not condition:
        raise OSError(number, os.strerror(number))
