"""What a copy is made of, on either side, pure: a file or a tree of them, and where it goes."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

MAX_NAME = 255  # bytes, as in most file systems

# Why something is skipped.
LINK_TO_DIRECTORY = "a link to a directory, not followed"
LINK_TO_NOTHING = "a link that leads to no file"
NO_FILE = "neither a file nor a directory"


@dataclass(frozen=True)
class FileEntry:
    """A file by its path below the tree's base; `runs` where it is executable."""

    path: str
    size: int
    runs: bool = False


@dataclass(frozen=True)
class Skipped:
    """What is left out of a copy, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Tree:
    """A file or a directory with all that is below it: paths are relative to `base`.

    `name` is what it is called in the directory that it is copied into; empty where only its
    content goes there.
    """

    base: str
    name: str
    is_file: bool
    files: tuple[FileEntry, ...]
    directories: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Destination:
    """Where a tree goes: below `base`, and a file by a `name` that may be another."""

    base: str
    name: str = ""

    def path(self, entry: FileEntry) -> str:
        """Return where a file goes, from the base on."""
        return self.name or entry.path


def destination(tree: Tree, target: str, *, into: bool) -> Destination:
    """Return where `tree` goes: to `target` itself, or `into` it as into a directory."""
    whole = posixpath.join(target, tree.name) if into and tree.name else target
    if not tree.is_file:
        return Destination(whole)
    return Destination(posixpath.dirname(whole), posixpath.basename(whole))


def name_of(path: str) -> str:
    """Return what `path` is called in a directory: nothing where it ends in no name."""
    name = posixpath.basename(path.rstrip("/"))
    return "" if name in {".", ".."} else name


def temp_path(path: str, token: str) -> str:
    """Return the name under which a file is written before it gets its own."""
    directory, name = posixpath.split(path)
    end = f".part-{token}"
    short = name.encode()[: MAX_NAME - len(end) - 1].decode(errors="ignore")
    return posixpath.join(directory, f".{short}{end}")


def shown(path: str) -> str:
    """Return a path as one printable line."""
    return path if path.isprintable() else ascii(path)


def is_below(path: str) -> bool:
    """Whether a relative path that somebody else names stays below where it starts."""
    return not path.startswith("/") and not {"", ".", ".."} & set(path.split("/"))
