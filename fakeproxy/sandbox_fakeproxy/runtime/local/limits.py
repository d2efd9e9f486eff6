"""Limits for the commands of a sandbox; its disk usage is watched, as no kernel limits it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from sandbox_fakeproxy.clock import steady
from sandbox_fakeproxy.runtime.walk import is_directory, walk

_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_MIN_INTERVAL = 5.0  # seconds between two measurements of the disk usage
_PAUSE_FACTOR = 20  # after a measurement that took long, the pause is this many times as long
_BLOCK = 512  # bytes; the unit of st_blocks


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper limits for the processes of a sandbox; sizes in bytes."""

    processes: int = 1024  # in total
    # Address space of each process: Node.js and Go reserve much more than they use.
    memory: int = 64 * 1024**3
    # Of all processes together, where the fake can create control groups.
    total_memory: int = 8 * 1024**3
    file: int = 10 * 1024**3  # the size of each file
    cpu: int = 3600  # seconds of each process
    disk: int = 20 * 1024**3  # in /sandbox, /home/gem and /tmp together

    def __str__(self) -> str:
        return ",".join(
            f"{field.name}={_format_with_unit(getattr(self, field.name))}" for field in fields(self)
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


def parse_limits(text: str) -> Limits:
    """Parse limits such as `processes=200,memory=4G`; omitted ones have their defaults.

    Raises:
        ValueError: a name is unknown, or a value is not a positive number.
    """
    names = [field.name for field in fields(Limits)]
    values: dict[str, int] = {}
    for assignment in filter(None, text.split(",")):
        name, _, value = assignment.partition("=")
        if name not in names:
            raise ValueError(f"'{name}' is not a limit: expected some of {', '.join(names)}")
        values[name] = _parse_number(name, value)
    return replace(DEFAULT_LIMITS, **values)


def _format_with_unit(number: int) -> str:
    for unit, size in reversed(_UNITS.items()):
        if number > size and number % size == 0:
            return f"{number // size}{unit.upper()}"
    return str(number)


def _parse_number(name: str, text: str) -> int:
    digits, unit = text, 1
    if text[-1:].lower() in _UNITS:
        digits, unit = text[:-1], _UNITS[text[-1].lower()]
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 10**9):
        raise ValueError(f"{name} has the value '{text}': expected a number such as 200 or 4G")
    return int(digits) * unit


def disk_usage(directories: Iterable[Path]) -> int:
    """Return the bytes on disk of everything in some directories, each file counted once.

    A directory of this process's user that lacks permissions of its owner is given them while it is
    read. Files that were deleted and are still open are not counted.
    """
    counted = set[tuple[int, int]]()  # files with several names
    return sum(
        _entry_usage(entry, counted)
        for directory in directories
        for _, entries in walk(directory, keep_modes=True)
        for entry in entries
    )


def _entry_usage(entry: os.DirEntry[str], counted: set[tuple[int, int]]) -> int:
    """Return the bytes of a file or directory; 0 if the file is in `counted`, else add it there."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:  # deleted meanwhile
        return 0
    if status.st_nlink > 1 and not is_directory(entry):
        identity = (status.st_dev, status.st_ino)
        if identity in counted:
            return 0
        counted.add(identity)
    return status.st_blocks * _BLOCK


async def watch_disk(
    directories: Iterable[Path], limit: int, on_exceeded: Callable[[int], Awaitable[None]]
) -> None:
    """Measure the disk usage for ever, and call `on_exceeded` with each one above the limit.

    What is left after that call is above it too, until a command has removed it; so it is exceeded
    again only by more.
    """
    directories = list(directories)
    left = 0
    while True:
        started = steady()
        bytes_used = await asyncio.to_thread(disk_usage, directories)
        left = min(left, bytes_used)
        if bytes_used > max(limit, left):
            await on_exceeded(bytes_used)
            left = await asyncio.to_thread(disk_usage, directories)
        elapsed = steady() - started
        await asyncio.sleep(max(_MIN_INTERVAL, elapsed * _PAUSE_FACTOR))
