"""A slow line between a client and a server of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Generator

CHUNK = 4096  # bytes


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    bytes_per_second: float,
    latency: float,
) -> None:
    """Forward bytes at a rate, each chunk after the latency."""
    loop = asyncio.get_running_loop()
    sent = loop.time()
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            sent = max(sent, loop.time()) + len(chunk) / bytes_per_second
            loop.call_at(sent + latency, writer.write, chunk)
            await asyncio.sleep(sent - loop.time())
    loop.call_at(sent + latency, writer.close)


@contextlib.contextmanager
def slow_line(url: str, *, bytes_per_second: float, latency: float) -> Generator[str]:
    """Provide the URL of a line to the server at `url`; `latency` in seconds is for one way."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    loop = asyncio.new_event_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(_carry(source, target, bytes_per_second, latency))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def stop() -> None:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(connect, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
