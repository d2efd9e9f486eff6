"""The routes of the API: method, path, required key and handler."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from sandbox_fakeproxy.clock import iso
from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import Reply, read_arguments
from sandbox_fakeproxy.service import Service

from .auth import Auth, Endpoint
from .behavior import Behavior
from .forwarding import Forwarding
from .request_log import note_route
from .sandboxes import Sandboxes
from .users import Users


class ApiRoute(Route):
    """Match one method and path; a `method` of None matches any.

    GET matches HEAD too. For another method, Starlette's own route would answer 405; the proxy
    answers 404, as for an unknown path. The request log names a route only if it `is_known`.
    """

    def __init__(
        self, method: str | None, path: str, endpoint: Endpoint, *, is_known: bool = True
    ) -> None:
        super().__init__(path, endpoint, methods=[] if method is None else [method])
        self._template = self.path_format if is_known else None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request by method and path."""
        match, child_scope = super().matches(scope)
        return (match, child_scope) if match is Match.FULL else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that matched."""
        note_route(scope, self._template)
        await super().handle(scope, receive, send)


def user_routes(
    route: type[ApiRoute],
    auth: Auth,
    sandboxes: Sandboxes,
    forwarding: Forwarding,
    users: Users,
) -> list[ApiRoute]:
    """Return the routes that need a user's key; `route` is their class."""
    name = "/api/sandboxes/{name}"
    return [
        route("GET", name, auth.owner(sandboxes.get, read_arguments)),
        route("GET", "/api/sandboxes", auth.user(sandboxes.list)),
        route("POST", "/api/sandboxes", auth.user(sandboxes.create)),
        route("DELETE", name, auth.owner(sandboxes.delete, read_arguments)),
        route("POST", f"{name}/pause", auth.owner(sandboxes.pause, read_arguments)),
        route("POST", f"{name}/resume", auth.owner(sandboxes.resume, read_arguments)),
        route(None, "/proxy/{name}/{path:path}", auth.owner(forwarding.forward, forwarding.read)),
        route("GET", "/api/me", auth.user(users.show_caller)),
        route("POST", "/api/me/apikeys", auth.user(users.create_own_key)),
        route("GET", "/api/me/apikeys", auth.user(users.list_own_keys)),
        route("DELETE", "/api/me/apikeys/{key_id}", auth.user(users.revoke_own_key)),
    ]


def admin_routes(route: type[ApiRoute], auth: Auth, users: Users) -> list[ApiRoute]:
    """Return the routes that need the admin key; `route` is their class."""
    users_path, user_path = "/api/admin/users", "/api/admin/users/{user_id}"
    return [
        route("POST", users_path, auth.admin(users.create_user)),
        route("GET", users_path, auth.admin(users.list_users)),
        route("GET", user_path, auth.admin(users.get_user)),
        route("PUT", user_path, auth.admin(users.update_user)),
        route("DELETE", user_path, auth.admin(users.delete_user)),
        route("POST", f"{user_path}/apikeys", auth.admin(users.create_key)),
        route("GET", f"{user_path}/apikeys", auth.admin(users.list_keys)),
        route("DELETE", "/api/admin/apikeys/{key_id}", auth.admin(users.revoke_key)),
    ]


def not_found_route(route: type[ApiRoute], auth: Auth) -> ApiRoute:
    """Return the route that matches all other paths: 404, after authentication."""

    async def not_found(request: Request) -> Response:
        auth.require_key_for(request)
        path = request.scope["sent_path"]
        is_admin_path = path.lower().startswith("/api/admin/")
        raise APIError(
            404,
            f"Route {request.method} {path} not found",
            Quirk.UNKNOWN_ADMIN_ROUTE if is_admin_path else Quirk.UNKNOWN_ROUTE,
        )

    return route(None, "/{path:path}", not_found, is_known=False)


class Health:
    """The health route."""

    def __init__(self, service: Service, behavior: Behavior) -> None:
        self._service = service
        self._behavior = behavior

    async def show(self) -> Reply:
        """Return the proxy's health.

        Raises:
            APIError: 503, the database does not answer.
        """
        if self._behavior.checks_database and not self._service.is_database_available():
            raise APIError(503, "The database does not answer")
        now = iso(self._service.clock.now())
        return Reply({"status": "ok", "timestamp": now, "database": "connected"})
