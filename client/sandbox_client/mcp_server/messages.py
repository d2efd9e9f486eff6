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
