"""What happens to every request before its route is found."""

import re
import string
from collections.abc import Collection
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._http import has_body, write

from .conduct import SANE

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


class BodilessHead:
    """Remove the body from every response to HEAD; a route answers HEAD as it answers GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_without_body)


class DrainedBodies:
    """Read what is left of a body before an answer is sent that did not need it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(scope):
            await self._app(scope, receive, send)
            return
        ended = False

        async def noted() -> Message:
            nonlocal ended
            message = await receive()
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def drained(message: Message) -> None:
            room = _DRAIN_LIMIT
            while not ended and room > 0:
                room -= len((await noted()).get("body", b""))
            await send(message)

        await self._app(scope, noted, drained)
