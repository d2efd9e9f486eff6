"""The paths of a sandbox: its directories on this machine, and where a path leads in a jail.

In a jail, a path is walked name by name, each opened relative to the directory before it and never
through a link; links are read and walked by hand, as their targets are paths of the jail. So
whatever a command changes under the walk, it never looks at the rest of this machine.
"""

import errno
import os
import posixpath
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
        walk = _JailWalk(self)
        try:
            walk.to(path)
        except OSError:  # a part of it is missing, too long or may not be entered
            return False
        finally:
            walk.leave()
        return True


class _JailWalk:
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


WORK = "/sandbox"
HOME = "/home/gem"
CHANNELS = "/.channels"  # the name inside, where commands are isolated
SCRATCH = "/tmp"  # noqa: S108  (the name inside; on this machine it is a directory of its own)


@dataclass(frozen=True, slots=True)
class SandboxPaths:
    """One sandbox on this machine.

    Where it is `isolated`, commands see its directories under the names of the deployed runtime;
    elsewhere the API takes those names all the same.
    """

    directory: Path
    isolated: bool = False
    owner: int | None = None  # the user of its commands, if another one than the fake's
    system: Collection[str] = ()  # the folders of this machine that isolated commands see
    made: Collection[str] = ()  # those of their own that are not the sandbox's

    @property
    def work(self) -> Path:
        """Where commands run; in the deployed runtime it is /sandbox."""
        return self.directory / "sandbox"

    @property
    def home(self) -> Path:
        """Their HOME; in the deployed runtime it is /home/gem."""
        return self.directory / "home"

    @property
    def scratch(self) -> Path:
        """Their TMPDIR."""
        return self.directory / "tmp"

    @property
    def channels(self) -> Path:
        """The named pipes by which the fake sends commands to its shells."""
        return self.directory / "channels"

    @property
    def spool(self) -> Path:
        """Where the fake keeps output of commands, in files without names: no command sees it."""
        return self.directory

    @property
    def accounts(self) -> Path:
        """The users and groups that isolated commands know."""
        return self.directory / "accounts"

    def make(self) -> None:
        """Make the directories that are not there yet."""
        accounts = [self.accounts] if self.isolated else []
        for directory in (self.work, self.home, self.scratch, self.channels, *accounts):
            directory.mkdir(parents=True, exist_ok=True)
            self.give(directory)

    def give(self, path: Path) -> None:
        """Make the user of its commands the owner of a file or directory."""
        if self.owner is not None:
            os.chown(path, self.owner, self.owner, follow_symlinks=False)

    def channel_to_commands(self, name: str) -> str:
        """Return the path of a named pipe in `channels` as commands see it."""
        return f"{CHANNELS}/{name}" if self.isolated else str(self.channels / name)

    def on_this_machine(self, path: str) -> Path:
        """Return where a path of the sandbox is here."""
        path = posixpath.normpath(path)
        for name, directory in self._names:
            if _is_in(path, name):
                return directory / path[len(name) + 1 :]
        return Path(path)

    def has_directory(self, path: str) -> bool:
        """Tell whether commands can find a directory at a path of the sandbox."""
        if self.isolated:
            mounted = {name: Path(name) for name in self.system} | dict(self._names)
            return JailedPaths(mounted, self.made, self.owner).has_directory(path)
        try:
            return self.on_this_machine(path).is_dir()
        except OSError:  # a part of it is missing, too long or may not be read
            return False

    def to_commands(self, path: str) -> str:
        """Return a path of the sandbox as commands see it."""
        return path if self.isolated else str(self.on_this_machine(path))

    def to_callers(self, path: str) -> str:
        """Return a path of a command as the API names it."""
        if not self.isolated:
            for name, directory in self._names:
                if _is_in(path, str(directory)):
                    return name + path[len(str(directory)) :]
        return path

    @property
    def _names(self) -> list[tuple[str, Path]]:
        names = [(WORK, self.work), (HOME, self.home)]
        return [*names, (SCRATCH, self.scratch)] if self.isolated else names


def _is_in(path: str, directory: str) -> bool:
    """Tell whether a normal path is a directory or below it.

    `PurePath.is_relative_to` would say the same, but in quadratic time.
    """
    return path == directory or path.startswith(f"{directory}/")
