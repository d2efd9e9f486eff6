"""A route that answers one method, and HEAD where that is GET; for any other it does not exist."""

import re

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_fakeproxy.http import json_object, read_body, replayed

from .auth import Endpoint
from .request_log import note_route


class ExactRoute(Route):
    """Match one method and path; a `method` of None matches any.

    GET matches HEAD too. For other methods Starlette's own route would answer 405. A route that is
    not `is_known` has no name in the request log. One that `is_loose` is as deployed: it matches
    its path in any case, and parses a body before the key is checked.
    """

    def __init__(
        self,
        method: str | None,
        path: str,
        endpoint: Endpoint,
        *,
        is_known: bool = True,
        is_loose: bool = False,
    ) -> None:
        super().__init__(path, endpoint)
        self.app = _answering(endpoint, parses_body_first=is_loose)
        if is_loose:
            self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)
        self._template = self.path_format if is_known else None
        self.methods = _methods(method)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request."""
        if self.methods is not None and scope.get("method") not in self.methods:
            return Match.NONE, {}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that was matched."""
        note_route(scope, self._template)
        await super().handle(scope, receive, send)


def _methods(method: str | None) -> set[str] | None:
    if method is None:
        return None
    return {"GET", "HEAD"} if method == "GET" else {method}


def _answering(endpoint: Endpoint, *, parses_body_first: bool) -> ASGIApp:
    """Call an endpoint without Starlette's wrapper; the app turns errors into HTTP."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if parses_body_first:
            request = Request(scope, receive)
            body = await read_body(request)
            json_object(request.headers, body)
            receive = replayed(body, receive)
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
