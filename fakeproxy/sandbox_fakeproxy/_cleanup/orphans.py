"""Reap orphans: process 1 of a container inherits each process whose parent has ended."""

import asyncio
import os
from contextlib import suppress

import psutil

_INTERVAL = 1.0  # seconds


async def reap_orphans() -> None:
    """Reap ended children that no other part of the fake waits for.

    A process that the fake has started is reaped at once by the code that started it. So an ended
    child that is still there at the next look is an orphan.
    """
    seen = set[int]()
    while True:
        ended = await asyncio.to_thread(_ended_children)
        _reap(ended & seen)
        seen = ended
        await asyncio.sleep(_INTERVAL)


def _reap(pids: set[int]) -> None:
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _ended_children() -> set[int]:
    found = set[int]()
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.status() == psutil.STATUS_ZOMBIE:
                found.add(child.pid)
    return found
