"""Read and write non-blocking descriptors in the running event loop."""

import asyncio
import os
from collections.abc import Callable

WRITE_LIMIT = 16 * 1024 * 1024  # bytes; as much as a request may have
_CHUNK = 65_536  # bytes
_CHUNKS_AT_ONCE = 16  # then the event loop runs other callbacks, however much a command writes


class NonBlockingReader:
    """Pass the bytes that can be read from a descriptor to a callback, chunk by chunk.

    The descriptor stays open at its end, which `on_end` handles, and after `close`: its owner
    closes it.
    """

    def __init__(
        self,
        descriptor: int,
        on_chunk: Callable[[bytes], None],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._descriptor = descriptor
        self._on_chunk = on_chunk
        self._on_end = on_end
        self._is_open = True
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def drain(self) -> None:
        """Read what can be read without waiting."""
        while self._is_open and self._read():
            pass

    def close(self) -> None:
        """Read no more."""
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().remove_reader(self._descriptor)

    def _read(self) -> bool:
        """Read some chunks; return whether more may be readable without waiting."""
        for _ in range(_CHUNKS_AT_ONCE):
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                return False
            except OSError:  # of a terminal, on Linux, after a hangup: the shell has ended
                chunk = b""
            if not chunk:
                self.close()
                self._on_end()
                return False
            self._on_chunk(chunk)
            if not self._is_open:
                return False
        return True


class NonBlockingWriter:
    """Write bytes to a non-blocking descriptor, and keep those that it does not take yet."""

    def __init__(self, descriptor: int, limit: int = WRITE_LIMIT) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._pending = bytearray()
        self._is_waiting = False

    def send(self, data: bytes) -> bool:
        """Write data, now or later; return False, without writing it, if too much is pending."""
        if self._descriptor < 0:
            return True  # closed: no reader is left, as when a program has ended
        self._flush()
        fits = len(self._pending) + len(data) <= self._limit
        if fits:
            self._pending += data
            self._flush()
        return fits

    def close(self) -> None:
        """Discard pending data and write no more.

        The descriptor stays open: its owner closes it, and its number may then be reused.
        """
        self._pending.clear()
        self._set_waiting(waiting=False)
        self._descriptor = -1

    def _flush(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._descriptor, self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            self._pending.clear()
        self._set_waiting(waiting=bool(self._pending))

    def _set_waiting(self, *, waiting: bool) -> None:
        if waiting == self._is_waiting:
            return
        self._is_waiting = waiting
        loop = asyncio.get_running_loop()
        if waiting:
            loop.add_writer(self._descriptor, self._flush)
        else:
            loop.remove_writer(self._descriptor)
