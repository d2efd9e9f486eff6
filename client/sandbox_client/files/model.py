"""The data of a copy, without I/O: the files of a tree, and the paths that they are copied to.

`local.scan_tree` and `shell_scripts.read_tree` make a `Tree` of either side; `copy` maps it to a
`Destination` on the other.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_client.api.files import MAX_FILE_NAME
from sandbox_client.errors import FileChanged, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client.errors import SandboxError

_TEMPORARY = re.compile(r"/\.([^/]{0,255}?)\.part-[0-9a-f]{8}")

# Bytes of a file whose size is known only when it is read, as in /proc: some have no end.
MAX_UNSIZED = 64_000_000

# Reasons to skip a directory entry.
LINK_TO_DIRECTORY = "a link to a directory, not followed"
LINK_TO_NO_FILE = "a link that leads to no file"
NO_FILE = "neither a file nor a directory"
NOT_UTF8 = "its name is not UTF-8"
UNSIZED = "its size is not known before it is read, and more than 64 MB"
CHANGED = "it was written to while it was copied"


@dataclass(frozen=True)
class FileEntry:
    """A file: `path` relative to the base of its tree, `size` in bytes, permissions `mode`."""

    path: str
    size: int
    mode: int = 0o644


@dataclass(frozen=True)
class Skipped:
    """A directory entry that is not copied, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class Tree:
    """A file, or a directory with everything below it; paths are relative to `base`.

    `name` is the name that it gets when it is copied into a directory. It is empty for a source
    such as `.`: then the content of the directory is copied.
    """

    base: str
    name: str
    is_file: bool
    files: tuple[FileEntry, ...]
    directories: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Destination:
    """The directory `base` that a tree is copied to; `name` is the new name of a single file."""

    base: str
    name: str = ""

    def path(self, entry: FileEntry) -> str:
        """Return the path of a file relative to `base`."""
        return self.name or entry.path


class CopyListener:
    """Receive the progress of a copy; this class ignores it."""

    def begin(self, tree: Tree, *, into: bool) -> None:
        """Receive a source before anything is copied, and whether the target is a directory."""

    def transferred(self, entry: FileEntry, size: int) -> None:
        """Receive the number of bytes that were copied since the last call.

        It is negative if they are copied again.
        """

    def finished(self, entry: FileEntry) -> None:
        """Receive a file that is complete at its destination."""

    def lost_mode(self, entry: FileEntry) -> None:
        """Receive a finished file that could be executed and cannot at its destination."""

    def completed(self, entry: FileEntry, *, mode_kept: bool) -> None:
        """Report a finished file, and whether it can still be executed."""
        self.finished(entry)
        if not mode_kept:
            self.lost_mode(entry)

    def unanswered(self, seconds: float) -> None:
        """Receive an outage: the seconds for which the copy goes on trying, 0 when it is over."""

    def left_behind(self, pattern: str) -> None:
        """Receive a path of the sandbox, or a pattern, of temporary files that may remain."""

    def left_out(self, entry: FileEntry, reason: str) -> None:
        """Receive a file of a directory that could not be copied, and the reason."""


def destination(tree: Tree, target: str, *, into: bool) -> Destination:
    """Return where `tree` is copied to: `target` itself, or its name in `target` if `into`."""
    path = posixpath.join(target, tree.name) if into and tree.name else target
    if not tree.is_file:
        return Destination(path)
    return Destination(posixpath.dirname(path), posixpath.basename(path))


def require_distinct(trees: Sequence[Tree], places: Sequence[Destination]) -> None:
    """Check that no two files of `trees` have the same destination.

    Raises:
        InvalidInput: two have; nothing was copied.
    """
    seen: set[str] = set()
    for tree, to in zip(trees, places, strict=True):
        for entry in tree.files:
            path = posixpath.join(to.base, to.path(entry))
            if path in seen:
                raise InvalidInput(
                    f"Two of the sources would both become {printable(path)}",
                    advice="Copy them one after the other to different names.",
                )
            seen.add(path)


def base_name(path: str) -> str:
    """Return the last component of `path`; empty for the root, `.` and `..`."""
    name = posixpath.basename(path.rstrip("/"))
    return "" if name in {".", ".."} else name


def temp_path(path: str, token: str) -> str:
    """Return the hidden path in the same directory where a file is written before its rename."""
    directory, name = posixpath.split(path)
    suffix = f".part-{token}"
    short = name.encode()[: MAX_FILE_NAME - len(suffix) - 1].decode(errors="ignore")
    return posixpath.join(directory, f".{short}{suffix}")


def final_names(text: str) -> str:
    """Replace temporary paths in a message by those of the files that they would become."""
    return _TEMPORARY.sub(lambda match: f"/{match[1]}" if match[1] else "", text)


def printable(path: str) -> str:
    """Return a path as one printable line."""
    return path if path.isprintable() else ascii(path)


def is_below(path: str) -> bool:
    """Check that a path from the sandbox is relative and stays below its directory."""
    return not path.startswith("/") and not {"", ".", ".."} & set(path.split("/"))


def reason_of(error: SandboxError) -> str:
    """Return the reason why a file of a directory was left out."""
    if isinstance(error, FileChanged):
        return CHANGED
    return f"it cannot be read{error.message.partition(' cannot be read')[2]}"
