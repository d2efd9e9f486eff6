"""Remove the directories of a sandbox, with any modes and at any depth."""

import os
from contextlib import suppress
from pathlib import Path

from sandbox_fakeproxy.runtime.paths import Place
from sandbox_fakeproxy.runtime.walk import is_directory, walk


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


def remove_files_of_pod(place: Place) -> None:
    """Remove the files that a sandbox loses with its pod: those in its home and its /tmp."""
    for directory in (place.home, place.scratch):
        remove_tree(directory)


def _remove_directory(name: str, above: int) -> None:
    with suppress(OSError):
        os.rmdir(name, dir_fd=above)
