"""What a wrong fake may do to this machine: signal its own processes, write in its own directory.

A fake that ends what runs in a sandbox, or removes its files, is one changed condition away from
ending and removing everything; this process then ends instead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Python's audit events about files, and which of their arguments are changed.
_CHANGED: Mapping[str, tuple[int, ...]] = {
    "os.chmod": (0,),
    "os.link": (1,),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.truncate": (0,),
}


def put_up(directory: Path, refuse: Callable[[str], NoReturn]) -> None:
    """From now on, refuse what reaches beyond what is this process's own."""
    fence = _Fence(directory)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not fence.lets(event, arguments):
            refuse(f"{event}{arguments}")

    sys.addaudithook(hook)


class _Fence:
    """Around what this process has started, and around a directory; devices are nobody's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own = os.getpid()
        # Who was started by one that is gone has no such ancestor any more, but still its session.
        self._sessions = {os.getsid(0)}

    def lets(self, event: str, arguments: tuple[Any, ...]) -> bool:
        """Tell whether something may be done."""
        match event, arguments:
            case "os.kill", (int(pid), _):
                return self._may_signal(pid)
            case "os.killpg", (int(group), _):
                return group > 0 and all(map(self._may_signal, _members(group)))
            case "open", (path, _, int(flags)):
                return not flags & _WRITING or self._may_change(path)
            case _:
                changed = (arguments[number] for number in _CHANGED.get(event, ()))
                return all(map(self._may_change, changed))

    def _may_signal(self, pid: int) -> bool:
        try:
            return pid > 0 and self._is_own(psutil.Process(pid))
        except (ProcessLookupError, psutil.NoSuchProcess):
            return True  # nobody is hurt
        except psutil.AccessDenied:
            return False

    def _is_own(self, process: psutil.Process) -> bool:
        session = os.getsid(process.pid)
        is_own = (
            session in self._sessions
            or self._own in {process.pid, *(each.pid for each in process.parents())}
            or Path(process.environ().get("HOME", "")).is_relative_to(self._directory)
        )
        if is_own:
            self._sessions.add(session)
        return is_own

    def _may_change(self, path: Any) -> bool:
        """Take what is relative for what is below a directory that was opened, or below this."""
        if isinstance(path, int):
            return True  # it is open already
        at = Path(os.fsdecode(path))
        places = (self._directory, Path("/dev"))
        return not at.is_absolute() or any(map(at.parent.resolve().is_relative_to, places))


def _members(group: int) -> list[int]:
    return [pid for pid in psutil.pids() if _group(pid) == group]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1
