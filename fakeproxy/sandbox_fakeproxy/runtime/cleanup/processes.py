"""Find and kill the processes of sandboxes; reap orphans as process 1 of a container."""

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

_KILL_TIMEOUT = 2.0  # seconds; a process that still exists then is stuck in the kernel
_KILL_INTERVAL = 0.01  # seconds
_REAP_INTERVAL = 1.0  # seconds


def kill_session(leader: int) -> None:
    """Kill all processes in the process session of a shell, which must not have been reaped."""
    for pid in _pids_with(os.getsid, leader):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def session_has_others(leader: int) -> bool:
    """Return whether the process session of a shell has processes other than the shell."""
    return any(pid != leader for pid in _pids_with(os.getsid, leader))


def copies_in_group(group: int, shell: int) -> set[int]:
    """Return the processes of a group that have the command line of `shell`, without `shell`."""
    own = _command_line(shell)
    pids = _pids_with(os.getpgid, group)
    return {pid for pid in pids if pid != shell and _command_line(pid) == own}


def runs_other(pid: int, shell: int) -> bool:
    """Return whether a process has not ended and has another command line than `shell`."""
    return _command_line(pid) not in ([], _command_line(shell))


def kill_sandboxes_in(folder: Path) -> None:
    """Kill all processes of the sandboxes in a folder or its subfolders, in jails or not."""
    work_directories = [*folder.glob("*/sandbox"), *folder.glob("*/*/sandbox")]
    kill_all_below(folder, work_directories)


def kill_all_below(
    directory: Path, work_directories: Collection[Path], leaders: Collection[int] = ()
) -> None:
    """Kill all processes of the sandboxes below `directory`; block until none is left.

    A process is identified by its HOME, which it keeps after setsid. In a jail, it is identified by
    the one of `work_directories` that it sees as /sandbox. If neither can be read, or HOME was
    unset, it is identified by its process session, which one of the shells `leaders` leads. Session
    ids may be reused in time, so its working directory must then be below `directory` too.
    """
    identities = set(_identities(work_directories))

    def belongs(process: psutil.Process) -> bool:
        if Path(_home(process)).is_relative_to(directory):
            return True
        if not identities.isdisjoint(_identities([Path(f"/proc/{process.pid}/root{WORK}")])):
            return True
        if not leaders or os.getsid(process.pid) not in leaders:
            return False
        return Path(process.cwd()).is_relative_to(directory)

    _kill_until_none_is_left(belongs)


def _pids_with(identity_of: Callable[[int], int], identity: int) -> Iterator[int]:
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if identity_of(pid) == identity:
                yield pid


def _command_line(pid: int) -> list[str]:
    with suppress(psutil.Error):
        return psutil.Process(pid).cmdline()
    return []


def _identities(directories: Collection[Path]) -> Iterator[tuple[int, int]]:
    for directory in directories:
        with suppress(OSError):
            # Links are not followed: a command may have created one to another sandbox's directory.
            status = directory.lstat()
            if stat.S_ISDIR(status.st_mode):
                yield status.st_dev, status.st_ino


def _kill_until_none_is_left(belongs: Callable[[psutil.Process], bool]) -> None:
    """Kill matching processes until there are none: one may fork during the search for others."""
    deadline = steady() + _KILL_TIMEOUT
    while True:
        processes = list(_matching(belongs))
        if not processes or steady() > deadline:
            return
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(_KILL_INTERVAL)


def _matching(belongs: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
    own = os.getpid()
    for process in psutil.process_iter():
        # Processes that end meanwhile, or belong to another user, are not those of sandboxes.
        with suppress(psutil.Error, OSError):
            if process.pid != own and belongs(process):
                yield process


def _home(process: psutil.Process) -> str:
    with suppress(psutil.AccessDenied):  # macOS hides the environment of its own programs
        return process.environ().get("HOME", "")
    return ""


async def reap_orphans() -> None:
    """Reap ended child processes that no other part of the fake waits for.

    The code that has started a process reaps it at once. So an ended child that is still there in
    the next round is an orphan.
    """
    previously_ended = set[int]()
    while True:
        ended = await asyncio.to_thread(_ended_children)
        _reap(ended & previously_ended)
        previously_ended = ended
        await asyncio.sleep(_REAP_INTERVAL)


def _reap(pids: set[int]) -> None:
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _ended_children() -> set[int]:
    pids = set[int]()
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.status() == psutil.STATUS_ZOMBIE:
                pids.add(child.pid)
    return pids
