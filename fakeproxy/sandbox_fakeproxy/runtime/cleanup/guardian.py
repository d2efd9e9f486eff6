"""Clean up after a fake that has ended: kill processes of its sandboxes, remove its directories.

`Guardian` starts this module as a separate program, which outlives the fake. Its stdin is a pipe
from the fake. Each line is a JSON object that maps every folder of sandboxes to whether it is
temporary; only the last line counts. When the fake ends or is killed, the pipe closes.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from sandbox_fakeproxy.runtime.walk import remove_tree

from .processes import kill_sandboxes_in

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Guardian:
    """Clean up folders of sandboxes if this process ends without doing so.

    A process has one guardian; its program runs while there is a folder to watch. Finalizers call
    its methods, and the garbage collector may run a finalizer during another call in the same
    thread. So changes are queued, and the outer call applies the change of a nested one.
    """

    def __init__(self) -> None:
        # Each folder with whether it is temporary; None to watch it no longer.
        self._changes = deque[tuple[str, bool | None]]()
        self._lock = threading.Lock()
        self._folders: dict[str, bool] = {}  # the watched ones, and whether each is temporary
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, folder: Path, *, is_temporary: bool) -> None:
        """When this process ends, kill the processes of a folder; remove it if it is temporary."""
        self._changes.append((str(folder), is_temporary))
        self._apply_changes()

    def forget(self, folder: Path) -> None:
        """Stop watching a folder."""
        self._changes.append((str(folder), None))
        self._apply_changes()

    def end(self) -> None:
        """Clean up all folders that are still watched, and wait until this is done."""
        with self._lock:
            if self._process is not None:
                self._process.communicate()

    def _apply_changes(self) -> None:
        while self._changes and self._lock.acquire(blocking=False):
            try:
                while self._changes:
                    self._apply(*self._changes.popleft())
            finally:
                self._lock.release()

    def _apply(self, folder: str, is_temporary: bool | None) -> None:
        if is_temporary is not None:
            self._folders[folder] = is_temporary
        elif self._folders.pop(folder, None) is None:
            return
        if self._folders:
            self._send_folders()
        elif self._process is not None:  # there is nothing to clean up
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _send_folders(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = self._start_program()
        assert self._process.stdin is not None  # noqa: S101  (it is a pipe)
        self._process.stdin.write(json.dumps(self._folders).encode() + b"\n")
        self._process.stdin.flush()

    def _start_program(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603  (this interpreter)
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # but no secrets
            start_new_session=True,  # neither Ctrl-C nor a hangup of the terminal reaches it
        )


GUARDIAN = Guardian()
atexit.register(GUARDIAN.end)


def run(lines: Iterable[str]) -> None:
    """Read all lines, then clean up the folders in the last complete one."""
    last = "{}"
    for line in lines:
        if line.endswith("\n"):
            last = line
    folders: dict[str, bool] = json.loads(last)
    for folder in folders:
        kill_sandboxes_in(Path(folder))
    for folder, is_temporary in folders.items():
        if is_temporary:
            remove_tree(Path(folder))


if __name__ == "__main__":
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    run(sys.stdin)
