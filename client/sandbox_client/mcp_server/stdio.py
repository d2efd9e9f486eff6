"""The stdio transport of MCP: one JSON value per line.

Every request gets a response: an invalid line gets an error here, with the id of its request if it
has one. The transport of the `mcp` package drops such lines silently.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage

from .messages import Refused, RequestId, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.server.lowlevel.server import Server

CHUNK = 65_536  # bytes
ATOMIC = 4_096  # bytes that a pipe takes without waiting, once it takes any
# Seconds after the end of the input to complete requests, and then to write the responses.
FAREWELL = 1.0


@dataclass(frozen=True)
class Streams:
    """The file descriptors of the client's two streams."""

    reading: int
    writing: int


@contextlib.contextmanager
def private_streams() -> Generator[Streams]:
    """Reserve standard input and output for messages in the body.

    Descriptor 0 is empty and descriptor 1 is standard error until the end of the body, so that
    neither a stray print nor a child process disturbs the messages.
    """
    # Above 2, since a standard descriptor that is closed would be reused.
    streams = Streams(*(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in (0, 1)))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)
    try:
        yield streams
    finally:
        os.dup2(streams.reading, 0)
        os.dup2(streams.writing, 1)
        os.close(streams.reading)
        os.close(streams.writing)


class Outstanding:
    """The requests without a response."""

    def __init__(self) -> None:
        self._ids: set[RequestId] = set()
        self._is_over: anyio.Event | None = None

    def see(self, message: types.JSONRPCMessage) -> None:
        """Add a request, or remove it at its response or its cancellation."""
        match message:
            case types.JSONRPCRequest(id=request_id):
                self._ids.add(request_id)
            case types.JSONRPCResponse(id=request_id) | types.JSONRPCError(id=request_id):
                self._ids.discard(request_id)
            case types.JSONRPCNotification(method="notifications/cancelled", params=dict(params)):
                self._ids.discard(params.get("requestId"))
            case _:
                pass
        if self._is_over is not None and not self._ids:
            self._is_over.set()

    async def wait(self) -> None:
        """Wait until there are none."""
        self._is_over = anyio.Event()
        if self._ids:
            await self._is_over.wait()


async def serve(
    server: Server[Any],
    streams: Streams,
    *,
    received: bytes = b"",
    replayed: str = "",
    unsent: bytes = b"",
) -> None:
    """Serve MCP until the input ends or the other end of the output is closed.

    `received` is input that was read already, `unsent` output that comes before all responses. The
    response to the request with the id `replayed` is dropped.
    """
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    # Unbounded, so that a client that does not read cannot block the end of the input.
    outbox, answers = anyio.create_memory_object_stream[bytes](math.inf)
    if unsent:
        outbox.send_nowait(unsent)
    outstanding, written = Outstanding(), anyio.Event()
    lines = _lines(streams.reading, received)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, lines, to_server, outbox.clone(), outstanding)
        tasks.start_soon(_collect, from_server, outbox, outstanding, replayed)
        tasks.start_soon(_watch, streams.writing, tasks.cancel_scope)
        tasks.start_soon(_write, streams.writing, answers, written, tasks.cancel_scope)
        await server.run(from_client, to_client, server.create_initialization_options())
        with anyio.move_on_after(FAREWELL):
            await written.wait()
        tasks.cancel_scope.cancel()


async def _read(
    lines: AsyncIterator[bytes],
    to_server: MemoryObjectSendStream[SessionMessage | Exception],
    outbox: MemoryObjectSendStream[bytes],
    outstanding: Outstanding,
) -> None:
    async with to_server, outbox:
        async for line in lines:
            if not line.strip():
                continue
            try:
                message = parse(line)
            except Refused as refused:
                outbox.send_nowait(refused.line())
                continue
            if message is not None:
                outstanding.see(message)
                await to_server.send(SessionMessage(message))
        # The server cancels its pending requests when its input ends.
        with anyio.move_on_after(FAREWELL):
            await outstanding.wait()


async def _lines(fd: int, received: bytes) -> AsyncIterator[bytes]:
    """Yield the lines of `received` and a stream; the last one may lack its newline."""
    buffer, searched = bytearray(received), 0
    while True:
        while (end := buffer.find(b"\n", searched)) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            searched = 0
            yield line
        searched = len(buffer)
        with contextlib.suppress(PermissionError):  # a file, which can always be read
            await anyio.wait_readable(fd)
        data = os.read(fd, CHUNK)
        if not data:
            break
        buffer += data
    if buffer:
        yield bytes(buffer)


async def _collect(
    from_server: MemoryObjectReceiveStream[SessionMessage],
    outbox: MemoryObjectSendStream[bytes],
    outstanding: Outstanding,
    replayed: str,
) -> None:
    async with from_server, outbox:
        async for message in from_server:
            outstanding.see(message.message)
            if replayed and getattr(message.message, "id", None) == replayed:
                continue
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            outbox.send_nowait(text.encode() + b"\n")


async def _write(
    fd: int,
    answers: MemoryObjectReceiveStream[bytes],
    written: anyio.Event,
    everything: anyio.CancelScope,
) -> None:
    """Write all responses, then set `written`; cancel `everything` if writing fails."""
    try:
        async with answers:
            async for answer in answers:
                left = memoryview(answer)
                while left:
                    with contextlib.suppress(PermissionError):  # a file
                        await anyio.wait_writable(fd)
                    left = left[os.write(fd, left[:ATOMIC]) :]
    except OSError:
        everything.cancel()
    written.set()


async def _watch(fd: int, everything: anyio.CancelScope) -> None:
    """Cancel `everything` when the other end of the output is closed, even between responses."""
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    # This end is only written to: it becomes readable when the other end is closed.
    await anyio.wait_readable(fd)
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(fd)) as end, contextlib.suppress(ConnectionError):
            if end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return
    everything.cancel()
