"""The directories of a sandbox on this machine, and their names inside the sandbox."""

import os
import posixpath
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .jailed_paths import JailedPaths

WORK = "/sandbox"
HOME = "/home/gem"
CHANNELS = "/.channels"  # the name inside, where commands are isolated
SCRATCH = "/tmp"  # noqa: S108  (the name inside; on this machine it is a directory of its own)


@dataclass(frozen=True, slots=True)
class Place:
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
