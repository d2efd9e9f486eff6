"""A child with all that it has started: ended together, however it got away from its parent."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

_PATIENCE = 5.0  # seconds; a process that cannot be killed by then hangs in the kernel
_ROUND = 0.01


def end_family(pid: int, directory: Path) -> int:
    """Kill a child of this process, and whatever it has started, which lives in a directory.

    Returns the child's status: what it exited with, or the signal that has ended it, negative.
    """
    family = _family(pid)
    sessions = {_session(each.pid) for each in family} - {_session(os.getpid()), -1}
    for each in family:
        with suppress(psutil.Error):
            each.kill()
    # Only now: until then, the number is the child's, and nobody else is killed in its place.
    _, status = os.waitpid(pid, 0)
    _sweep(sessions, directory)
    return os.waitstatus_to_exitcode(status)


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        child = psutil.Process(pid)
        return [child, *child.children(recursive=True)]
    return []


def _sweep(sessions: Set[int], directory: Path) -> None:
    """Kill again and again, as a process may fork while the others are looked through."""
    deadline = time.monotonic() + _PATIENCE
    while (left := list(_left(sessions, directory))) and time.monotonic() < deadline:
        for each in left:
            with suppress(psutil.Error):
                each.kill()
        time.sleep(_ROUND)


def _left(sessions: Set[int], directory: Path) -> Iterator[psutil.Process]:
    own = os.getpid()
    for each in psutil.process_iter():
        # Somebody else's process, or one that is just ending: not one of these, either way.
        with suppress(psutil.Error, OSError):
            if each.pid != own and each.status() != psutil.STATUS_ZOMBIE:
                places = (each.environ().get("HOME", ""), each.cwd())
                lives_there = any(Path(place).is_relative_to(directory) for place in places)
                if lives_there or _session(each.pid) in sessions:
                    yield each


def _session(pid: int) -> int:
    with suppress(OSError):
        return os.getsid(pid)
    return -1
