"""Routing as in the deployed proxy's web framework: path case, OPTIONS, bodies first, ETags."""

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
    """Match paths case-insensitively, and parse the body before the API key is checked."""

    def __init__(
        self, method: str | None, path: str, endpoint: Endpoint, *, is_known: bool = True
    ) -> None:
        super().__init__(method, path, endpoint, is_known=is_known)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Parse the body, then handle the request.

        Raises:
            APIError: the body is malformed or too large.
        """
        request = Request(scope, receive)
        body = await read_body(request)
        json_object(request.headers, body)
        await super().handle(scope, replayed(body, receive), send)


class OptionsRoute(LooseRoute):
    """Answer OPTIONS on the path of any route with the methods that it accepts."""

    def __init__(self, auth: Auth, routes: Sequence[ApiRoute]) -> None:
        super().__init__("OPTIONS", "/{path:path}", self._list_methods, is_known=False)
        self._auth = auth
        self._routes = [route for route in routes if route.path != "/health"]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match OPTIONS on the paths of all routes but `/health`."""
        if not self._methods_at(scope["path"]):
            return Match.NONE, {}
        return super().matches(scope)

    async def _list_methods(self, request: Request) -> Response:
        self._auth.require_key_for(request)
        methods = ", ".join(self._methods_at(request.scope["path"]))
        return PlainTextResponse(methods, headers={"Allow": methods})

    def _methods_at(self, path: str) -> list[str]:
        method_sets = (
            route.methods or set() for route in self._routes if route.path_regex.match(path)
        )
        return sorted({method for methods in method_sets for method in methods})


class ETags:
    """ASGI middleware that adds a weak ETag to JSON responses, and answers 304 if it matches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                for final in _add_etag(scope, start, bytes(body)):
                    await send(final)

        await self._app(scope, receive, collect)


def _add_etag(scope: Scope, start: Message, body: bytes) -> list[Message]:
    """Return the messages of a complete response, with an ETag or as a 304."""
    headers = list(start["headers"])
    if is_json(Headers(raw=headers).get("content-type", "")):
        etag = f'W/"{len(body):x}-{hashlib.sha256(body).hexdigest()[:27]}"'
        headers.append((b"etag", etag.encode()))
        if start["status"] < 300 and _is_cached(scope, etag):
            kept = [pair for pair in headers if not pair[0].startswith(b"content-")]
            return [{**start, "status": 304, "headers": kept}, _body(b"")]
    return [{**start, "headers": headers}, _body(body)]


def _is_cached(scope: Scope, etag: str) -> bool:
    """Return whether the client has the response, by its `If-None-Match`."""
    if scope["method"] not in {"GET", "HEAD"}:
        return False
    known = Headers(scope=scope).get("if-none-match", "").split(",")
    return not {"*", etag}.isdisjoint(map(str.strip, known))


def _body(content: bytes) -> Message:
    return {"type": "http.response.body", "body": content}
