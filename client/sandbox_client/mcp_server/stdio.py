"""The stdio transport of MCP: one JSON value per line.

Every request gets a response: an invalid line gets an error here, with the id of its request if it
has one. The transport of the `mcp` package drops such lines silently.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import re
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.server.lowlevel.server import Server

CHUNK = 65_536  # bytes
ATOMIC = 4_096  # bytes that a pipe takes without waiting, once it takes any
# Seconds after the end of the input to complete requests, and then to write the responses.
FAREWELL = 1.0
LONGEST_INTEGER = 4_300  # digits, as in Python
# Arguments that must not be changed: a command and the content of a file.
EXACT_ARGUMENTS = ("command", "content")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)

RequestId = str | int | float | None


class Refused(Exception):
    """A line is invalid: the error of its response, and the id of its request, if any."""

    def __init__(self, code: int, message: str, request_id: RequestId = None) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id

    def line(self) -> bytes:
        """Return the response as a line."""
        error = {"code": self.code, "message": str(self)}
        return _line({"jsonrpc": "2.0", "id": self.request_id, "error": error})


def parse(line: bytes) -> types.JSONRPCMessage | None:
    """Return the message in a line, or None for an invalid notification, which gets no response.

    Half of a surrogate pair, which JSON can encode and UTF-8 cannot, becomes U+FFFD, except in
    EXACT_ARGUMENTS.

    Raises:
        Refused: it is not JSON, or not a valid request.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise Refused(types.PARSE_ERROR, f"The line is not UTF-8, at byte {error.start}") from None
    try:
        value: object = json.loads(text, parse_int=_integer, parse_constant=_constant)
    except RecursionError:
        raise Refused(
            types.INVALID_REQUEST, "The message is nested too deeply", _id_in(text)
        ) from None
    except ValueError as error:
        raise Refused(types.PARSE_ERROR, f"The line is not JSON: {error}") from None
    if not isinstance(value, dict):
        what = "a batch, which is not served" if isinstance(value, list) else "no object"
        raise Refused(types.INVALID_REQUEST, f"The message is {what}: send one object in a line")
    message = cast("dict[str, object]", value)
    if not _is_checked(message):
        return None
    if "\\ud" in text or "\\uD" in text:
        message = _without_surrogates(message)
    try:
        return types.jsonrpc_message_adapter.validate_python(message, by_name=False)
    except ValidationError:
        raise Refused(
            types.INVALID_REQUEST, "The message is no request of JSON-RPC 2.0", _id_of(message)
        ) from None


def _is_checked(message: dict[str, object]) -> bool:
    """Check the form of a message; return False for an invalid notification.

    Raises:
        Refused: it is an invalid request.
    """
    fault = ""
    if message.get("jsonrpc") != "2.0":
        fault = 'jsonrpc is not "2.0"'
    elif "method" in message and not isinstance(message["method"], str):
        fault = "method is not a string"
    elif not isinstance(message.get("params", {}), dict):
        fault = "params is not an object"
    elif "id" in message and not _is_id(message["id"]):
        fault = "id is neither a string nor an integer"
    if not fault:
        return True
    if "id" not in message and isinstance(message.get("method"), str):
        return False
    raise Refused(types.INVALID_REQUEST, f"The message is no request: {fault}", _id_of(message))


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _id_of(message: dict[str, object]) -> RequestId:
    """Return the id for the response: any string or finite number, as in JSON-RPC 2.0, or None."""
    value = message.get("id")
    if isinstance(value, str):
        return _readable(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    return None


def _id_in(text: str) -> RequestId:
    """Return the id of a message that is nested too deeply to be parsed, by its tokens."""
    depth, before = 0, ("", "")
    for match in _PIECE.finditer(text):
        piece = match[0]
        if depth == 1 and before == ('"id"', ":"):
            with contextlib.suppress(ValueError):
                return _id_of({"id": json.loads(piece)})
            return None
        depth += (piece in "{[") - (piece in "]}")
        before = before[1], piece
    return None


def _integer(digits: str) -> float:
    # Python refuses longer ones, for the time that they take; no argument can be one.
    return int(digits) if len(digits) <= LONGEST_INTEGER else math.inf


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _without_surrogates(message: dict[str, object]) -> dict[str, object]:
    """Return a message in which each half of a surrogate pair is replaced.

    Raises:
        Refused: one is in an argument that has to be passed on as it is.
    """
    params = message.get("params")
    if isinstance(params, dict):
        arguments = cast("dict[str, object]", params).get("arguments")
        for name in EXACT_ARGUMENTS if isinstance(arguments, dict) else ():
            text = cast("dict[str, object]", arguments).get(name)
            if isinstance(text, str) and (found := _SURROGATE.search(text)):
                raise Refused(
                    types.INVALID_PARAMS,
                    f"Argument '{name}' has half of a surrogate pair at character {found.start()},"
                    " which is no text: send the whole character, or leave it out",
                    _id_of(message),
                )
    return cast("dict[str, object]", _replaced(message))


def _replaced(value: object) -> object:
    if isinstance(value, str):
        return _readable(value)
    if isinstance(value, list):
        return [_replaced(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {_readable(name): _replaced(each) for name, each in members.items()}
    return value


def _readable(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


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
