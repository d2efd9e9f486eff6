"""Wrong proxies in how users are listed and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import Service

from .mutant import Kind
from .rewriting import (
    KEYS,
    USER,
    USERS,
    answered,
    body,
    changing,
    error,
    losing,
    renaming,
    routed,
    setting,
    turning,
)

if TYPE_CHECKING:
    from sandbox_fakeproxy import User
    from starlette.types import Scope

# Listed and shown --------------------------------------------------------------------------------

SHOWN = Kind("Users listed and shown")
for _id, _said, _change, _clause in (
    ("no-email", "lacks the e-mail", losing("users.*.email"), "reply"),
    ("no-created", "lacks created_at", losing("users.*.created_at"), "reply"),
    ("active-number", "has numbers as is_active", turning("users.*.is_active", int), "reply"),
    ("renamed", "calls its rows items", renaming("users", "items"), "reply"),
    ("null", "is null", setting("users", None), "reply"),
    ("more", "counts one too many", turning("count", lambda count: count + 1), "count"),
    ("text", "has a text as count", turning("count", str), "count"),
    ("none", "has no count", losing("count"), "count"),
    ("ten", "has ten as count", setting("count", 10), "count"),
    ("oldest", "is oldest first", turning("users", lambda rows: rows[::-1]), "newest-first"),
    (
        "by-name",
        "is in the order of names",
        turning("users", lambda rows: sorted(rows, key=lambda row: str(row["username"]))),
        "newest-first",
    ),
    (
        "no-admin",
        "hides the user named admin",
        turning("users", lambda rows: [row for row in rows if row["username"] != "admin"]),
        "admin",
    ),
):
    SHOWN.add(
        f"users.listed.{_id}",
        f"The list of users {_said}.",
        answered(f"GET {USERS}", body(_change)),
        f"admin.user-list.{_clause}",
    )


@SHOWN.of(
    "users.listed.tie",
    "Users of one instant are listed oldest first.",
    "admin.user-list.newest-first",
)
class Tied(Service):
    def users(self, *, active_only: bool = False) -> list[User]:
        found = super().users(active_only=active_only)[::-1]
        return sorted(found, key=lambda user: user.created_at, reverse=True)


@SHOWN.of(
    "users.listed.by-change",
    "Users are listed by when they were changed last.",
    "admin.user-list.newest-first",
)
class ByChange(Service):
    def users(self, *, active_only: bool = False) -> list[User]:
        found = super().users(active_only=active_only)
        return sorted(found, key=lambda user: user.updated_at, reverse=True)


def _count_active(said: dict[str, Any]) -> dict[str, Any]:
    return said | {"count": sum(bool(row["is_active"]) for row in said["users"])}


SHOWN.add(
    "users.listed.count-active",
    "The count of users leaves out those who were deactivated, and the list does not.",
    answered(f"GET {USERS}", body(_count_active)),
    "admin.user-list.count",
)


for _id, _said, _change in (
    ("ignored", "active_only is ignored", changing(lambda scope: {**scope, "query_string": b""})),
    (
        "always",
        "Users who were deactivated are never listed",
        changing(lambda scope: {**scope, "query_string": b"active_only=true"}),
    ),
):
    SHOWN.add(
        f"users.active-only.{_id}",
        f"{_said}.",
        routed(_change),
        "admin.user-list.active-only",
    )


def _any_value(scope: Scope) -> Scope:
    is_asked = b"active_only=" in scope["query_string"]
    return {**scope, "query_string": b"active_only=true"} if is_asked else scope


SHOWN.add(
    "users.active-only.any-value",
    "active_only leaves users out whatever its value.",
    routed(_any_value),
    "admin.user-list.active-only",
)


@SHOWN.of(
    "users.active-only.inverted",
    "active_only lists those who were deactivated.",
    "admin.user-list.active-only",
)
class Inverted(Service):
    def users(self, *, active_only: bool = False) -> list[User]:
        return [user for user in super().users() if not (active_only and user.is_active)]


for _id, _said, _change in (
    ("no-updated", "lacks updated_at", losing("user.updated_at")),
    ("updated-number", "has a number as updated_at", setting("user.updated_at", 1767225600)),
    ("no-email", "lacks the e-mail", losing("user.email")),
    ("active-text", "has a text as is_active", turning("user.is_active", str)),
    ("flat", "is not below user", changing(lambda said: said["user"])),
):
    SHOWN.add(
        f"users.shown.{_id}",
        f"A user who is shown {_said}.",
        answered(f"GET {USER}", body(_change)),
        "admin.user-get.reply",
    )
for _id, _said, _change in (
    ("400", "400", error(400, "Bad Request", "User not found")),
    ("200", "200 without a user", error(200, "OK", "User not found")),
    ("message", "404 with another message", error(404, "Not Found", "No such user")),
):
    SHOWN.add(
        f"users.unknown.{_id}",
        f"A user who is not there is {_said}.",
        answered(f"(GET|DELETE) {USER}", _change, on=404),
        "admin.user-get.unknown",
        "admin.user-delete.again",
    )

# More than was promised --------------------------------------------------------------------------

FIELDS = Kind("Fields that were not promised")
for _id, _said, _matches, _change, _clauses in (
    (
        "user-created",
        "The answer that creates a user shows the namespace",
        f"POST {USERS}",
        setting("user.namespace", "user-x"),
        ("admin.user-get.fields",),
    ),
    (
        "user-shown",
        "A user is shown with a password hash",
        f"GET {USER}",
        setting("user.password_hash", "5f4dcc3b"),
        ("admin.user-get.fields",),
    ),
    (
        "user-changed",
        "A changed user is shown with created_at",
        f"PUT {USER}",
        setting("user.created_at", "2026-01-01T00:00:00.000Z"),
        ("admin.user-get.fields",),
    ),
    (
        "user-listed",
        "Users are listed with updated_at",
        f"GET {USERS}",
        setting("users.*.updated_at", "2026-01-01T00:00:00.000Z"),
        ("admin.user-get.fields",),
    ),
    (
        "me",
        "A user's own description says whether the user is active",
        "GET /api/me",
        setting("user.is_active", to=True),
        ("me.show.fields",),
    ),
    (
        "key-created",
        "The answer that creates a key shows its hash",
        f"POST {KEYS}",
        setting("key_info.key_hash", "5f4dcc3b"),
        ("admin.key-list.fields", "me.key-list.fields"),
    ),
    (
        "key-listed",
        "Keys are listed with their hashes",
        f"GET {KEYS}",
        setting("api_keys.*.key_hash", "5f4dcc3b"),
        ("admin.key-list.fields", "me.key-list.fields"),
    ),
):
    FIELDS.add(f"fields.more.{_id}", f"{_said}.", answered(_matches, body(_change)), *_clauses)

KINDS = (SHOWN, FIELDS)
