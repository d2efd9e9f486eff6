"""Work in forked children, a few at once, each with a directory of its own and a time limit.

This process must have one thread, as a child of more would inherit locks that nobody releases.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tests.mutation import fence
from tests.mutation.family import end_family

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What a child does in its directory; it tells one thing, and is ended once it has.
Tell = Callable[[Any], None]
Work = Callable[[Path, Tell], None]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GLANCE = 0.2  # seconds between two looks at the clock, and at whether to stop
_OVERTIME = 30  # seconds after which a child ends by itself, as its parent must be dead
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Failure:
    """A child broke before it could tell anything."""

    why: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """A child did not tell anything in time."""


class Child:
    """A process that does some work, from its fork on."""

    def __init__(self, work: Work, seconds: float) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="async-remote-agent-mutant-")).resolve()
        self.started = time.monotonic()
        self.deadline = self.started + seconds
        self.pipe, its_end = Pipe(duplex=False)
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, self.directory, its_end, int(seconds) + _OVERTIME)
        its_end.close()

    def end(self) -> int:
        """Kill it with all that it has started, remove its directory, and return its status."""
        status = end_family(self.pid, self.directory)
        self.pipe.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        return status

    def answer(self) -> object:
        """Return what it has told, if it has; and end it."""
        try:
            told = self.pipe.recv() if self.pipe.poll() else Overdue()
        except (EOFError, OSError):
            return Failure(f"its process ended with status {self.end()}")
        self.end()
        return told


def answers(
    works: Iterable[tuple[_Key, Work]],
    *,
    jobs: int,
    seconds: float,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[_Key, object, float]]:
    """Do works, `jobs` at once; yield what each has told, a Failure or an Overdue, and its seconds.

    Whenever it ends, no child is left.
    """
    waiting = deque(works)
    running: dict[Connection[Any, Any], tuple[_Key, Child]] = {}
    try:
        while (waiting or running) and not is_stopped():
            while waiting and len(running) < jobs:
                key, work = waiting.popleft()
                child = Child(work, seconds)
                running[child.pipe] = key, child
            for pipe in _done(running):
                key, child = running[pipe]
                answer, taken = child.answer(), time.monotonic() - child.started
                del running[pipe]
                yield key, answer, taken
    finally:
        for _, child in running.values():
            child.end()


def _done(running: dict[Connection[Any, Any], tuple[_Key, Child]]) -> list[Connection[Any, Any]]:
    """Return where something was told by now, or should have been."""
    ready = wait(list(running), timeout=_GLANCE)
    now = time.monotonic()
    return [pipe for pipe, (_, child) in running.items() if pipe in ready or child.deadline < now]


def _live(work: Work, directory: Path, pipe: Connection[Any, Any], seconds: int) -> NoReturn:
    """Do the work as a child, and wait for the end."""

    def refuse(what: str) -> NoReturn:
        pipe.send(Failure(f"it is not allowed {what}"))
        os._exit(1)

    try:
        _settle(directory, seconds)
        fence.put_up(directory, refuse)
        work(directory, pipe.send)
        signal.pause()
    except BaseException as exc:  # noqa: BLE001  # whatever it is: the parent hears of it
        pipe.send(Failure(f"{type(exc).__name__}: {exc}"))
    finally:
        os._exit(0)


def _settle(directory: Path, seconds: int) -> None:
    """Become a process of its own: nothing it says, writes or ends is its parent's."""
    os.setsid()
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.chdir(directory)
    tempfile.tempdir = str(directory)
    sys.dont_write_bytecode = True
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
