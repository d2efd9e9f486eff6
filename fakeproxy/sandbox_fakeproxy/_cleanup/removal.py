"""Remove the directories of a sandbox, with any modes and at any depth."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from sandbox_fakeproxy._runtime.place import Place


def remove_tree(directory: Path) -> None:
    """Remove a directory, also with unreadable parts, and never the target of a link.

    Nested directories are moved up first, so that no path gets too long and no recursion too deep.
    """
    if directory.is_symlink() or not directory.is_dir():
        return
    ahead = [directory]
    while ahead:
        at = ahead.pop()
        for below in _emptied(at):
            moved = directory / uuid4().hex
            with suppress(OSError):
                below.chmod(0o700)  # or it could not be moved
                ahead.append(below.rename(moved))
        if at != directory:
            with suppress(OSError):
                at.rmdir()
    with suppress(OSError):
        directory.rmdir()


def remove_files_of_pod(place: Place) -> None:
    """Remove the files that a sandbox loses with its pod: those in its home and its /tmp."""
    for directory in (place.home, place.scratch):
        remove_tree(directory)


def _emptied(directory: Path) -> list[Path]:
    """Remove all but the directories from a directory, and return those."""
    directories: list[Path] = []
    with suppress(OSError):
        directory.chmod(0o700)
        with os.scandir(directory) as scanned:
            entries = list(scanned)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(directory / entry.name)
            else:
                with suppress(OSError):
                    (directory / entry.name).unlink()
    return directories
