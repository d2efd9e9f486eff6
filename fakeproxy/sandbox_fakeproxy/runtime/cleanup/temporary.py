"""Temporary directories that are removed: by their fake, by its guardian, or by the next fake."""

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
_LOCK = "lock"  # held as long as the fake lives
_NEWEST = 60.0  # seconds; a younger directory may not have its lock yet


class TemporaryDirectory:
    """A temporary directory of this fake, until `remove`."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        # Another fake's sweep must not find it before it is locked.
        unlocked = self.path / f"{_LOCK}.new"
        self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(self.path / _LOCK)

    def guard(self) -> None:
        """Have it removed should this process be killed; clean up after those that were.

        It starts a process.
        """
        if self._lock >= 0:
            sweep()
            GUARDIAN.watch(self.path, is_temporary=True)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        if self._lock >= 0:
            GUARDIAN.forget(self.path)
            remove_tree(self.path)
            os.close(self._lock)
            self._lock = -1


@cache  # once for a process
def sweep() -> None:
    """Remove the temporary directories of fakes that are gone, and end processes in them."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if directory.lstat().st_uid == os.getuid() and _has_no_owner(directory):
                kill_sandboxes_in(directory)
                remove_tree(directory)


def _has_no_owner(directory: Path) -> bool:
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        # The machine's time, also where a test has replaced `time.time`.
        now = time.clock_gettime(time.CLOCK_REALTIME)
        return now - directory.stat().st_mtime > _NEWEST
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
