"""The paths of a sandbox: its directories on this machine, and the lookup of paths in a jail.

A path in a jail is resolved name by name. Each directory is opened relative to its parent and
without following links; the target of a link is read and resolved in the same way, as it is a path
in the jail. So the lookup stays within the jail, even if a command changes directories meanwhile.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

WORK = "/sandbox"
HOME = "/home/gem"
CHANNELS = "/.channels"  # in a jail only
SCRATCH = "/tmp"  # noqa: S108  (in a jail only; on this machine it is `SandboxPaths.scratch`)

_PATH_LIMIT = 4096  # characters; on Linux, bytes
_LINK_LIMIT = 40  # as on Linux
_STEP_LIMIT = 5000  # names looked up for one path: each `..` starts again from the root


@dataclass(frozen=True, slots=True)
class SandboxPaths:
    """The directories of one sandbox on this machine.

    The API names them as the deployed runtime does (/sandbox, /home/gem). Commands see them under
    those names only if the sandbox is `isolated` in a jail.
    """

    directory: Path
    isolated: bool = False
    owner: int | None = None  # the user id of the sandbox's commands, if not the fake's own
    system: Collection[str] = ()  # folders of this machine that isolated commands see
    created: Collection[str] = ()  # directories of the jail with nothing of this machine in them

    @property
    def work(self) -> Path:
        """The directory that the API calls /sandbox."""
        return self.directory / "sandbox"

    @property
    def home(self) -> Path:
        """The HOME of commands, which the API calls /home/gem."""
        return self.directory / "home"

    @property
    def scratch(self) -> Path:
        """The TMPDIR of commands."""
        return self.directory / "tmp"

    @property
    def channels(self) -> Path:
        """The folder of the named pipes through which the fake sends commands to shells."""
        return self.directory / "channels"

    @property
    def spool(self) -> Path:
        """The folder for output of commands, in unlinked files, which no command can see."""
        return self.directory

    @property
    def accounts(self) -> Path:
        """The folder of the passwd and group files that isolated commands see."""
        return self.directory / "accounts"

    def create(self) -> None:
        """Create the directories that do not exist yet."""
        accounts = [self.accounts] if self.isolated else []
        for directory in (self.work, self.home, self.scratch, self.channels, *accounts):
            directory.mkdir(parents=True, exist_ok=True)
            self.set_owner(directory)

    def set_owner(self, path: Path) -> None:
        """Make the user of the sandbox's commands the owner of a file or directory."""
        if self.owner is not None:
            os.chown(path, self.owner, self.owner, follow_symlinks=False)

    def channel_command_path(self, name: str) -> str:
        """Return the path under which commands see a named pipe in `channels`."""
        return f"{CHANNELS}/{name}" if self.isolated else str(self.channels / name)

    def host_path(self, path: str) -> Path:
        """Return the path on this machine of a path of the API."""
        path = posixpath.normpath(path)
        for name, directory in self._mounts:
            if _is_in(path, name):
                return directory / path[len(name) + 1 :]
        return Path(path)

    def has_directory(self, path: str) -> bool:
        """Return whether a path of the API is a directory that commands can enter.

        The work directory and the home are, also before `create`.
        """
        if path in {WORK, HOME}:
            return True
        if self.isolated:
            mounted = {name: Path(name) for name in self.system} | dict(self._mounts)
            return JailedPaths(mounted, self.created, self.owner).has_directory(path)
        try:
            return self.host_path(path).is_dir()
        except OSError:  # a part of it is missing, too long or may not be read
            return False

    def command_path(self, path: str) -> str:
        """Return the path under which commands see a path of the API."""
        return path if self.isolated else str(self.host_path(path))

    def api_path(self, path: str) -> str:
        """Return the path of the API for a path that a command sees."""
        if not self.isolated:
            for name, directory in self._mounts:
                if _is_in(path, str(directory)):
                    return name + path[len(str(directory)) :]
        return path

    @property
    def _mounts(self) -> list[tuple[str, Path]]:
        mounts = [(WORK, self.work), (HOME, self.home)]
        return [*mounts, (SCRATCH, self.scratch)] if self.isolated else mounts


@dataclass(frozen=True, slots=True)
class JailedPaths:
    """The directories that are mounted in a jail, and those that are created in it."""

    mounted: Mapping[str, Path]  # each path in the jail with its path on this machine
    created: Collection[str]  # they contain nothing of this machine but mounted directories
    owner: int | None = None  # the user id of the jail's commands, if not this process's own

    def has_directory(self, path: str) -> bool:
        """Return whether a path of the jail is a directory that commands can enter."""
        walk = _JailWalk(self)
        try:
            walk.enter(path)
        except OSError:  # a part of it is missing, too long or may not be entered
            return False
        finally:
            walk.close()
        return True


class _JailWalk:
    """The lookup of one path. It holds the current directory open, if that is a mounted one."""

    def __init__(self, paths: JailedPaths) -> None:
        self._paths = paths
        self._path = ""  # the current directory in the jail, with all links resolved
        self._directory: int | None = None  # its descriptor
        self._links = self._steps = 0

    def enter(self, path: str) -> None:
        remaining = self._reversed_names(path)
        while remaining:
            name = remaining.pop()
            if name == "..":
                self._enter_parent()
            elif name not in {"", "."} and (target := self._enter_name(name)) is not None:
                self._links += 1
                _require(self._links <= _LINK_LIMIT, errno.ELOOP)
                if target.startswith("/"):
                    self._restart("")
                remaining.extend(self._reversed_names(target))

    def close(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
        self._directory = None

    def _enter_parent(self) -> None:
        """Enter the parent by its path: a moved directory has its `..` somewhere else."""
        self._restart(self._path.rpartition("/")[0])

    def _restart(self, path: str) -> None:
        """Enter a path without links, from the root of the jail."""
        self.close()
        self._path = ""
        for name in filter(None, path.split("/")):
            target = self._enter_name(name)
            _require(target is None, errno.ENOENT)  # a command has replaced a directory by a link

    def _reversed_names(self, path: str) -> list[str]:
        """Return the names in a path, the last one first."""
        _require(len(path) < _PATH_LIMIT, errno.ENAMETOOLONG)
        return path.split("/")[::-1]

    def _enter_name(self, name: str) -> str | None:
        """Enter a subdirectory; if it is a link, stay and return the target of the link."""
        self._steps += 1
        _require(self._steps <= _STEP_LIMIT, errno.ELOOP)
        path = f"{self._path}/{name}"
        _require(len(path) < _PATH_LIMIT, errno.ENAMETOOLONG)
        if path in self._paths.created:
            self.close()
        else:
            mounted = self._paths.mounted.get(path)
            file, directory = (name, self._directory) if mounted is None else (str(mounted), None)
            _require(mounted is not None or directory is not None, errno.ENOENT)
            with suppress(OSError):  # not a link, or missing: `_open` raises the error
                return os.readlink(file, dir_fd=directory)
            self._open(file, directory)
        self._path = path
        return None

    def _open(self, file: str, directory: int | None) -> None:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(file, flags, dir_fd=directory)
        self.close()
        self._directory = descriptor
        status, owner = os.fstat(descriptor), self._paths.owner
        # With an `owner`, this process is root and can enter directories that commands may not.
        may_enter = owner in {None, status.st_uid} or status.st_mode & stat.S_IXOTH
        _require(bool(may_enter), errno.EACCES)


def _is_in(path: str, directory: str) -> bool:
    """Return whether a normalized path is `directory` or below it.

    `PurePath.is_relative_to` returns the same, but takes quadratic time.
    """
    return path == directory or path.startswith(f"{directory}/")


def _require(condition: bool, code: int) -> None:
    if not condition:
        raise OSError(code, os.strerror(code))
