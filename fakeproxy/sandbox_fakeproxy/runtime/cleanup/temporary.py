"""Temporary directories, which are removed by their fake, by its guardian or by the next fake."""

import fcntl
import os
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from sandbox_fakeproxy.runtime.walk import remove_tree

from .guardian import GUARDIAN
from .processes import kill_sandboxes_in

PREFIX = "sandbox-fakeproxy-"
_LOCK = "lock"  # a file that the fake keeps locked until it ends
_MIN_AGE = 60.0  # seconds; a younger directory may have no lock yet


class TemporaryDirectory:
    """A temporary directory that this fake owns until `remove`."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        # Locked under another name first: a sweep of another fake must never find it unlocked.
        unlocked = self.path / f"{_LOCK}.new"
        self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(self.path / _LOCK)

    def guard(self) -> None:
        """Start the guardian, which removes the directory if this process is killed.

        The first call also removes the directories of earlier fakes that were killed.
        """
        if self._lock >= 0:
            sweep()
            GUARDIAN.watch(self.path, is_temporary=True)

    def remove(self) -> None:
        """Remove the directory and its contents."""
        if self._lock >= 0:
            GUARDIAN.forget(self.path)
            remove_tree(self.path)
            os.close(self._lock)
            self._lock = -1


@cache  # runs once per process
def sweep() -> None:
    """Remove the temporary directories of fakes that have ended, and kill processes in them."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if directory.lstat().st_uid == os.getuid() and _has_no_owner(directory):
                kill_sandboxes_in(directory)
                remove_tree(directory)


def _has_no_owner(directory: Path) -> bool:
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        # The machine's time, even while a test replaces `time.time`.
        now = time.clock_gettime(time.CLOCK_REALTIME)
        return now - directory.stat().st_mtime > _MIN_AGE
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
