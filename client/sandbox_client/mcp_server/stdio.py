"""The stdio transport of MCP: one JSON value per line.

Every request gets a response: an invalid line gets an error here, with the id of its request if it
has one. The transport of the `mcp` package drops such lines silently.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.shared.message import ServerMessageMetadata, SessionMessage

from .handshake import PROBE
from .messages import Refused, parse
from .pipe import ATOMIC, CHUNK, CLOSED, FAREWELL, LineBuffer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.server.lowlevel.server import Server

COMPLETION = 1.0  # seconds of FAREWELL to complete requests; the server cancels the others then


class Outstanding:
    """Count the requests that are neither answered nor cancelled."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = anyio.Event()

    def wrap(self, message: types.JSONRPCMessage) -> SessionMessage:
        """Return a message for the server, and count it if it is a request."""
        if not isinstance(message, types.JSONRPCRequest):
            return SessionMessage(message)
        self._count += 1
        return SessionMessage(message, ServerMessageMetadata(on_request_unanswered=self.settle))

    async def settle(self) -> None:
        """Subtract a request: it was answered, or it was cancelled and gets no response."""
        self._count -= 1
        self._changed.set()

    async def wait(self) -> None:
        """Wait until there are none."""
        while self._count:
            self._changed = anyio.Event()
            await self._changed.wait()


async def serve(
    server: Server[Any],
    reading: int,
    writing: int,
    *,
    received: bytes = b"",
    replayed: str = "",
    unsent: bytes = b"",
) -> None:
    """Serve MCP on two descriptors until the input ends or the other end of the output is closed.

    `received` is input that was read already, `unsent` output that comes before all responses. The
    response to the request with the id `replayed` is dropped.
    """
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    # Unbounded, so that a client that does not read cannot block the end of the input.
    outbox, responses = anyio.create_memory_object_stream[bytes](math.inf)
    if unsent:
        outbox.send_nowait(unsent)
    outstanding = Outstanding()
    # The outbox stays open until no task sends to it.
    async with responses, anyio.create_task_group() as connection:
        end = connection.cancel_scope
        connection.start_soon(_watch, writing, end)
        async with anyio.create_task_group() as tasks:
            reader = _Reader(server, to_server, outbox.clone(), outstanding)
            tasks.start_soon(reader.run, _lines(reading, received), end)
            tasks.start_soon(_collect, from_server, outbox, outstanding, replayed)
            tasks.start_soon(_write, writing, responses, end)
            await server.run(from_client, to_client, server.create_initialization_options())
        end.cancel()


class _Reader:
    """Pass the client's messages to the server, and respond to invalid ones."""

    def __init__(
        self,
        server: Server[Any],
        to_server: MemoryObjectSendStream[SessionMessage | Exception],
        outbox: MemoryObjectSendStream[bytes],
        outstanding: Outstanding,
    ) -> None:
        self._server = server
        self._to_server = to_server
        self._outbox = outbox
        self._outstanding = outstanding
        self._is_open = False  # whether a request has opened the session

    async def run(self, lines: AsyncIterator[bytes], end: anyio.CancelScope) -> None:
        """Read until the input ends, and complete the requests; cancel `end` after FAREWELL."""
        async with self._to_server, self._outbox:
            async for line in lines:
                if line.strip():
                    await self._receive(line)
            end.deadline = anyio.current_time() + FAREWELL
            # The server cancels its pending requests when its input ends.
            with anyio.move_on_after(COMPLETION):
                await self._outstanding.wait()

    async def _receive(self, line: bytes) -> None:
        try:
            message = parse(line)
        except Refused as refused:
            self._outbox.send_nowait(refused.line())
            return
        if isinstance(message, types.JSONRPCRequest) and not self._is_open:
            if message.method == PROBE:
                await self._respond_apart(message)
                return
            self._is_open = True
        if message is not None:
            await self._to_server.send(self._outstanding.wrap(message))

    async def _respond_apart(self, request: types.JSONRPCRequest) -> None:
        """Respond to a request in a session of its own.

        The server would refuse `initialize` after `server/discover` in one session. A client that
        only probes with the latter may still fall back to the former.
        """
        to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        to_client, from_server = anyio.create_memory_object_stream[SessionMessage](0)
        options = self._server.create_initialization_options()
        async with to_server, from_server, anyio.create_task_group() as tasks:
            tasks.start_soon(self._server.run, from_client, to_client, options)
            await to_server.send(SessionMessage(request))
            self._outbox.send_nowait(_line((await from_server.receive()).message))
            tasks.cancel_scope.cancel()


async def _lines(fd: int, received: bytes) -> AsyncIterator[bytes]:
    """Yield the lines of `received` and a stream; the last one may lack its newline."""
    buffer = LineBuffer(received)
    while True:
        for line in buffer.lines():
            yield line
        try:
            with contextlib.suppress(PermissionError):  # a file, which can always be read
                await anyio.wait_readable(fd)
            data = os.read(fd, CHUNK)
        except OSError:
            break
        if not data:
            break
        buffer.add(data)
    if line := buffer.take():
        yield line


async def _collect(
    from_server: MemoryObjectReceiveStream[SessionMessage],
    outbox: MemoryObjectSendStream[bytes],
    outstanding: Outstanding,
    replayed: str,
) -> None:
    """Put the server's messages into the outbox."""
    async with from_server, outbox:
        async for session_message in from_server:
            message = session_message.message
            if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
                await outstanding.settle()
                if replayed and message.id == replayed:
                    continue
            outbox.send_nowait(_line(message))


def _line(message: types.JSONRPCMessage) -> bytes:
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


async def _write(
    fd: int, responses: MemoryObjectReceiveStream[bytes], end: anyio.CancelScope
) -> None:
    """Write all responses; cancel `end` if writing fails."""
    try:
        async for response in responses:
            left = memoryview(response)
            while left:
                with contextlib.suppress(PermissionError):  # a file
                    await anyio.wait_writable(fd)
                left = left[os.write(fd, left[:ATOMIC]) :]
    except OSError:
        end.cancel()


async def _watch(fd: int, end: anyio.CancelScope) -> None:
    """Cancel `end` when the other end of the output is closed, even between responses.

    A socket may be the input, too, or the client may have closed its direction to the server only:
    then only writing shows whether the other end is closed.
    """
    poller = select.poll()
    poller.register(fd, CLOSED)
    with contextlib.suppress(PermissionError):  # a file
        await anyio.wait_readable(fd)
    if dict(poller.poll(0)).get(fd, 0) & CLOSED:
        end.cancel()
