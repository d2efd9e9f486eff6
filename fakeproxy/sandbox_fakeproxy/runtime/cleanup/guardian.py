"""Clean up after a fake that is gone: end the processes of its sandboxes, remove its directories.

`Guardian` starts this module as a program of its own, which outlives the fake by a moment. Its
stdin is a pipe from the fake. Each line is a JSON object with all folders of sandboxes, and whether
each is temporary; the last line counts. The end of the pipe is the end of the fake.
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
    """Have folders of sandboxes cleaned up should this process end without doing so.

    There is one for this process. Its program runs as long as there is a folder to watch.
    Finalizers call it, and the garbage collector may run one during another call in the same
    thread. So changes are queued, and a nested call leaves its change to the outer one.
    """

    def __init__(self) -> None:
        self._changes = deque[tuple[str, bool | None]]()  # as in `_folders`; None: no more
        self._lock = threading.Lock()
        self._folders: dict[str, bool] = {}  # those watched, and whether each is temporary
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, folder: Path, *, is_temporary: bool) -> None:
        """End the processes below a folder, and remove it if it is temporary, at the end."""
        self._changes.append((str(folder), is_temporary))
        self._carry_out()

    def forget(self, folder: Path) -> None:
        """Watch a folder no more."""
        self._changes.append((str(folder), None))
        self._carry_out()

    def end(self) -> None:
        """Have all that is still watched cleaned up, and wait for that."""
        with self._lock:
            if self._process is not None:
                self._process.communicate()

    def _carry_out(self) -> None:
        while self._changes and self._lock.acquire(blocking=False):
            try:
                while self._changes:
                    self._change(*self._changes.popleft())
            finally:
                self._lock.release()

    def _change(self, folder: str, is_temporary: bool | None) -> None:
        if is_temporary is not None:
            self._folders[folder] = is_temporary
        elif self._folders.pop(folder, None) is None:
            return
        if self._folders:
            self._tell()
        elif self._process is not None:  # it has nothing to clean up
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _tell(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        assert self._process.stdin is not None  # noqa: S101  (it is a pipe)
        self._process.stdin.write(json.dumps(self._folders).encode() + b"\n")
        self._process.stdin.flush()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603  (this interpreter)
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # and no key
            start_new_session=True,  # neither Ctrl-C nor the end of a terminal reaches it
        )


GUARDIAN = Guardian()
atexit.register(GUARDIAN.end)


def run(lines: Iterable[str]) -> None:
    """Read lines to their end, and then clean up the folders of the last whole one."""
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
