"""Authenticate and authorize requests before their path, query and body are read."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.http import Arguments, Reply, decode, has_body, read_arguments, to_response
from sandbox_fakeproxy.model import Sandbox, User
from sandbox_fakeproxy.service import ADMIN_CALLER, Service

from .request_log import note_caller

Endpoint = Callable[[Request], Awaitable[Response]]
_ArgumentsT = TypeVar("_ArgumentsT")


class Auth:
    """Wrap handlers in endpoints that check the caller's key and then read the request."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def public(self, handler: Callable[[], Awaitable[Reply]]) -> Endpoint:
        """Return an endpoint that needs no key."""

        async def endpoint(_request: Request) -> Response:
            return to_response(await handler())

        return endpoint

    def admin(self, handler: Callable[[Arguments], Awaitable[Reply]]) -> Endpoint:
        """Return an endpoint that needs the admin key."""
        return self.admin_with(handler, read_arguments)

    def admin_with(
        self,
        handler: Callable[[_ArgumentsT], Awaitable[Reply]],
        read: Callable[[Request], Awaitable[_ArgumentsT]],
    ) -> Endpoint:
        """Return an endpoint that needs the admin key and reads its arguments with `read`."""

        async def endpoint(request: Request) -> Response:
            self.require_admin(request)
            return to_response(await handler(await read(request)))

        return endpoint

    def user(self, handler: Callable[[User, Arguments], Awaitable[Reply]]) -> Endpoint:
        """Return an endpoint that needs a user's key."""

        async def endpoint(request: Request) -> Response:
            user = self.require_user(request)
            arguments = await read_arguments(request)
            if has_body(request.scope):
                # The key may have changed while the body arrived: look it up again.
                user = self.require_user(request)
            return to_response(await handler(user, arguments))

        return endpoint

    def owner(
        self,
        handler: Callable[[User, Sandbox, _ArgumentsT], Awaitable[Reply | Response]],
        read: Callable[[Request], Awaitable[_ArgumentsT]],
    ) -> Endpoint:
        """Return an endpoint that needs the key of the sandbox's owner.

        Any other key gets the same response whether or not the sandbox exists.
        """

        async def endpoint(request: Request) -> Response:
            user = self.require_user(request)
            name = decode(request.path_params["name"])
            sandbox = self._service.owned_sandbox(user, name)
            arguments = await read(request)
            if has_body(request.scope):
                # Key and sandbox may have changed while the body arrived: look them up again.
                user = self.require_user(request)
                sandbox = self._service.owned_sandbox(user, name)
            return to_response(await handler(user, sandbox, arguments))

        return endpoint

    def require_key_for(self, request: Request) -> None:
        """Authenticate a request to an unknown route, by the key that its path prefix needs.

        Raises:
            APIError: the key is missing or wrong.
        """
        path = request.scope["path"].lower()
        if path.startswith("/api/admin/"):
            self.require_admin(request)
        elif path.startswith("/api/"):
            self.require_user(request)

    def require_admin(self, request: Request) -> None:
        """Require the admin key.

        Raises:
            APIError: the key is missing or is not the admin key.
        """
        self._service.authenticate_admin(request.headers.get("authorization"))
        note_caller(request.scope, ADMIN_CALLER)

    def require_user(self, request: Request) -> User:
        """Return the user of the request's key.

        Raises:
            APIError: the key is missing or not valid.
        """
        user = self._service.authenticate(request.headers.get("authorization"))
        note_caller(request.scope, user.username)
        return user
