"""The deployed proxy's web framework around its routes: case, OPTIONS, bodies first, ETags."""

import hashlib
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_fakeproxy.api.auth import Auth, Endpoint
from sandbox_fakeproxy.api.routing import ApiRoute
from sandbox_fakeproxy.http import is_json, json_object, read_body, replayed

ENDPOINTS = {
    "health": "GET /health",
    "me": "/api/me",
    "sandboxes": "/api/sandboxes",
    "admin": "/api/admin",
    "proxy": "/proxy/:name/*",
}


class LooseRoute(ApiRoute):
    """Match a path in any case, and parse a body before the key is checked."""

    def __init__(
        self, method: str | None, path: str, endpoint: Endpoint, *, is_known: bool = True
    ) -> None:
        super().__init__(method, path, endpoint, is_known=is_known)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that was matched, unless its body is malformed."""
        request = Request(scope, receive)
        body = await read_body(request)
        json_object(request.headers, body)
        await super().handle(scope, replayed(body, receive), send)


class OptionsRoute(LooseRoute):
    """Answer OPTIONS where a route is, with the methods that it takes."""

    def __init__(self, auth: Auth, known: Sequence[ApiRoute]) -> None:
        super().__init__("OPTIONS", "/{path:path}", self._answer, is_known=False)
        self._auth = auth
        self._known = [route for route in known if route.path != "/health"]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match OPTIONS on a path that has a route."""
        if not self._methods_at(scope["path"]):
            return Match.NONE, {}
        return super().matches(scope)

    async def _answer(self, request: Request) -> Response:
        self._auth.require_key_of_area(request)
        methods = ", ".join(self._methods_at(request.scope["path"]))
        return PlainTextResponse(methods, headers={"Allow": methods})

    def _methods_at(self, path: str) -> list[str]:
        found = (route.methods or set() for route in self._known if route.path_regex.match(path))
        return sorted({method for methods in found for method in methods})


class ETags:
    """Add a weak ETag to JSON responses, and answer 304 to a request that already has it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def collected(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                for each in _conditional(scope, start, bytes(body)):
                    await send(each)

        await self._app(scope, receive, collected)


def _conditional(scope: Scope, start: Message, body: bytes) -> list[Message]:
    headers = list(start["headers"])
    asks = scope["method"] in {"GET", "HEAD"}
    if is_json(Headers(raw=headers).get("content-type", "")):
        etag = f'W/"{len(body):x}-{hashlib.sha256(body).hexdigest()[:27]}"'
        headers.append((b"etag", etag.encode()))
        known = Headers(scope=scope).get("if-none-match", "").split(",")
        if asks and start["status"] < 300 and not {"*", etag}.isdisjoint(map(str.strip, known)):
            kept = [pair for pair in headers if not pair[0].startswith(b"content-")]
            return [{**start, "status": 304, "headers": kept}, _body(b"")]
    return [{**start, "headers": headers}, _body(body)]


def _body(content: bytes) -> Message:
    return {"type": "http.response.body", "body": content}
