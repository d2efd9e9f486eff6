"""Find and kill the processes of a sandbox, and reap orphans as process 1 of a container."""

import asyncio
import os
import signal
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from sandbox_fakeproxy.clock import steady
from sandbox_fakeproxy.runtime.paths import WORK

_PATIENCE = 2.0  # seconds; a process that cannot be killed by then hangs in the kernel
_ROUND = 0.01


def kill_session(leader: int) -> None:
    """Kill all processes in the session of a shell, which must not be reaped yet."""
    for pid in _session(leader):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def session_has_others(leader: int) -> bool:
    """Tell whether a shell's process session has more in it than the shell."""
    return any(pid != leader for pid in _session(leader))


def kill_sandboxes_in(folder: Path) -> None:
    """Kill every process of the sandboxes in a folder, or in a folder of it, jailed or not."""
    works = [*folder.glob("*/sandbox"), *folder.glob("*/*/sandbox")]
    kill_all_below(folder, works)


def kill_all_below(directory: Path, works: Collection[Path], leaders: Collection[int] = ()) -> None:
    """Kill every process of the sandboxes below `directory`. Blocks until none is left.

    They are known by their HOME, which a process keeps also after setsid; where they are isolated,
    by the one of `works` that they see as /sandbox; and, where neither can be read or HOME was
    unset, by the shell whose process session they are in. A session's number may be used anew one
    day, so there the working directory must agree too.
    """
    seen_as_work = set(_identities(works))

    def belongs(process: psutil.Process) -> bool:
        if Path(_home(process)).is_relative_to(directory):
            return True
        if not seen_as_work.isdisjoint(_identities([Path(f"/proc/{process.pid}/root{WORK}")])):
            return True
        if not leaders or os.getsid(process.pid) not in leaders:
            return False
        return Path(process.cwd()).is_relative_to(directory)

    _kill_until_none_is_left(belongs)


def _session(leader: int) -> Iterator[int]:
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                yield pid


def _identities(directories: Collection[Path]) -> Iterator[tuple[int, int]]:
    for directory in directories:
        with suppress(OSError):
            # Never through a link: a command may have made one to another sandbox's directory.
            found = directory.lstat()
            if stat.S_ISDIR(found.st_mode):
                yield found.st_dev, found.st_ino


def _kill_until_none_is_left(belongs: Callable[[psutil.Process], bool]) -> None:
    """Kill again and again, as a process may fork while the others are looked through."""
    deadline = steady() + _PATIENCE
    while True:
        found = list(_matching(belongs))
        if not found or steady() > deadline:
            return
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(_ROUND)


def _matching(belongs: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
    own = os.getpid()
    for process in psutil.process_iter():
        # Another user's process, or one that is just ending, is not a sandbox's.
        with suppress(psutil.Error, OSError):
            if process.pid != own and belongs(process):
                yield process


def _home(process: psutil.Process) -> str:
    with suppress(psutil.AccessDenied):  # macOS hides the environment of its own programs
        return process.environ().get("HOME", "")
    return ""


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
