"""Decode HTTP requests to plain values, and encode handlers' replies as HTTP responses."""

import codecs
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import unquote

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope

from .errors import APIError, Quirk

BODY_LIMIT = 100 * 1024
HEADER_LIMIT = 16 * 1024  # bytes of a URL, field names and field values together, as in Node.js
TRANSPORT = "sandbox_fakeproxy.transport"  # scope key, set by the fake's own server
JsonObject = dict[str, Any]

_JSON = "application/json; charset=utf-8"
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's response: a JSON body and a status."""

    body: Any
    status: int = 200


@dataclass(frozen=True, slots=True)
class Arguments:
    """The decoded path parameters, query and body of a request."""

    params: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: JsonObject = field(default_factory=dict[str, Any])


def to_response(reply: Reply | Response) -> Response:
    """Encode a reply as JSON; return a response unchanged."""
    if isinstance(reply, Response):
        return reply
    return Response(orjson.dumps(reply.body), reply.status, media_type=_JSON)


async def read_arguments(request: Request) -> Arguments:
    """Read and decode a whole request.

    Raises:
        APIError: 400 for a malformed path or body, 413 for a body that is too large.
    """
    return Arguments(
        params={name: decode(value) for name, value in request.path_params.items()},
        query=request.query_params if request.scope["query_string"] else {},
        body=await _read_json(request) if has_body(request.scope) else {},
    )


async def _read_json(request: Request) -> JsonObject:
    return json_object(request.headers, await read_body(request))


def has_body(scope: Scope) -> bool:
    """Return whether a request has a body to wait for."""
    for name, _ in scope["headers"]:  # noqa: SIM110  # any() takes three times as long, on each request
        if name in _BODY_HEADERS:
            return True
    return False


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """Return a request's body.

    Raises:
        APIError: 413, the body has more than `limit` bytes.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise APIError(413, f"The body has more than {limit} bytes", Quirk.LARGE_BODY)
    return bytes(body)


def replayed(body: bytes, then: Receive) -> Receive:
    """Return a `receive` that yields `body`, which was already read, and then calls `then`."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await then()

    return receive


def decode(segment: str) -> str:
    """Decode one segment of a path.

    Raises:
        APIError: 400, the segment is not percent-encoded UTF-8.
    """
    if "%" not in segment:
        return segment
    try:
        if _BAD_ESCAPE.search(segment) is None:
            return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        pass
    raise APIError(400, f"Failed to decode param '{segment}'", Quirk.BAD_ESCAPE)


def json_object(headers: Headers, body: bytes) -> JsonObject:
    """Parse a body as a JSON object; an empty body, an array or another content type gives `{}`.

    Raises:
        APIError: 400 for anything else, 413 for a compressed body that is too large.
    """
    value = json_body(headers, body)
    if isinstance(value, dict):
        return {str(name): item for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    if isinstance(value, list):
        return {}
    raise _malformed("The JSON body must be an object")


def json_body(headers: Headers, body: bytes) -> Any:
    """Parse a body as JSON; an empty body or another content type gives `{}`.

    Raises:
        APIError: 400 for malformed JSON, 413 for a compressed body that is too large.
    """
    charset = _json_charset(headers.get("content-type", ""))
    if not body or charset is None:
        return {}
    return parse_json(_inflate(body, headers.get("content-encoding", "identity")), charset)


def parse_json(body: bytes, charset: str = "utf-8") -> Any:
    """Parse JSON strictly, as its standard says.

    Raises:
        APIError: 400, it is malformed or contains text that no response could contain.
    """
    try:
        value = json.loads(body.decode(charset), parse_constant=reject_constant)
        if b"\\u" in body:
            # Half a surrogate pair is legal JSON, but cannot be encoded to be stored or sent.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise _malformed("Malformed JSON in the request body") from exc
    return value


def is_json(content_type: str) -> bool:
    """Return whether a content type is that of JSON."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _json_charset(content_type: str) -> str | None:
    """Return the charset of JSON content, or None if the content type is another."""
    if not is_json(content_type):
        return None
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
            if not charset.startswith("utf-") or not _is_known(charset):
                raise _malformed(f"Unsupported charset '{charset}': JSON is UTF-8")
            return charset
    return "utf-8"


def _is_known(charset: str) -> bool:
    try:
        codecs.lookup(charset)
    except (LookupError, ValueError):
        return False
    return True


def _inflate(body: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding == "identity":
        return body
    if encoding not in {"gzip", "deflate"}:
        raise _malformed(f"Unsupported content encoding '{encoding}'")
    decompressor = zlib.decompressobj(wbits=47)  # accepts a gzip or a zlib header
    try:
        inflated = decompressor.decompress(body, BODY_LIMIT + 1)
    except zlib.error as exc:
        raise _malformed(f"The body is not {encoding}") from exc
    if len(inflated) > BODY_LIMIT:
        raise APIError(413, f"The body has more than {BODY_LIMIT} bytes", Quirk.LARGE_BODY)
    if not decompressor.eof:
        raise _malformed(f"The body is not {encoding}")
    return inflated


def _malformed(message: str) -> APIError:
    return APIError(400, message, Quirk.MALFORMED_BODY)


def reject_constant(name: str) -> NoReturn:
    """Raise ValueError for a constant that is not JSON, such as NaN."""
    raise ValueError(f"{name} is not JSON")
