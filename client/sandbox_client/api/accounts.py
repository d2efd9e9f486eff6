"""The proxy's routes about itself, its users and their keys: requests out, replies in, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from sandbox_client.text import KEY_PREFIX

from .message import Request, as_object, member, optional, path_of, unlike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Reply


ACCOUNT_MAY_BE_MADE = (
    "The proxy may have done it all the same. Log in again: an existing user is used, and a key"
    " whose response was lost cannot be used by anybody."
)


@dataclass(frozen=True)
class Health:
    """What /health says; `time` is the proxy's, where it tells one that can be read."""

    status: str
    database: str
    time: datetime | None

    @property
    def is_good(self) -> bool:
        """Whether the proxy and its database work."""
        return self.status == "ok" and self.database == "connected"

    @property
    def words(self) -> str:
        """Return it as a person reads it."""
        return f"status {self.status!r}, database {self.database or 'not told'!r}"


@dataclass(frozen=True)
class User:
    """A user as an administrator sees one."""

    id: str
    name: str
    is_active: bool


@dataclass(frozen=True)
class Key:
    """A key as the proxy lists it, without its secret part."""

    prefix: str
    is_active: bool
    expires_at: datetime | None


def health() -> Request:
    """Ask whether the proxy and its database work."""
    return Request.to_read("health", path_of("health"))


def me() -> Request:
    """Ask whose key it is."""
    return Request.to_read("me", path_of("api", "me"))


def keys() -> Request:
    """Ask for the keys of the key's user."""
    return Request.to_read("me", path_of("api", "me", "apikeys"))


def users() -> Request:
    """Ask for all users, as an administrator."""
    return Request.to_read("users", path_of("api", "admin", "users"))


def make_user(name: str) -> Request:
    """Ask for a new user, as an administrator."""
    path = path_of("api", "admin", "users")
    return Request.to_change(
        "users", "POST", path, body={"username": name}, if_lost=ACCOUNT_MAY_BE_MADE
    )


def make_key(user: User, name: str) -> Request:
    """Ask for a new key of a user, as an administrator."""
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
        time=time_of(optional(content, "timestamp")),
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
            expires_at=time_of(optional(row, "expires_at")),
        )
        for row in _rows(reply, "api_keys")
    ]


def read_users(reply: Reply) -> list[User]:
    """Read the reply to `users`."""
    return [_user(row, reply) for row in _rows(reply, "users")]


def read_made_user(reply: Reply) -> User:
    """Read the reply to `make_user`."""
    content = as_object(reply.json(), "the reply")
    return _user(as_object(content.get("user"), "user"), reply)


def read_made_key(reply: Reply) -> str:
    """Read the reply to `make_key`, the only one that shows the key."""
    key = member(as_object(reply.json(), "the reply"), "api_key", str)
    if not key.startswith(KEY_PREFIX):
        raise unlike("api_key", f"a key that starts with {KEY_PREFIX}", key)
    return key


def _rows(reply: Reply, name: str) -> list[Mapping[str, object]]:
    rows = cast("list[object]", member(as_object(reply.json(), "the list"), name, list))
    return [as_object(row, f"one of {name}") for row in rows]


def _user(content: Mapping[str, object], reply: Reply) -> User:
    return User(
        id=member(content, "id", str),
        name=reply.clean(member(content, "username", str)),
        is_active=member(content, "is_active", bool),
    )


def time_of(text: str) -> datetime | None:
    """Return a timestamp of the proxy's; None for what is none, or tells no zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None
