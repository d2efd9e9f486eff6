"""The first answers of the MCP server, with the standard library alone.

Hosts start the server at each launch, ask what it has, and often call nothing. Those answers are
constant: they come from a snapshot of the server's own, in a fraction of the time and memory that
importing `mcp` takes. Anything else, or anything that is not certain to be answered alike, loads
the server and hands over: it gets the request that opened the connection, whose answer is dropped
as it was given, and all that was not answered yet.
"""

from __future__ import annotations

import gc
import json
import os
import select
import sys
import time

TYPE_CHECKING = False  # importing `typing` would take longer than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CHUNK = 65_536  # bytes
ATOMIC = 4_096  # bytes that a pipe takes without waiting, once it takes any
FAREWELL = 1.0  # seconds in which a client may read the last answers after it has closed its end
REPLAYED = "remote-sandbox: the request that opened the connection"  # an id that no client uses

_META = "io.modelcontextprotocol/"
_VERSION, _CLIENT, _CAPABILITIES = (
    f"{_META}protocolVersion",
    f"{_META}clientInfo",
    f"{_META}clientCapabilities",
)
_GONE = select.POLLERR | select.POLLHUP  # nobody reads the output any more
_MESSAGE = {"jsonrpc", "id", "method", "params"}
_INFO = {"name", "title", "version", "websiteUrl", "description"}


class Unsure(Exception):
    """The server itself has to answer."""


class Handshake:
    """Answer what the snapshot has; `replay` is what the server has to know afterwards."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.replay: list[dict[str, Any]] = []
        self._bodies: list[str] = snapshot["bodies"]
        self._replies: dict[str, dict[str, int]] = snapshot["replies"]
        self._modern: list[str] = snapshot["modern"]
        self._version = ""  # of the protocol, once a request has settled it
        # A client may ask what there is, not wait for the answer, and start in the earlier way.
        self._is_probed = False

    def answer(self, line: bytes) -> bytes:
        """Return the answer to a line, which is empty for a notification.

        Raises:
            Unsure: the snapshot has none.
        """
        message = _parsed(line)
        method, params = message["method"], message.get("params", {})
        if "id" not in message:
            if method == "notifications/initialized":
                self.replay.append(message)
            return b""
        is_initialize = method == "initialize"
        is_opening = not self._version or (is_initialize and self._is_probed)
        version = self._version
        if is_opening:
            version = _offered(params) if is_initialize else _envelope(params)
            if is_initialize == (version in self._modern):
                raise Unsure
        elif is_initialize:
            raise Unsure
        elif version not in self._modern:
            _check_plain(params)
        elif _envelope(params) != version:
            raise Unsure
        number = self._replies.get(version, {}).get(method)
        if number is None:
            raise Unsure
        if is_opening:
            self._version = version
            self.replay = [each for each in self.replay if "id" not in each]
            self.replay.append({**message, "id": REPLAYED})
        self._is_probed = method == "server/discover"
        request_id = json.dumps(message["id"])
        return f'{{"jsonrpc":"2.0","id":{request_id},{self._bodies[number]}}}\n'.encode()


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the message in a line, if it is a plain one."""
    if b"\\u" in line:  # maybe half a character
        raise Unsure
    try:
        message = _object(json.loads(line.decode()))
    except (ValueError, RecursionError):
        raise Unsure from None
    if not set(message) <= _MESSAGE or message.get("jsonrpc") != "2.0":
        raise Unsure
    _text(message.get("method"))
    _object(message.get("params", {}))
    if "id" in message and type(message["id"]) is not int:  # as True is one, too
        _text(message["id"])
    return message


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value  # pyright: ignore[reportUnknownVariableType]  # `cast` would import `typing`
    raise Unsure


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unsure
    return value


def _check_plain(params: dict[str, Any]) -> None:
    """Check that there are no parameters but a progress token."""
    if not set(params) <= {"_meta"}:
        raise Unsure
    meta = _object(params.get("_meta", {}))
    if not set(meta) <= {"progressToken"}:
        raise Unsure
    if type(meta.get("progressToken", 0)) is not int:
        _text(meta["progressToken"])


def _offered(params: dict[str, Any]) -> str:
    """Return the version that an `initialize` offers."""
    if set(params) != {"protocolVersion", "capabilities", "clientInfo"}:
        raise Unsure
    _check_client(params["clientInfo"], params["capabilities"])
    return _text(params["protocolVersion"])


def _envelope(params: dict[str, Any]) -> str:
    """Return the version in the envelope of a request without parameters of its own."""
    if set(params) != {"_meta"}:
        raise Unsure
    meta = _object(params["_meta"])
    required = {_VERSION, _CLIENT, _CAPABILITIES}
    if not required <= set(meta):
        raise Unsure
    _check_client(meta[_CLIENT], meta[_CAPABILITIES])
    _check_plain({"_meta": {name: meta[name] for name in meta if name not in required}})
    return _text(meta[_VERSION])


def _check_client(info: Any, capabilities: Any) -> None:
    """Check what a client says of itself: only what is certainly valid."""
    info = _object(info)
    if not {"name", "version"} <= set(info) <= _INFO:
        raise Unsure
    for value in info.values():
        _text(value)
    for name, value in _object(capabilities).items():
        is_empty = value == {} and name in {"sampling", "elicitation", "experimental"}
        if not is_empty and not (name == "roots" and value in ({}, {"listChanged": True})):
            raise Unsure


def read_snapshot() -> dict[str, Any]:
    """Return the answers of the server, which `make snapshot` writes."""
    with open(os.path.join(os.path.dirname(__file__), "snapshot.json"), "rb") as file:  # noqa: PTH118, PTH120, PTH123  # pathlib takes longer to import
        snapshot: dict[str, Any] = json.loads(file.read())
    return snapshot


def serve() -> None:
    """Serve MCP on standard input and output until the input ends."""
    if sys.stdin is None or sys.stdout is None:  # <&- or >&-
        sys.exit("error: The MCP server talks on standard input and output, and one is closed.")
    if sys.stdin.isatty():
        print(
            "remote-sandbox: the MCP server runs and waits for a client's messages here."
            " Ctrl-C ends it.",
            file=sys.stderr,
        )
    pipe = Pipe()
    handshake = Handshake(read_snapshot())
    for line in pipe.lines():
        try:
            pipe.outbox += handshake.answer(line)
        except Unsure:
            gc.disable()  # it would look through thousands of new classes, again and again
            from sandbox_client._server import serve_after

            gc.freeze()
            gc.enable()
            serve_after(handshake.replay, REPLAYED, line + bytes(pipe.buffer), bytes(pipe.outbox))
            return


class Pipe:
    """Standard input as lines, while standard output takes what is in the `outbox`."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.outbox = bytearray()

    def lines(self) -> Iterator[bytes]:
        """Yield each line with its end; the last one may have none."""
        while True:
            while end := self.buffer.find(b"\n") + 1:
                line = bytes(self.buffer[:end])
                del self.buffer[:end]
                yield line
            if not self._wait():
                break
        if self.buffer:
            line = bytes(self.buffer)
            self.buffer.clear()
            yield line
        self._drain()

    def _wait(self) -> bool:
        """Wait for input, and write meanwhile; return whether neither stream has ended."""
        poller = select.poll()
        poller.register(0, select.POLLIN)
        poller.register(1, select.POLLOUT if self.outbox else 0)
        events = dict(poller.poll())
        if events.get(1, 0) & _GONE:
            self.buffer.clear()
            self.outbox.clear()
            return False
        if 1 in events:
            self._write()
        if 0 not in events:
            return True
        data = os.read(0, CHUNK)
        self.buffer += data
        return bool(data)

    def _drain(self) -> None:
        """Write what is left, if somebody reads it soon."""
        deadline = time.monotonic() + FAREWELL
        poller = select.poll()
        poller.register(1, select.POLLOUT)
        while self.outbox and (left := deadline - time.monotonic()) > 0:
            if dict(poller.poll(left * 1000)).get(1, _GONE) & _GONE:
                break
            self._write()

    def _write(self) -> None:
        try:
            del self.outbox[: os.write(1, self.outbox[:ATOMIC])]
        except BrokenPipeError:
            self.outbox.clear()
