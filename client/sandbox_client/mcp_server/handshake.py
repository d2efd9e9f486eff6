"""Answer the first requests to the MCP server with the standard library only.

Hosts start the server at each launch, list its tools, and often make no call. These responses are
constant and come from a snapshot of the server's own responses, which takes a fraction of the time
and memory of importing `mcp`. Any other message, and any message to which the server might respond
differently, loads the server and hands the connection over. The server receives the opening request
again, and its second response is dropped; then it receives every message without a response.
"""

from __future__ import annotations

import gc
import json
import os
import sys

from .pipe import OutputWatchdog, Pipe, reserve_streams

TYPE_CHECKING = False  # importing `typing` would take longer than all of this
if TYPE_CHECKING:
    from typing import Any

REPLAYED = "remote-sandbox: the request that opened the connection"  # an id of no client's
PROBE = "server/discover"  # it opens no session

_META = "io.modelcontextprotocol/"
_VERSION, _CLIENT, _CAPABILITIES = (
    f"{_META}protocolVersion",
    f"{_META}clientInfo",
    f"{_META}clientCapabilities",
)
_MESSAGE = {"jsonrpc", "id", "method", "params"}
_INFO = {"name", "title", "version", "websiteUrl", "description"}


class Unsure(Exception):
    """The snapshot may not have the server's response to this message."""


class Handshake:
    """Respond from a snapshot; `replay` holds the lines that the server needs at a handover."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.replay: list[bytes] = []
        self._bodies: list[str] = snapshot["bodies"]
        self._replies: dict[str, dict[str, int]] = snapshot["replies"]
        self._modern: list[str] = snapshot["modern"]
        self._version = ""  # of the protocol, once a request has opened the session

    def answer(self, line: bytes) -> bytes:
        """Return the response to a line, which is empty for a notification.

        Raises:
            Unsure: the snapshot has no response to it.
        """
        message = _parsed(line)
        method = message["method"]
        if "id" not in message:
            if method == "notifications/initialized":
                self.replay.append(line)
            return b""
        version = self._version_of(method, message.get("params", {}))
        number = self._replies.get(version, {}).get(method)
        if number is None:
            raise Unsure
        # After `server/discover` alone, a client may still fall back to `initialize`.
        if not self._version and method != PROBE:
            self._version = version
            self.replay.append(json.dumps({**message, "id": REPLAYED}).encode() + b"\n")
        request_id = json.dumps(message["id"])
        return f'{{"jsonrpc":"2.0","id":{request_id},{self._bodies[number]}}}\n'.encode()

    def _version_of(self, method: str, params: dict[str, Any]) -> str:
        """Return the version of the protocol in which a request is answered."""
        is_initialize = method == "initialize"
        if not self._version:
            version = _offered(params) if is_initialize else _envelope(params)
            if is_initialize == (version in self._modern):
                raise Unsure
            return version
        if is_initialize:
            raise Unsure
        if self._version not in self._modern:
            _check_plain(params)
        elif _envelope(params) != self._version:
            raise Unsure
        return self._version


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the message in a line if it is certainly valid.

    Raises:
        Unsure: it may be invalid.
    """
    if b"\\u" in line:  # possibly half of a surrogate pair
        raise Unsure
    try:
        message = _object(_decoder.decode(line.decode()))
    except (ValueError, RecursionError):
        raise Unsure from None
    if not set(message) <= _MESSAGE or message.get("jsonrpc") != "2.0":
        raise Unsure
    _text(message.get("method"))
    _object(message.get("params", {}))
    if "id" in message and type(message["id"]) is not int:  # as True is one, too
        _text(message["id"])
    return message


def _constant(_: str) -> float:
    raise Unsure  # NaN and Infinity, which are not JSON


_decoder = json.JSONDecoder(parse_constant=_constant)


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value  # pyright: ignore[reportUnknownVariableType]  # `cast` would import `typing`
    raise Unsure


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unsure
    return value


def _check_plain(params: dict[str, Any]) -> None:
    """Check that the only parameter is a progress token, if any."""
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
    """Return the version in the envelope of a request that has no other parameters."""
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
    """Check that the client's info and capabilities are certainly valid."""
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
    """Return the snapshot that `make snapshot` writes."""
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
    pipe = Pipe(*reserve_streams())
    handshake = Handshake(read_snapshot())
    for line in pipe.lines():
        try:
            pipe.outbox += handshake.answer(line)
        except Unsure:
            _hand_over(pipe, b"".join(handshake.replay) + line)
            return


def _hand_over(pipe: Pipe, received: bytes) -> None:
    """Load the server; let it serve the messages in `received` and the rest of the input."""
    pipe.flush()
    watchdog = OutputWatchdog(pipe.writing)
    gc.disable()  # importing creates thousands of classes, scanned again and again
    from .deferred_packages import defer

    defer("mcp", "mcp.server")
    from .server import serve_after

    gc.freeze()
    gc.enable()
    watchdog.stop()
    serve_after(pipe.reading, pipe.writing, received + pipe.buffer.take(), bytes(pipe.outbox))
