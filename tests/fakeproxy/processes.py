"""Bounded waiting for other processes."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

TIMEOUT = 15.0  # seconds; far more than anything here takes on a busy machine


async def wait_until(condition: Callable[[], bool], *, within: float = TIMEOUT) -> None:
    """Wait until a condition about another process holds; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {within:g} s"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return pid != 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_in(file: Path) -> list[int]:
    """Read process ids that commands have written, a line each; return them as this machine's.

    The file is in one of a sandbox's directories. A process that has ended is 0.
    """
    if not file.exists():
        return []
    lines = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [_pid_on_this_machine(int(line), file.parent.parent / "sandbox") for line in lines]


def _pid_on_this_machine(pid: int, work: Path) -> int:
    """Return the id of a process that may have another one in the jail with `work`."""
    if not (work.parent / "accounts").exists():
        return pid
    for each in pids_in_jail(work):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{each}/status").read_text()
            if int(status.partition("NSpid:")[2].split("\n")[0].split()[-1]) == pid:
                return each
    return 0


def pids_in_jail(work: Path) -> list[int]:
    """Return this machine's ids of the processes in the jail which has `work` as /sandbox."""
    found: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if work.samefile(f"/proc/{process.pid}/root/sandbox"):
                found.append(process.pid)
    return found


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  (names are all that is counted)
