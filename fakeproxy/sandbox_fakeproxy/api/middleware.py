"""Middleware for every request, before its route is found."""

import re
import string
from collections.abc import Collection
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_fakeproxy.errors import Refusal
from sandbox_fakeproxy.http import HEADER_LIMIT, has_body, write

from .behavior import SANE

_PRINTABLE = string.ascii_letters + string.digits + string.punctuation
_PORT = re.compile(r":[0-9]*$")
# A client that is still sending does not read: closing on it would lose the answer.
_DRAIN_LIMIT = 64 * 1024 * 1024


class RawPaths:
    """Match routes on the path as it was sent, so that `%2F` in a name is no separator.

    A trailing slash is tolerated, except below `/proxy/`, where paths are the runtime's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            sent: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
            path = sent.decode("latin-1")
            if not (path.isascii() and path.isprintable()) or " " in path:
                path = quote(sent, safe=_PRINTABLE)
            scope = {**scope, "path": path, "sent_path": path}
            if path != "/" and not path.lower().startswith("/proxy/"):
                scope["path"] = path.removesuffix("/")
        await self._app(scope, receive, send)


class KnownHosts:
    """Refuse requests that were meant for another host.

    A web page can make its own name point to this machine (DNS rebinding) and so have a browser
    talk to the fake; but it cannot make the browser send another `Host` than that name.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(host.lower() for host in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and not self._is_known(scope):
            refusal = Refusal(
                421,
                "The Host header names another host than this fake proxy listens on."
                f" Expected one of: {', '.join(sorted(self._allowed))}",
            )
            await write(SANE.reply(refusal))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        return len(hosts) == 1 and (
            _PORT.sub("", hosts[0].decode("latin-1")).lower() in self._allowed
        )


class LimitedHeaders:
    """Answer 431 with an empty body where header fields exceed `HEADER_LIMIT`.

    On a port, the server's protocol does so before it has read them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_too_large = scope["type"] == "http" and _header_size(scope) > HEADER_LIMIT
        app = Response(status_code=431) if is_too_large else self._app
        await app(scope, receive, send)


def _header_size(scope: Scope) -> int:
    url = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    return url + sum(len(name) + len(value) for name, value in scope["headers"])


class BodilessHead:
    """Remove the body from every response to HEAD; a route answers HEAD as it answers GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_without_body)


class DrainedBodies:
    """Read the rest of a body before a response is sent that did not need it.

    Of a body that goes on after `_DRAIN_LIMIT` bytes, the rest is not read: the connection ends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not has_body(scope):
            await self._app(scope, receive, send)
            return
        ended = False

        async def noted() -> Message:
            nonlocal ended
            message = await receive()
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def drain() -> bool:
            room = _DRAIN_LIMIT
            while not ended and room > 0:
                room -= len((await noted()).get("body", b""))
            return ended

        async def drained(message: Message) -> None:
            if message["type"] == "http.response.start" and not await drain():
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await self._app(scope, noted, drained)
