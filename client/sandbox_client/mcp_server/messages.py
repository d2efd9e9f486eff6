"""Parse the lines that an MCP client sends, and format the error responses to invalid ones."""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import cast

import mcp_types as types
from pydantic import ValidationError

LONGEST_INTEGER = 4_300  # digits, as in Python
# Arguments that must not be changed: a command and the content of a file.
EXACT_ARGUMENTS = ("command", "content")
_SURROGATE = re.compile("[\ud800-\udfff]")
# In JSON: an escaped surrogate pair or any other escape (group 1), or half of a pair.
_ESCAPE = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
# A token of JSON. The closing quote is optional so that an unterminated string matches as a whole:
# a failed match would be repeated at each of its quotes, in quadratic time.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)

RequestId = str | int | float | None


class Refused(Exception):
    """A line is invalid.

    `code` is the error code of JSON-RPC, and `request` the request or notification in the line, as
    far as it was parsed.
    """

    def __init__(self, code: int, message: str, request: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = _id_of(request or {})
        self.is_notification = _is_notification(request or {})

    def line(self) -> bytes:
        """Return the error response as a line."""
        error = {"code": self.code, "message": str(self)}
        response = {"jsonrpc": "2.0", "id": self.request_id, "error": error}
        return json.dumps(response, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def parse(line: bytes) -> types.JSONRPCMessage | None:
    """Return the message in a line, or None for an invalid notification, which gets no response.

    JSON can encode half of a surrogate pair, and UTF-8 cannot: U+FFFD replaces it, except in
    EXACT_ARGUMENTS.

    Raises:
        Refused: the line is not JSON, or not a valid request.
    """
    try:
        return _parse(line)
    except Refused as refused:
        if refused.is_notification:
            return None
        raise


def _parse(line: bytes) -> types.JSONRPCMessage:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise Refused(types.PARSE_ERROR, f"The line is not UTF-8, at byte {error.start}") from None
    message = _load_object(text)
    _check(message)
    if "\\ud" in text or "\\uD" in text:
        replaced = _ESCAPE.sub(lambda escape: escape[1] or r"\ufffd", text)
        if replaced != text:
            _check_exact_arguments(message)
            message = _load_object(replaced)
    try:
        return types.jsonrpc_message_adapter.validate_python(message, by_name=False)
    except ValidationError:
        raise Refused(
            types.INVALID_REQUEST, "The message is not a request of JSON-RPC 2.0", message
        ) from None


def _load_object(text: str) -> dict[str, object]:
    """Return the JSON object in a text.

    Raises:
        Refused: it is not JSON, is another value, or is nested too deeply to be parsed.
    """
    try:
        value: object = json.loads(text, parse_int=_integer, parse_constant=_constant)
    except RecursionError:
        raise Refused(
            types.INVALID_REQUEST, "The message is nested too deeply", _top_level(text)
        ) from None
    except ValueError as error:
        raise Refused(types.PARSE_ERROR, f"The line is not JSON: {error}") from None
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    kind = "a batch, which is not served" if isinstance(value, list) else "not an object"
    raise Refused(types.INVALID_REQUEST, f"The message is {kind}: send one object in a line")


def _integer(digits: str) -> float:
    # Python refuses longer ones, because converting them takes long; no argument can be one.
    return int(digits) if len(digits) <= LONGEST_INTEGER else math.inf


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _top_level(text: str) -> dict[str, object]:
    """Return the id and the method of an object that is nested too deeply to be parsed.

    The method is left out if the object is not closed: its id could be in the missing part.
    """
    members: dict[str, object] = {}
    depth, name, before = 0, "", ""
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if depth == 1 and before == ":" and name in {'"id"', '"method"'}:
            members[json.loads(name)] = None
            with contextlib.suppress(ValueError):
                members[json.loads(name)] = json.loads(piece)
        depth += (piece in "{[") - (piece in "]}")
        name, before = before, piece
    if depth:
        members.pop("method", None)
    return members


def _check(message: dict[str, object]) -> None:
    """Check the form of a request or notification.

    Raises:
        Refused: it is invalid.
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
    if fault:
        raise Refused(types.INVALID_REQUEST, f"The message is not a request: {fault}", message)


def _check_exact_arguments(message: dict[str, object]) -> None:
    """Check that no argument in EXACT_ARGUMENTS has half of a surrogate pair.

    Raises:
        Refused: one has.
    """
    params = message.get("params")
    arguments = cast("dict[str, object]", params).get("arguments") if params else None
    for name in EXACT_ARGUMENTS if isinstance(arguments, dict) else ():
        text = cast("dict[str, object]", arguments).get(name)
        if isinstance(text, str) and (found := _SURROGATE.search(text)):
            raise Refused(
                types.INVALID_PARAMS,
                f"Argument '{name}' has half of a surrogate pair at character {found.start()},"
                " which is no text: send the whole character, or leave it out",
                message,
            )


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _id_of(message: dict[str, object]) -> RequestId:
    """Return the id for the response: any string or finite number, as in JSON-RPC 2.0, or None."""
    value = message.get("id")
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else None


def _is_notification(message: dict[str, object]) -> bool:
    return "id" not in message and isinstance(message.get("method"), str)
