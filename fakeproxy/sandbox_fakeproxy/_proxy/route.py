"""A route that matches a method as strictly as a path: on another method, it is not there."""

import re

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .gate import Endpoint
from .journal import note_route


class ExactRoute(Route):
    """One method and path; None is any method. What is not known has no name in the journal.

    Starlette would answer HEAD where GET is, and 405 for the others.
    """

    def __init__(
        self, method: str | None, path: str, endpoint: Endpoint, *, is_known: bool = True
    ) -> None:
        super().__init__(path, endpoint)
        self.app = _answering(endpoint)
        self.methods = None
        self._template = self.path_format if is_known else None
        self.accepted = None if method is None else {method}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request."""
        if self.accepted is not None and scope.get("method") not in self.accepted:
            return Match.NONE, {}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that was matched."""
        note_route(scope, self._template)
        await super().handle(scope, receive, send)

    def ignore_case(self) -> None:
        """Match the path without regard to case."""
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


def _answering(endpoint: Endpoint) -> ASGIApp:
    """Call an endpoint without what Starlette wraps around it; the app turns errors into HTTP."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
