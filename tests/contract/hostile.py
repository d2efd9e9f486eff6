"""A server that misbehaves on the level of TCP, from its start or in the middle of a run."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

MODES = ("hang", "trickle", "endless", "garbage")
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
_BLOCK = b"x" * 65_536
_PAUSE = 0.02  # seconds between two bytes of a trickle


class Relay:
    """Relay connections to a server, and misbehave from the first request that has `trigger`.

    Without an upstream port it misbehaves from its start. `on_turn` is called at that request.
    `unanswered` receives that request and those that follow.
    """

    def __init__(
        self,
        mode: str,
        upstream: int | None,
        trigger: bytes,
        on_turn: Callable[[], object],
        unanswered: list[bytes],
    ) -> None:
        self._unanswered = unanswered
        self._mode = mode
        self._upstream = upstream
        self._trigger = trigger
        self._on_turn = on_turn
        self._is_hostile = upstream is None
        self._tasks: set[asyncio.Task[object]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):  # the latter at the server's end
            await self._serve(reader, writer)
        writer.transport.abort()  # what the other side does not read must not keep it open

    async def stop(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._upstream is None:
            await reader.read(len(_BLOCK))
            await self._misbehave(writer)
            return
        answers, requests = await asyncio.open_connection("127.0.0.1", self._upstream)
        copying = asyncio.create_task(_copy(answers, writer))
        try:
            while request := await reader.read(len(_BLOCK)):
                if not self._is_hostile and self._trigger in request:
                    self._is_hostile = True
                    self._on_turn()
                if self._is_hostile:
                    self._unanswered.append(request)
                    await self._misbehave(writer)
                    return
                requests.write(request)
        finally:
            copying.cancel()
            requests.transport.abort()
            await asyncio.wait({copying})

    async def _misbehave(self, writer: asyncio.StreamWriter) -> None:
        if self._mode == "garbage":
            writer.write(b"\x00\x1b]0;garbage\x07\r\n" * 8)
            await writer.drain()
            return
        if self._mode == "hang":
            await asyncio.Event().wait()
        writer.write(_HEAD)
        while True:
            if self._mode == "trickle":
                await asyncio.sleep(_PAUSE)
            writer.write(b" " if self._mode == "trickle" else _BLOCK)
            await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while block := await reader.read(len(_BLOCK)):
            writer.write(block)
            await writer.drain()


@contextmanager
def hostile_server(
    mode: str,
    upstream: int | None = None,
    trigger: bytes = b"",
    on_turn: Callable[[], object] = lambda: None,
    unanswered: list[bytes] | None = None,
) -> Generator[str]:
    """Serve a `Relay` in a thread, and yield its address."""
    address: Future[str] = Future()
    stop: Future[Callable[[], object]] = Future()
    requests = list[bytes]() if unanswered is None else unanswered
    relay = Relay(mode, upstream, trigger, on_turn, requests)

    async def run() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
        server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
        address.set_result(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await stopped.wait()
        server.close()
        await relay.stop()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        yield address.result(timeout=10)
    finally:
        stop.result(timeout=10)()
        thread.join(timeout=10)
