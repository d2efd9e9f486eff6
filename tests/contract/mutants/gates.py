"""Authentication and authorization that accept too much, on all routes or on one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._proxy.auth import digest
from sandbox_fakeproxy._proxy.gate import Endpoint, Gate

from .mutant import with_components

if TYPE_CHECKING:
    from sandbox_fakeproxy._state.records import Sandbox, User
    from starlette.requests import Request
    from starlette.responses import Response

    from .mutant import Make

MISSING = "Missing Authorization header"
FORMAT = "Invalid Authorization header format. Expected: Bearer <api-key>"
UNKNOWN = "Invalid API key"
INACTIVE = "API key is inactive"
DEACTIVATED = "User account is inactive"
EXPIRED = "API key has expired"
NOT_ADMIN = "Invalid admin API key"
NO_ACCESS = "You do not have access to this sandbox"

USER_HANDLERS = {
    "GET /api/me": "SelfService.show",
    "POST /api/me/apikeys": "SelfService.create_key",
    "GET /api/me/apikeys": "SelfService.list_keys",
    "DELETE /api/me/apikeys/:keyId": "SelfService.revoke_key",
    "GET /api/sandboxes": "Sandboxes.list",
    "POST /api/sandboxes": "Sandboxes.create",
}
BOX_HANDLERS = {
    "GET /api/sandboxes/:name": "Sandboxes.get",
    "DELETE /api/sandboxes/:name": "Sandboxes.delete",
    "POST /api/sandboxes/:name/pause": "Sandboxes.pause",
    "POST /api/sandboxes/:name/resume": "Sandboxes.resume",
    "/proxy/:name/*": "Forwarding.forward",
}
ADMIN_HANDLERS = {
    "POST /api/admin/users": "Administration.create_user",
    "GET /api/admin/users": "Administration.list_users",
    "GET /api/admin/users/:id": "Administration.get_user",
    "PUT /api/admin/users/:id": "Administration.update_user",
    "DELETE /api/admin/users/:id": "Administration.delete_user",
    "POST /api/admin/users/:id/apikeys": "Administration.create_key",
    "GET /api/admin/users/:id/apikeys": "Administration.list_keys",
    "DELETE /api/admin/apikeys/:keyId": "Administration.revoke_key",
}


def handler_id(handler: str) -> str:
    """Return a handler as a part of a mutant's id."""
    return handler.lower().replace(".", "-").replace("_", "-")


class Forgiving(Gate):
    """Accept requests that would be refused with one of these messages; with none, all."""

    forgiven: ClassVar[tuple[str, ...]] = ()

    def require_user(self, request: Request) -> User:
        """Return the key's user, or another user in place of a refusal."""
        try:
            return super().require_user(request)
        except Refusal as refusal:
            if refusal.message not in self.forgiven and self.forgiven:
                raise
            return self._somebody(request)

    def require_admin(self, request: Request) -> None:
        """Accept the request in place of a refusal."""
        try:
            super().require_admin(request)
        except Refusal as refusal:
            if refusal.message not in self.forgiven and self.forgiven:
                raise

    def _somebody(self, request: Request) -> User:
        """Return the user of the key, valid or not, or else the last user of the store."""
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        found = self._store.key_by_hash(digest(key))
        return found[2] if found else self._store.users()[-1]


class Indifferent(Gate):
    """Give every user access to the sandboxes of all users."""

    def _owned(self, user: User, name: str) -> Sandbox:
        for each in [user, *self._store.users()]:
            if (sandbox := self._store.sandbox(each.id, name)) is not None:
                return sandbox
        return super()._owned(user, name)


class Open(Forgiving, Indifferent):
    """Accept every request, for every sandbox."""


def forgiving(*messages: str) -> type[Gate]:
    """Return a gate that accepts requests that would be refused with these messages."""

    class Lenient(Forgiving):
        forgiven = messages

    return Lenient


def hasty(*messages: str) -> type[Gate]:
    """Return a gate that performs the request before it refuses it with these messages."""

    class Hasty(Gate):
        def user(self, handler: Any) -> Endpoint:
            return self._hasty(super().user(handler), self._open().user(handler))

        def owner(self, handler: Any, read: Any) -> Endpoint:
            return self._hasty(super().owner(handler, read), self._open().owner(handler, read))

        def admin(self, handler: Any) -> Endpoint:
            return self._hasty(super().admin(handler), self._open().admin(handler))

        def _open(self) -> Gate:
            return Open(self._authenticator, self._store, self._clock)

        def _hasty(self, strict: Endpoint, lax: Endpoint) -> Endpoint:
            async def endpoint(request: Request) -> Response:
                try:
                    return await strict(request)
                except Refusal as refusal:
                    if refusal.message in messages:
                        await _done(lax, request)
                    raise

            return endpoint

    return Hasty


async def _done(lax: Endpoint, request: Request) -> None:
    """Perform a request, and ignore its refusal."""
    with contextlib.suppress(Refusal):
        await lax(request)


def before(name: str, gate: type[Gate]) -> Make:
    """Put another gate before a single handler."""

    class Mixed(Gate):
        def user(self, handler: Any) -> Endpoint:
            return self._before(handler).user(handler)

        def owner(self, handler: Any, read: Any) -> Endpoint:
            return self._before(handler).owner(handler, read)

        def admin(self, handler: Any) -> Endpoint:
            return self._before(handler).admin(handler)

        def _before(self, handler: Any) -> Gate:
            kind = gate if handler.__qualname__ == name else Gate
            return kind(self._authenticator, self._store, self._clock)

    return with_components(Mixed)
