"""Apply the conventions of the proxy's HTTP server to every request before routing."""

import string
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_fakeproxy.errors import IncompleteResponse
from sandbox_fakeproxy.http import HEADER_LIMIT, TRANSPORT, has_body

_PRINTABLE = string.ascii_letters + string.digits + string.punctuation
# Bytes. A client that is still sending does not read, and would lose the response if the connection
# were closed.
_DRAIN_LIMIT = 64 * 1024 * 1024


class ServerConventions:
    """Treat requests as the proxy's HTTP server does.

    - Header fields of more than `HEADER_LIMIT` bytes get a 431 with an empty body. On a port,
      `serving.protocol` sends it before it has read them all.
    - The response to HEAD is that to GET, without the body.
    - An unread request body is read before the response is sent. After `_DRAIN_LIMIT` bytes, the
      response closes the connection instead.
    - A request ends without a response if its client disconnects while the body is read.
    - A response that cannot be completed ends with the connection.
    - Routes match the path as it was sent, so that `%2F` in a name is not a separator. A trailing
      slash is ignored, except below `/proxy/`, where paths belong to the runtime.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _header_size(scope) > HEADER_LIMIT:
            await Response(status_code=431)(scope, receive, send)
            return
        if has_body(scope):
            receive, send = _drain_before_response(receive, send)
        if scope["method"] == "HEAD":
            send = _without_body(send)
        path = _path_as_sent(scope)
        ignores_slash = path != "/" and not path.lower().startswith("/proxy/")
        route_path = path.removesuffix("/") if ignores_slash else path
        try:
            await self._app({**scope, "path": route_path, "sent_path": path}, receive, send)
        except ClientDisconnect:
            pass
        except IncompleteResponse:
            if TRANSPORT not in scope:  # in process, the client gets the exception
                raise
            scope[TRANSPORT].close()
            while (await receive())["type"] != "http.disconnect":
                pass


def _header_size(scope: Scope) -> int:
    size = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value)
    return size


def _path_as_sent(scope: Scope) -> str:
    sent: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    path = sent.decode("latin-1")
    if not (path.isascii() and path.isprintable()) or " " in path:
        path = quote(sent, safe=_PRINTABLE)
    return path


def _without_body(send: Send) -> Send:
    async def send_without_body(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_without_body


def _drain_before_response(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return `receive`, and a `send` that reads the rest of the body before a response starts."""
    is_read = False

    async def receive_and_track() -> Message:
        nonlocal is_read
        message = await receive()
        is_read = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain() -> bool:
        remaining = _DRAIN_LIMIT
        while not is_read and remaining > 0:
            remaining -= len((await receive_and_track()).get("body", b""))
        return is_read

    async def send_after_body(message: Message) -> None:
        if message["type"] == "http.response.start" and not await drain():
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return receive_and_track, send_after_body
