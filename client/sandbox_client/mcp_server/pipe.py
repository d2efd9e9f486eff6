"""Read and write the byte streams of the MCP server with the standard library only.

`handshake` uses all of it, and `stdio` the parts that do not depend on an event loop.
"""

from __future__ import annotations

import _thread  # `threading` takes longer to import
import fcntl
import os
import select
import time

TYPE_CHECKING = False  # importing `typing` would take longer than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 65_536  # bytes
ATOMIC = 4_096  # bytes that a pipe takes without waiting, once it takes any
# Seconds after the end of the input to complete requests and to write the responses. The time to
# load the server and to end the process is added: about 0.5 s, and more on a busy machine, so that
# the server ends within 2 s even if the client reads nothing.
FAREWELL = 1.1
CLOSED = select.POLLERR | select.POLLHUP  # events: the other end of the output is closed


def reserve_streams() -> tuple[int, int]:
    """Return private descriptors of standard input and output, for messages only.

    Until the process ends, descriptor 0 is empty and descriptor 1 is standard error, so that
    neither a stray print, flushed late or early, nor a child process disturbs the messages.
    """
    # Above 2, since a standard descriptor that is closed would be reused.
    reading, writing = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in (0, 1))
    null = os.open(os.devnull, os.O_RDWR)  # it becomes descriptor 2 if standard error is closed
    os.dup2(null, 0)
    os.dup2(2, 1)
    if null != 2:
        os.close(null)
    return reading, writing


class LineBuffer:
    """Split bytes that arrive in pieces into lines, in linear time."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)
        self._searched = 0  # bytes without a newline

    def add(self, data: bytes) -> None:
        """Append bytes to the rest of the last line."""
        self._data += data

    def lines(self) -> Iterator[bytes]:
        """Remove and yield each complete line, with its newline."""
        while end := self._data.find(b"\n", self._searched) + 1:
            line = bytes(self._data[:end])
            del self._data[:end]
            self._searched = 0
            yield line
        self._searched = len(self._data)

    def take(self) -> bytes:
        """Remove and return the remaining bytes."""
        data = bytes(self._data)
        self._data.clear()
        self._searched = 0
        return data


class Pipe:
    """Read lines from one descriptor, and write the `outbox` to another meanwhile.

    An error of either, such as a closed or full output, is the end of both.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self.writing = writing
        self.buffer = LineBuffer()
        self.outbox = bytearray()

    def lines(self) -> Iterator[bytes]:
        """Yield each line with its newline, which the last line may lack."""
        yield from self.buffer.lines()
        while self._wait():
            yield from self.buffer.lines()
        if line := self.buffer.take():
            yield line
        self._drain()

    def flush(self) -> None:
        """Write as much of the outbox as the other end takes at once."""
        while self.outbox and self._write(timeout=0):
            pass

    def _wait(self) -> bool:
        """Read or write once; return whether both streams are still open."""
        poller = select.poll()
        poller.register(self.reading, select.POLLIN)
        poller.register(self.writing, select.POLLOUT if self.outbox else 0)
        events = dict(poller.poll())
        if self.writing in events and not self._write(timeout=0):
            self.buffer.take()
            return False
        return self.reading not in events or self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self.reading, CHUNK)
        except OSError:
            return False
        self.buffer.add(data)
        return bool(data)

    def _drain(self) -> None:
        """Write the rest of the outbox, for at most FAREWELL seconds."""
        deadline = time.monotonic() + FAREWELL
        while self.outbox and (left := deadline - time.monotonic()) > 0:
            self._write(timeout=left)

    def _write(self, timeout: float) -> bool:
        """Write once, within `timeout` seconds; return whether bytes were written.

        If the output is closed or cannot be written, the outbox is cleared.
        """
        poller = select.poll()
        poller.register(self.writing, select.POLLOUT)
        events = dict(poller.poll(timeout * 1000)).get(self.writing, 0)
        if not events:
            return False
        try:
            written = 0 if events & CLOSED else os.write(self.writing, self.outbox[:ATOMIC])
        except OSError:
            written = 0
        if written:
            del self.outbox[:written]
        else:
            self.outbox.clear()
        return written > 0


class OutputWatchdog:
    """End the process as soon as the other end of the output is closed, until `stop`."""

    def __init__(self, writing: int) -> None:
        self._is_active = True
        _thread.start_new_thread(self._run, (writing,))

    def stop(self) -> None:
        """Let the process go on. The thread waits until it ends."""
        self._is_active = False

    def _run(self, writing: int) -> None:
        poller = select.poll()
        poller.register(writing, CLOSED)
        if poller.poll()[0][1] & CLOSED and self._is_active:
            os._exit(0)
