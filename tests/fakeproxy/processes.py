"""Waiting, within bounds, for what other processes do."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PATIENCE = 15.0  # seconds; far more than anything here takes on a busy machine


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition about another process holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_in(file: Path) -> list[int]:
    """Return the process ids that commands have written, a line each."""
    if not file.exists():
        return []
    return [int(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  (names are all that is counted)
