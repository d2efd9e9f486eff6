"""Processes of git: their input, output and errors at once, deadlines, and their end from outside.

A process is the first of a group, to which its filters belong: all of it is ended together.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_client.errors import GitFailed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

_MAX_ERRORS = 16 * 1024  # bytes of standard error that are kept
_CHUNK = 64 * 1024
# Seconds for the last errors: a process that a filter has started may keep the pipe open.
_GRACE = 2.0


class Interrupt:
    """Ends the git processes of one transfer from another thread; no more are started then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_stopped = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Add a process; it is ended at once if `stop` was called."""
        with self._lock:
            self._running.add(process)
            if self._is_stopped:
                kill_group(process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """Remove a process that has ended."""
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """End all processes."""
        with self._lock:
            self._is_stopped = True
            for each in self._running:
                kill_group(each)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with those that it has started, unless it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Finished:
    """A command that has ended: its exit code, output and the end of its errors."""

    code: int
    output: bytes
    errors: bytes


class Running:
    """A process, with threads that feed it and read its errors while its output is read."""

    def __init__(
        self, process: subprocess.Popen[bytes], max_output: int, interrupt: Interrupt
    ) -> None:
        self._process = process
        self._max_output = max_output
        self._interrupt = interrupt
        self._errors = b""
        self._is_late = False

    def finish(self, verb: str, stdin: bytes | None, deadline: float) -> Finished:
        """Feed the process, and return its results when it has ended.

        Raises:
            GitFailed: it takes longer than `deadline` seconds, or prints too much.
        """
        helpers = [threading.Thread(target=self._read_errors)]
        if stdin is not None:
            helpers.append(threading.Thread(target=self._feed, args=(stdin,)))
        timer = threading.Timer(deadline, self._expire)
        for each in (*helpers, timer):
            each.daemon = True
            each.start()
        self._interrupt.add(self._process)
        try:
            output = self._read_output(verb)
            code = self._process.wait()
        except BaseException:
            self._kill()
            raise
        finally:
            self._interrupt.remove(self._process)
            timer.cancel()
            self._close(helpers)
        if self._is_late:
            raise GitFailed(
                f"git {verb} took longer than {deadline:.0f} s and was ended",
                advice="See how long `git status` takes in the repository: a filter of its"
                " configuration may wait, or the disk is slow. Then try again.",
            )
        return Finished(code, output, self._errors)

    def _read_output(self, verb: str) -> bytes:
        if self._process.stdout is None:
            return b""
        pieces: list[bytes] = []
        size = 0
        while piece := self._process.stdout.read(_CHUNK):
            pieces.append(piece)
            size += len(piece)
            if size > self._max_output:
                raise GitFailed(f"git {verb} printed more than {self._max_output} bytes")
        return b"".join(pieces)

    def _read_errors(self) -> None:
        if self._process.stderr is not None:
            with self._process.stderr as stream:
                while piece := os.read(stream.fileno(), _CHUNK):
                    self._errors = (self._errors + piece)[-_MAX_ERRORS:]

    def _feed(self, data: bytes) -> None:
        if self._process.stdin is not None:
            try:
                self._process.stdin.write(data)
                self._process.stdin.close()
            except OSError:  # it has ended; its exit code says why
                return

    def _expire(self) -> None:
        self._is_late = True
        self._kill()

    def _kill(self) -> None:
        kill_group(self._process)
        self._process.wait()

    def _close(self, helpers: Iterable[threading.Thread]) -> None:
        for each in helpers:
            each.join(_GRACE)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # the pipe of a process that has ended
                    continue
