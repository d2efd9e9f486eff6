"""The conventions of the proxy's HTTP server, for every request before its route is found."""

import string
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_fakeproxy.http import HEADER_LIMIT, has_body

_PRINTABLE = string.ascii_letters + string.digits + string.punctuation
# A client that is still sending does not read: closing on it would lose the answer.
_DRAIN_LIMIT = 64 * 1024 * 1024  # bytes


class ServerConventions:
    """Treat requests as the proxy's HTTP server does.

    - Header fields of more than `HEADER_LIMIT` bytes are answered 431 with an empty body. On a
      port, the server's protocol does so before it has read them.
    - HEAD is answered as GET, without the body.
    - The rest of a body that the answer did not need is read before the answer is sent. After
      `_DRAIN_LIMIT` bytes, the connection ends instead.
    - Routes match the path as it was sent, so that `%2F` in a name is no separator. A trailing
      slash is tolerated, except below `/proxy/`, where paths are the runtime's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _header_size(scope) > HEADER_LIMIT:
            await Response(status_code=431)(scope, receive, send)
            return
        if has_body(scope):
            receive, send = _drained(receive, send)
        if scope["method"] == "HEAD":
            send = _without_body(send)
        path = _path_as_sent(scope)
        is_tolerant = path != "/" and not path.lower().startswith("/proxy/")
        matched = path.removesuffix("/") if is_tolerant else path
        await self._app({**scope, "path": matched, "sent_path": path}, receive, send)


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


def _drained(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return `receive` and a `send` that reads the rest of the body before a response starts."""
    ended = False

    async def receive_and_note() -> Message:
        nonlocal ended
        message = await receive()
        ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain() -> bool:
        room = _DRAIN_LIMIT
        while not ended and room > 0:
            room -= len((await receive_and_note()).get("body", b""))
        return ended

    async def send_after_body(message: Message) -> None:
        if message["type"] == "http.response.start" and not await drain():
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return receive_and_note, send_after_body
