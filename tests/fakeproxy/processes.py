"""Bounded waiting for other processes."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

TIMEOUT = 15.0  # seconds; far more than anything here takes on a busy machine


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition about another process holds."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {TIMEOUT:g} s"
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
