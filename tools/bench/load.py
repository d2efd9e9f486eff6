"""A small HTTP/1.1 client, quick enough to load a server: open connections, requests made before.

httpx takes longer for a request than the servers that are measured take to answer it.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 20.0  # seconds beyond what was asked for, until the server counts as hung
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class LoadFailed(Exception):
    """The server did not answer as it should."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as its bytes, and the status of the one right answer."""

    request: bytes
    status: int

    @classmethod
    def of(
        cls, method: str, path: str, *, key: str, status: int, body: dict[str, str] | None = None
    ) -> Exchange:
        """Write a request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
        content = b""
        if body is not None:
            content = json.dumps(body).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return cls("\r\n".join(lines).encode() + _HEAD_END + content, status)


@dataclass(frozen=True, slots=True)
class Loaded:
    """How long each round of a script took, over all connections, and all of them together."""

    times: Sequence[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Return rounds per second."""
        return len(self.times) / self.seconds


async def load(
    url: str, scripts: Sequence[Sequence[Exchange]], *, seconds: float, rounds: int | None = None
) -> Loaded:
    """Repeat each script on a connection of its own; return how long its rounds took.

    It ends after `seconds`, or when every connection has done its `rounds`; a round that was
    begun is done to its end.

    Raises:
        LoadFailed: an answer is wrong, or late.
    """
    port = urlsplit(url).port or 80
    connections = [_Connection(script, rounds) for script in scripts]
    start = 0.0
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            for connection in connections:
                await connection.open(port)
            start = time.perf_counter()
            for connection in connections:
                connection.start(until=start + seconds)
            await _awake(asyncio.gather(*(connection.ended for connection in connections)))
    except (OSError, TimeoutError) as exc:
        raise LoadFailed(f"{url} does not answer under load: {exc!r}") from exc
    finally:
        for connection in connections:
            connection.close()
    took = time.perf_counter() - start
    return Loaded([each for connection in connections for each in connection.times], took)


async def _awake(work: asyncio.Future[list[None]]) -> None:
    """Wait without sleeping: to wake a client costs the server, and more the faster it is."""
    while not work.done():  # noqa: ASYNC110  (not to sleep is the purpose)
        await asyncio.sleep(0)
    await work


class _Connection(asyncio.Protocol):
    """One connection, on which a script is repeated."""

    def __init__(self, script: Sequence[Exchange], rounds: int | None) -> None:
        self.times: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._script = script
        self._rounds = rounds
        self._step = 0
        self._received = b""
        self._began = self._until = 0.0
        self._transport = asyncio.Transport()  # until it is open

    async def open(self, port: int) -> None:
        """Connect to a server on this machine."""
        self._transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: self, "127.0.0.1", port
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server closed the connection: {exc!r}")

    def start(self, *, until: float) -> None:
        """Send the first request; begin no round after `until`."""
        self._until = until
        self._began = time.perf_counter()
        self._send()

    def close(self) -> None:
        self._transport.close()
        self.ended.cancel()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(_HEAD_END)
        length = _LENGTH.search(received, 0, head_end) if head_end >= 0 else None
        if length is None:
            self._received = received
            if head_end >= 0:
                self._fail(f"a reply without a length: {received!r}")
            return
        if len(received) < head_end + len(_HEAD_END) + int(length[1]):
            self._received = received
            return
        self._received = b""
        if int(received[9:12]) != self._script[self._step].status:
            self._fail(f"{self._script[self._step]} was answered with {received!r}")
            return
        self._go_on()

    def _go_on(self) -> None:
        self._step += 1
        if self._step == len(self._script):
            self._step = 0
            now = time.perf_counter()
            self.times.append(now - self._began)
            self._began = now
            if now >= self._until or len(self.times) == self._rounds:
                self.ended.set_result(None)
                return
        self._send()

    def _send(self) -> None:
        self._transport.write(self._script[self._step].request)

    def _fail(self, message: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(LoadFailed(message))
