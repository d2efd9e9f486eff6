"""Authentication and authorization that accept too much, on all routes or on one."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar

from sandbox_fakeproxy import APIError, ApiKey, Instant, Sandbox, Service, User

from .mutant import with_middleware
from .rewriting import answer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .mutant import Make

    Wrap = Callable[[ASGIApp], ASGIApp]
    Choice = Callable[[Scope], bool]
    Found = tuple[bytes, ApiKey, User]

MISSING = "Missing Authorization header"
FORMAT = "Invalid Authorization header format. Expected: Bearer <api-key>"
UNKNOWN = "Invalid API key"
INACTIVE = "API key is inactive"
DEACTIVATED = "User account is inactive"
EXPIRED = "API key has expired"
NOT_ADMIN = "Invalid admin API key"
NO_ACCESS = "You do not have access to this sandbox"

USER_ROUTES = {
    "SelfService.show": "GET /api/me",
    "SelfService.create_key": "POST /api/me/apikeys",
    "SelfService.list_keys": "GET /api/me/apikeys",
    "SelfService.revoke_key": "DELETE /api/me/apikeys/:keyId",
    "Sandboxes.list": "GET /api/sandboxes",
    "Sandboxes.create": "POST /api/sandboxes",
}
BOX_ROUTES = {
    "Sandboxes.get": "GET /api/sandboxes/:name",
    "Sandboxes.delete": "DELETE /api/sandboxes/:name",
    "Sandboxes.pause": "POST /api/sandboxes/:name/pause",
    "Sandboxes.resume": "POST /api/sandboxes/:name/resume",
    "Forwarding.forward": "/proxy/:name/*",
}
ADMIN_ROUTES = {
    "Administration.create_user": "POST /api/admin/users",
    "Administration.list_users": "GET /api/admin/users",
    "Administration.get_user": "GET /api/admin/users/:id",
    "Administration.update_user": "PUT /api/admin/users/:id",
    "Administration.delete_user": "DELETE /api/admin/users/:id",
    "Administration.create_key": "POST /api/admin/users/:id/apikeys",
    "Administration.list_keys": "GET /api/admin/users/:id/apikeys",
    "Administration.revoke_key": "DELETE /api/admin/apikeys/:keyId",
}
_ROUTES = USER_ROUTES | BOX_ROUTES | ADMIN_ROUTES


def route_id(route: str) -> str:
    """Return a route's name as a part of a mutant's id."""
    return route.lower().replace(".", "-").replace("_", "-")


# Which requests meet the mistake ------------------------------------------------------------------

# A middleware notes it of the request that is being served, and a service reads it.
_MEETS_MISTAKE: ContextVar[bool] = ContextVar("_MEETS_MISTAKE", default=True)


def meets_mistake() -> bool:
    """Tell whether the request that is being served meets the service's mistake."""
    return _MEETS_MISTAKE.get()


@contextmanager
def meeting_mistake(meets: bool) -> Generator[None]:
    """Have the request that is served within meet the service's mistake, or not."""
    token = _MEETS_MISTAKE.set(meets)
    try:
        yield
    finally:
        _MEETS_MISTAKE.reset(token)


def matching(pattern: str) -> Choice:
    """Choose the requests by a pattern of their method and path as sent."""

    def matches(scope: Scope) -> bool:
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        return re.fullmatch(pattern, f"{scope['method']} {path.decode('latin-1')}") is not None

    return matches


def to_route(name: str) -> Choice:
    """Choose the requests to a route."""
    return matching(_pattern(_ROUTES[name]))


def _pattern(route: str) -> str:
    method, _, path = route.rpartition(" ")
    methods = {"": r"\w+", "GET": "GET|HEAD"}.get(method, method)
    paths = re.sub(r":\w+", "[^/]+", path).replace("*", ".*")
    return f"({methods}) {paths}/?"


_KNOWN = matching(
    "|".join([*map(_pattern, _ROUTES.values()), r"(GET|HEAD) /health/?", r"\w+ /_fake/.*"])
)


def to_unknown_route(scope: Scope) -> bool:
    """Choose the requests without a route."""
    return not _KNOWN(scope)


def only(chosen: Choice, service: type[Service]) -> Make:
    """Make the fake with a service that makes its mistake only for these requests."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            with meeting_mistake(scope["type"] == "http" and chosen(scope)):
                await app(scope, receive, send)

        return noting

    return with_middleware(wrap, service=service)


def on_route(name: str, service: type[Service]) -> Make:
    """Make the fake with a service that makes its mistake only on one route."""
    return only(to_route(name), service)


# Services that accept too much --------------------------------------------------------------------


class Forgiving(Service):
    """Accept requests that would be refused with one of these messages; with none, all."""

    forgiven: ClassVar[tuple[str, ...]] = ()

    def authenticate(self, authorization: str | None) -> User:
        """Return the key's user, or another user in place of a refusal."""
        try:
            return super().authenticate(authorization)
        except APIError as refusal:
            if not self._forgives(refusal):
                raise
            return self._somebody(authorization)

    def authenticate_admin(self, authorization: str | None) -> None:
        """Accept the request in place of a refusal."""
        try:
            super().authenticate_admin(authorization)
        except APIError as refusal:
            if not self._forgives(refusal):
                raise

    def _forgives(self, refusal: APIError) -> bool:
        return meets_mistake() and (not self.forgiven or refusal.message in self.forgiven)

    def _somebody(self, authorization: str | None) -> User:
        """Return the user of the key, valid or not, or else the first user there was."""
        name = self.find_caller(authorization)
        return (name and self.store.user_named(name)) or self.store.users()[-1]


class Indifferent(Service):
    """Give every user access to the sandboxes of all users."""

    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        """Return a sandbox of that name of any user, the caller's first."""
        for each in [user, *self.store.users()] if meets_mistake() else []:
            if (sandbox := self.store.sandbox(each.id, name)) is not None:
                return sandbox
        return super().owned_sandbox(user, name)


class Open(Forgiving, Indifferent):
    """Accept every request, for every sandbox."""


def forgiving(*messages: str) -> type[Service]:
    """Return a service that accepts requests that would be refused with these messages."""

    class Lenient(Forgiving):
        forgiven = messages

    return Lenient


def hasty(route: str, *messages: str) -> Make:
    """Perform the requests to a route before they are refused with these messages."""
    return with_middleware(lambda app: _Hasty(app, to_route(route), messages), service=Open)


class _Hasty:
    """Perform requests that were refused with some messages, and then pass the refusal on."""

    def __init__(self, app: ASGIApp, chosen: Choice, messages: tuple[str, ...]) -> None:
        self._app = app
        self._chosen = chosen
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        received: list[Message] = []

        async def recorded() -> Message:
            received.append(await receive())
            return received[-1]

        with meeting_mistake(False):
            if scope["type"] != "http" or not self._chosen(scope):
                await self._app(scope, receive, send)
                return
            answer = await answer_of(self._app, {**scope}, recorded)
        if answer.status in {401, 403} and json.loads(answer.body)["message"] in self._messages:
            with meeting_mistake(True):
                await answer_of(self._app, {**scope}, replaying(received, receive))
        await answer.pass_on(send, scope["method"])


def replaying(received: list[Message], receive: Receive) -> Receive:
    """Return the received messages again, and then the following ones."""
    messages = iter(received)

    async def replayed() -> Message:
        return next(messages, None) or await receive()

    return replayed


# Services that keep keys in another way -----------------------------------------------------------


class Keyring(Service):
    """Look keys up and make them in steps that a wrong proxy can replace one by one."""

    shown: ClassVar[int] = 12  # characters of a key

    def digest(self, secret: str) -> bytes:
        """Return the hash under which a key is kept."""
        return hashlib.sha256(secret.encode("latin-1")).digest()

    def find(self, key_hash: bytes) -> Found | None:
        """Return the key of that hash and its user."""
        return self.store.key_by_hash(key_hash)

    def new_secret(self) -> str:
        """Make a key's secret."""
        return self.ids.api_key()

    def handed_out(self, _user: User, secret: str) -> str:
        """Return the secret that is shown for a new key."""
        return secret

    def authenticate(self, authorization: str | None) -> User:
        """Return the user of a key, and note that it was used."""
        found = self.find(self.digest(self.key_in(authorization)))
        if found is None:
            raise APIError(401, UNKNOWN)
        _, key, user = found
        now = self.clock.now()
        self.check_key(key, user, now)
        self.store.note_use(key.id, now)
        return user

    def create_key(
        self,
        user: User,
        name: str | None,
        expires_at: Instant | None,
        *,
        secret: str | None = None,
        is_active: bool = True,
    ) -> tuple[str, ApiKey]:
        """Make a key."""
        secret = secret if secret is not None else self.new_secret()
        key_id, now, prefix = self.ids.uuid(), self.clock.now(), secret[: self.shown]
        key = ApiKey(key_id, user.id, prefix, name, is_active, now, expires_at, None)
        self.store.add_key(key, self.digest(secret))
        return self.handed_out(user, secret), key
