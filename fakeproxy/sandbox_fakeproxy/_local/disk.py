"""The room that a sandbox takes on disk, looked at from time to time: no kernel limits it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from sandbox_fakeproxy._clock import steady
from sandbox_fakeproxy._runtime.walk import is_directory, walk

_INTERVAL = 5.0  # seconds
_SHARE = 20  # a look that takes long is followed by a pause that many times as long
_BLOCK = 512  # bytes, which stat counts in


def used(directories: Iterable[Path]) -> int:
    """Return the bytes that directories take with all that is in them, each file counted once.

    A directory that only lacks permissions of its owner, who is this process's user, has them while
    it is looked at. Not counted are files that were deleted and are still open.
    """
    linked = set[tuple[int, int]]()  # files with several names that were counted
    return sum(
        _used(entry, linked)
        for directory in directories
        for _, entries in walk(directory, keep_modes=True)
        for entry in entries
    )


def _used(entry: os.DirEntry[str], linked: set[tuple[int, int]]) -> int:
    """Return the bytes of one file or directory that is not among the `linked`, and add it."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:  # it is gone
        return 0
    if status.st_nlink > 1 and not is_directory(entry):
        identity = (status.st_dev, status.st_ino)
        if identity in linked:
            return 0
        linked.add(identity)
    return status.st_blocks * _BLOCK


async def watch(
    directories: Iterable[Path], limit: int, exceeded: Callable[[int], Awaitable[None]]
) -> None:
    """Call `exceeded` with the bytes used, each time that they are more than the limit."""
    directories = list(directories)
    while True:
        started = steady()
        bytes_used = await asyncio.to_thread(used, directories)
        if bytes_used > limit:
            await exceeded(bytes_used)
        took = steady() - started
        await asyncio.sleep(max(_INTERVAL, took * _SHARE))
