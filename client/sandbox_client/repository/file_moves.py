"""Files and links of a working tree: their states, and moves, also to another file system."""

from __future__ import annotations

import errno
import filecmp
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .bundle import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable


class State(NamedTuple):
    """The state of a file or a link, which an edit changes; a move does not."""

    mode: int
    size: int
    modified: int  # nanoseconds since 1970


BLOCKED = State(0, 0, 0)  # of a path below a file or a link, which is not followed


def state_of(top: str, path: str) -> State | None:
    """Return the state of a file of the working tree, None for none, or for a directory."""
    for parent in parents_of(path):
        found = status_of(join(top, parent))
        if found is None:
            return None
        if not stat.S_ISDIR(found.st_mode):
            return BLOCKED
    found = status_of(join(top, path))
    if found is None or stat.S_ISDIR(found.st_mode):
        return None
    return State(found.st_mode, found.st_size, found.st_mtime_ns)


def join(top: str, path: str) -> str:
    """Return a path below a directory; the name may not be UTF-8."""
    return os.path.join(top, path)  # noqa: PTH118  # a name may not be UTF-8


def parents_of(path: str) -> list[str]:
    """Return the directories above a path, the topmost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def status_of(path: str) -> os.stat_result | None:
    """Return the status of a path, None for none; a link is not followed."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_directory(path: str) -> bool:
    """Return whether a path is a directory, and no link to one."""
    found = status_of(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def remove_empty(directories: Iterable[str]) -> None:
    """Remove directories, up to the first one that is not empty."""
    with suppress(OSError):
        for each in directories:
            os.rmdir(each)  # noqa: PTH106


def is_same(one: str, other: str) -> bool:
    """Return whether two files have the same content, or two links the same target."""
    links = [os.path.islink(each) for each in (one, other)]  # noqa: PTH114
    if any(links):
        return all(links) and os.readlink(one) == os.readlink(other)  # noqa: PTH115
    return os.path.isfile(other) and filecmp.cmp(one, other, shallow=False)  # noqa: PTH113


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file's content, or of a link's target."""
    if os.path.islink(path):  # noqa: PTH114
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()  # noqa: PTH115
    return sha256_of(Path(path))


def move(source: str, target: str, part_name: str) -> None:
    """Move a file or a link; make the directories of its place.

    One that goes to another file system is copied beside its place first, by the name `part_name`.
    """
    parent = os.path.dirname(target)  # noqa: PTH120
    os.makedirs(parent, exist_ok=True)  # noqa: PTH103
    try:
        os.replace(source, target)  # noqa: PTH105
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        part = join(parent, part_name)
        try:
            shutil.copy2(source, part, follow_symlinks=False)
            os.replace(part, target)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part)  # noqa: PTH108
            raise
        os.unlink(source)  # noqa: PTH108
