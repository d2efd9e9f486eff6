"""Find and kill what runs in a sandbox, however it got away from the shell that started it."""

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_PATIENCE = 2.0  # seconds; a process that cannot be killed by then hangs in the kernel
_ROUND = 0.01


def kill_group(pgid: int) -> None:
    """Kill a process group whose leader is not yet reaped, so that the number is still its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def group_exists(pgid: int) -> bool:
    """Tell whether a process group has a process left."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def kill_all_below(directory: Path, groups: Collection[int] = ()) -> None:
    """Kill every process of the sandboxes below `directory`. Blocks until none is left.

    They are known by their HOME, which a process keeps also after setsid; and, where HOME cannot
    be read or was unset, by one of the `groups` that their shells led. A group's number may be
    used anew one day, so there the working directory must agree too.
    """

    def belongs(process: psutil.Process) -> bool:
        if Path(_home(process)).is_relative_to(directory):
            return True
        if not groups or os.getpgid(process.pid) not in groups:
            return False
        return Path(process.cwd()).is_relative_to(directory)

    _kill_until_none_is_left(belongs)


def _kill_until_none_is_left(belongs: Callable[[psutil.Process], bool]) -> None:
    """Kill again and again, as a process may fork while the others are looked through."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = list(_matching(belongs))
        if not found or time.monotonic() > deadline:
            return
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(_ROUND)


def _matching(belongs: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
    own = os.getpid()
    for process in psutil.process_iter():
        # Somebody else's process, or one that is just ending: not a sandbox's, either way.
        with suppress(psutil.Error, OSError):
            if process.pid != own and belongs(process):
                yield process


def _home(process: psutil.Process) -> str:
    with suppress(psutil.AccessDenied):  # macOS hides the environment of its own programs
        return process.environ().get("HOME", "")
    return ""
