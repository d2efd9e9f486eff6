"""Requests and replies of the proxy's health, user and key routes, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sandbox_client.errors import InvalidResponse
from sandbox_client.text import KEY_PREFIX, as_word

from .message import Request, as_object, member, mismatch, optional, path_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Reply


YEARS = range(1970, 9999)
ACCOUNT_MAY_BE_MADE = (
    "The proxy may have done it all the same. Log in again: an existing user is used, and a key"
    " in a lost response stays unused."
)


@dataclass(frozen=True)
class Health:
    """The reply to /health; `time` is the proxy's clock, None if missing or malformed."""

    status: str
    database: str
    time: datetime | None

    @property
    def is_good(self) -> bool:
        """Whether the proxy and its database work."""
        return self.status == "ok" and self.database == "connected"

    @property
    def description(self) -> str:
        """The status of the proxy and its database in one line."""
        return f"status {self.status!r}, database {self.database or 'not reported'!r}"


@dataclass(frozen=True)
class User:
    """A user of the proxy, as the administrator's routes return it."""

    id: str
    name: str
    is_active: bool


@dataclass(frozen=True)
class Key:
    """An API key as the proxy lists it, without the secret part."""

    prefix: str
    is_active: bool
    expires_at: datetime | None


def health() -> Request:
    """Return a request for the state of the proxy and its database."""
    return Request.to_read("health", path_of("health"))


def me() -> Request:
    """Return a request for the user of the API key."""
    return Request.to_read("me", path_of("api", "me"))


def keys() -> Request:
    """Return a request for all API keys of the user."""
    return Request.to_read("me", path_of("api", "me", "apikeys"))


def users() -> Request:
    """Return an administrator's request for all users."""
    return Request.to_read("users", path_of("api", "admin", "users"))


def make_user(name: str) -> Request:
    """Return an administrator's request to create a user."""
    path = path_of("api", "admin", "users")
    return Request.to_change(
        "users", "POST", path, body={"username": name}, if_lost=ACCOUNT_MAY_BE_MADE
    )


def make_key(user: User, name: str) -> Request:
    """Return an administrator's request to create an API key for a user."""
    path = path_of("api", "admin", "users", user.id, "apikeys")
    return Request.to_change(
        "users", "POST", path, body={"name": name}, if_lost=ACCOUNT_MAY_BE_MADE
    )


def read_health(reply: Reply) -> Health:
    """Read the reply to `health`."""
    content = as_object(reply.json(), "the reply to /health")
    return Health(
        status=reply.clean(member(content, "status", str)),
        database=reply.clean(optional(content, "database")),
        time=parse_time(optional(content, "timestamp")),
    )


def read_owner(reply: Reply) -> str:
    """Read the user's name from the reply to `me`."""
    content = as_object(reply.json(), "the reply")
    return reply.clean(member(as_object(content.get("user"), "user"), "username", str))


def read_keys(reply: Reply) -> list[Key]:
    """Read the reply to `keys`."""
    return [
        Key(
            prefix=member(row, "key_prefix", str),
            is_active=member(row, "is_active", bool),
            expires_at=parse_time(optional(row, "expires_at")),
        )
        for row in _rows(reply, "api_keys")
    ]


def read_users(reply: Reply) -> list[User]:
    """Read the reply to `users`."""
    return [_user(row, reply) for row in _rows(reply, "users")]


def read_made_user(reply: Reply, name: str) -> User:
    """Read the reply to `make_user` with this name.

    Raises:
        InvalidResponse: the reply is about another user, or malformed.
    """
    content = as_object(reply.json(), "the reply")
    user = _user(as_object(content.get("user"), "user"), reply)
    if user.name != name:
        raise InvalidResponse(f"The proxy's reply is about user {as_word(user.name)}, not '{name}'")
    return user


def read_made_key(reply: Reply) -> str:
    """Read the key from the reply to `make_key`; no other reply contains it."""
    key = member(as_object(reply.json(), "the reply"), "api_key", str)
    if not key.startswith(KEY_PREFIX):
        raise mismatch("api_key", f"a key that starts with {KEY_PREFIX}", key)
    return key


def _rows(reply: Reply, name: str) -> list[Mapping[str, object]]:
    rows = rows_of(as_object(reply.json(), "the list"), name)
    return [as_object(row, f"one of {name}") for row in rows]


def _user(content: Mapping[str, object], reply: Reply) -> User:
    return User(
        id=member(content, "id", str),
        name=reply.clean(member(content, "username", str)),
        is_active=member(content, "is_active", bool),
    )


def parse_time(text: str) -> datetime | None:
    """Parse a timestamp of the proxy, in UTC.

    Return None if it is malformed, has no time zone, or is in a year that no clock can mean. So a
    difference to another time never overflows.
    """
    try:
        local = datetime.fromisoformat(text)
        time = local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if local.tzinfo and time.year in YEARS else None
