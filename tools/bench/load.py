"""A minimal HTTP/1.1 client for load tests, with open connections and prebuilt requests.

httpx takes longer to send a request than the measured servers take to respond.
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

GRACE = 20.0  # seconds after the end of the load, until the server counts as hung
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class LoadFailed(Exception):
    """The server sent an unexpected response, or none in time."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The bytes of a request, and the status of the expected response."""

    request: bytes
    status: int

    @classmethod
    def of(
        cls, method: str, path: str, *, key: str, status: int, body: dict[str, str] | None = None
    ) -> Exchange:
        """Build the request from its parts."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
        content = b""
        if body is not None:
            content = json.dumps(body).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return cls("\r\n".join(lines).encode() + _HEAD_END + content, status)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The seconds of each round of all connections, and of the whole load."""

    times: Sequence[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Rounds per second."""
        return len(self.times) / self.seconds


async def load(
    url: str, scripts: Sequence[Sequence[Exchange]], *, seconds: float, rounds: int | None = None
) -> LoadResult:
    """Repeat each script on its own connection and return the times of the rounds.

    No round starts after `seconds`, nor on a connection that has completed `rounds` of them.

    Raises:
        LoadFailed: a response is unexpected, or late.
    """
    port = urlsplit(url).port or 80
    connections = [_Connection(script, rounds) for script in scripts]
    start = 0.0
    try:
        async with asyncio.timeout(seconds + GRACE):
            for connection in connections:
                await connection.open(port)
            start = time.perf_counter()
            for connection in connections:
                connection.start(until=start + seconds)
            await _busy_wait(asyncio.gather(*(connection.ended for connection in connections)))
    except (OSError, TimeoutError) as exc:
        raise LoadFailed(f"{url} does not respond under load: {exc!r}") from exc
    finally:
        for connection in connections:
            connection.close()
    took = time.perf_counter() - start
    return LoadResult([each for connection in connections for each in connection.times], took)


async def _busy_wait(work: asyncio.Future[list[None]]) -> None:
    """Wait without sleeping: waking this process would take time from a server on the same core."""
    while not work.done():  # noqa: ASYNC110  (busy on purpose)
        await asyncio.sleep(0)
    await work


class _Connection(asyncio.Protocol):
    """A connection that repeats a script."""

    def __init__(self, script: Sequence[Exchange], rounds: int | None) -> None:
        self.times: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._script = script
        self._rounds = rounds
        self._step = 0
        self._received = b""
        self._began = self._until = 0.0
        self._transport = asyncio.Transport()  # a placeholder until `open`

    async def open(self, port: int) -> None:
        """Connect to a server on this machine."""
        self._transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: self, "127.0.0.1", port
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server closed the connection: {exc!r}")

    def start(self, *, until: float) -> None:
        """Send the first request; start no round after `until`, a value of perf_counter."""
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
                self._fail(f"a response without a Content-Length: {received!r}")
            return
        if len(received) < head_end + len(_HEAD_END) + int(length[1]):
            self._received = received
            return
        self._received = b""
        if int(received[9:12]) != self._script[self._step].status:
            self._fail(f"{self._script[self._step]} got the response {received!r}")
            return
        self._next_step()

    def _next_step(self) -> None:
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
