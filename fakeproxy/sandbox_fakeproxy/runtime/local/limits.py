"""Limits for the commands of a sandbox, and the watch over its disk use, which no kernel limits."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from sandbox_fakeproxy.clock import steady
from sandbox_fakeproxy.runtime.walk import is_directory, walk

_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper limits for the processes of a sandbox; sizes in bytes."""

    processes: int = 1024  # of all of them together
    # Of the address space of each: Node.js and Go reserve much more than they use.
    memory: int = 64 * 1024**3
    # Of all of them together, where the fake can make control groups.
    total_memory: int = 8 * 1024**3
    file: int = 10 * 1024**3  # size of each file
    cpu: int = 3600  # seconds of each process
    disk: int = 20 * 1024**3  # in /sandbox, /home/gem and /tmp together

    def __str__(self) -> str:
        return ",".join(
            f"{field.name}={_with_unit(getattr(self, field.name))}" for field in fields(self)
        )

    def ulimits(self) -> list[str]:
        """Return the limits that a shell can set, as options of `ulimit` with their values."""
        return [
            f"u={self.processes}",
            f"v={self.memory // 1024}",
            f"f={self.file // 1024}",
            f"t={self.cpu}",
            "c=0",
        ]


DEFAULT_LIMITS = Limits()


def read_limits(text: str) -> Limits:
    """Read limits such as `processes=200,memory=4G`; those left out have their defaults.

    Raises:
        ValueError: a name is unknown, or a value is not a positive number.
    """
    names = [field.name for field in fields(Limits)]
    given: dict[str, int] = {}
    for each in filter(None, text.split(",")):
        name, _, value = each.partition("=")
        if name not in names:
            raise ValueError(f"'{name}' is no limit: expected some of {', '.join(names)}")
        given[name] = _read_number(name, value)
    return replace(DEFAULT_LIMITS, **given)


def _with_unit(number: int) -> str:
    for unit, size in reversed(_UNITS.items()):
        if number > size and number % size == 0:
            return f"{number // size}{unit.upper()}"
    return str(number)


def _read_number(name: str, text: str) -> int:
    digits, unit = text, 1
    if text[-1:].lower() in _UNITS:
        digits, unit = text[:-1], _UNITS[text[-1].lower()]
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 10**9):
        raise ValueError(f"{name} has the value '{text}': expected a number such as 200 or 4G")
    return int(digits) * unit


_INTERVAL = 5.0  # seconds
_SHARE = 20  # a look that takes long is followed by a pause that many times as long
_BLOCK = 512  # bytes, which stat counts in


def used_disk(directories: Iterable[Path]) -> int:
    """Return the bytes that directories take with all that is in them, each file counted once.

    A directory of this process's user that lacks permissions of its owner has them while it is
    looked at. Not counted are files that were deleted and are still open.
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


async def watch_disk(
    directories: Iterable[Path], limit: int, exceeded: Callable[[int], Awaitable[None]]
) -> None:
    """Call `exceeded` with the bytes used, each time that they are more than the limit."""
    directories = list(directories)
    while True:
        started = steady()
        bytes_used = await asyncio.to_thread(used_disk, directories)
        if bytes_used > limit:
            await exceeded(bytes_used)
        took = steady() - started
        await asyncio.sleep(max(_INTERVAL, took * _SHARE))
