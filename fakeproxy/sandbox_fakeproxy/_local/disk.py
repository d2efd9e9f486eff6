"""The room that a sandbox takes on disk, looked at from time to time: no kernel limits it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

from sandbox_fakeproxy._clock import steady

_INTERVAL = 5.0  # seconds
_SHARE = 20  # a look that takes long is followed by a pause that many times as long
_BLOCK = 512  # bytes, which stat counts in


def used(directories: Iterable[Path]) -> int:
    """Return the bytes that directories take with all that is in them."""
    total = 0
    ahead = [str(each) for each in directories]
    while ahead:
        with suppress(OSError), os.scandir(ahead.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
    return total


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
