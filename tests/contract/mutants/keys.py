"""Wrong proxies in how keys are made and listed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import APIError, Instant, Service

from .gates import meets_mistake, on_route
from .mutant import Kind
from .rewriting import (
    KEYS,
    MINE,
    answered,
    asked,
    body,
    changing,
    losing,
    renaming,
    setting,
    status,
    turning,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sandbox_fakeproxy import ApiKey, User


# Answers ---------------------------------------------------------------------------------------

MADE = Kind("Making a key")
for _id, _said, _change in (
    ("status", "Making a key is 200", status(200)),
    ("no-success", "The answer lacks success", body(losing("success"))),
    ("success-text", "Success is a text", body(setting("success", "true"))),
    ("no-message", "The answer lacks a message", body(losing("message"))),
    ("no-key", "The answer lacks the key", body(losing("api_key"))),
    ("null", "The key's description is null", body(setting("key_info", None))),
    ("renamed", "The key's description has another name", body(renaming("key_info", "key"))),
    ("no-prefix", "The description lacks key_prefix", body(losing("key_info.key_prefix"))),
    ("no-name", "The description lacks the name", body(losing("key_info.name"))),
    ("no-id", "The description lacks the id", body(losing("key_info.id"))),
    ("no-expiry", "The description lacks expires_at", body(losing("key_info.expires_at"))),
):
    MADE.add(
        f"keys.made.{_id}",
        f"{_said}.",
        answered(f"POST {KEYS}", _change),
        "admin.key-create.reply",
        "me.key-create.reply",
    )
MADE.add(
    "keys.made.nameless",
    "A key's name is forgotten.",
    asked((f"POST {KEYS}", losing("name"))),
    "admin.key-create.reply",
    "me.key-create.reply",
)
MADE.add(
    "keys.made.for-ever",
    "A key's expiry is forgotten.",
    asked((f"POST {KEYS}", losing("expires_at"))),
    "admin.key-create.expiry",
    "me.key-create.expiry",
    "auth.key.expired",
)
MADE.add(
    "keys.made.zone-ignored",
    "The time zone of a key's expiry is ignored.",
    asked((f"POST {KEYS}", turning("expires_at", lambda at: str(at).replace("+02:00", "Z")))),
    "admin.key-create.offset",
    "me.key-create.offset",
)
MADE.add(
    "keys.made.expiry-local",
    "A key's expiry is shown without its zone.",
    answered(
        rf"(GET|POST) {KEYS}", body(turning("key_info.expires_at", lambda at: at and at[:-1]))
    ),
    "admin.key-create.expiry",
    "me.key-create.expiry",
)


class _Making(Service):
    """A service that refuses to make some keys."""

    def create_key(
        self, user: User, name: str | None, expires_at: Instant | None, **options: Any
    ) -> tuple[str, ApiKey]:
        self.check(name, expires_at)
        return super().create_key(user, name, expires_at, **options)

    def check(self, name: str | None, expires_at: Instant | None) -> None:
        """Refuse."""


@MADE.of(
    "keys.made.named-only",
    "A key needs a name.",
    "admin.key-create.without-name",
)
class NameRequired(_Making):
    def check(self, name: str | None, expires_at: Instant | None) -> None:
        if not name:
            raise APIError(400, "name is required")


@MADE.of(
    "keys.made.no-past",
    "An expiry in the past is refused.",
    "admin.key-create.past-expiry",
    "auth.key.expired",
)
class NoPast(_Making):
    def check(self, name: str | None, expires_at: Instant | None) -> None:
        if expires_at is not None and expires_at <= Instant.of(self.clock.now()):
            raise APIError(400, "expires_at must be in the future")


class ForTheFirst(Service):
    def create_key(
        self, user: User, name: str | None, expires_at: Instant | None, **options: Any
    ) -> tuple[str, ApiKey]:
        owner = self.store.users()[-1] if meets_mistake() else user
        return super().create_key(owner, name, expires_at, **options)


MADE.add(
    "keys.made.for-the-first",
    "A user's own new key is the first user's.",
    on_route("SelfService.create_key", ForTheFirst),
    "me.key-create.works",
)
MADE.add(
    "keys.made.for-the-last",
    "The administrator's new keys are for the user who was made first.",
    on_route("Administration.create_key", ForTheFirst),
    "admin.key-create.works",
)


# Lists -------------------------------------------------------------------------------------------

LISTED = Kind("Lists of keys")
for _id, _said, _change in (
    ("name", "lack the name", losing("api_keys.*.name")),
    ("expiry", "lack expires_at", losing("api_keys.*.expires_at")),
    ("used", "lack last_used_at", losing("api_keys.*.last_used_at")),
    ("active", "lack is_active", losing("api_keys.*.is_active")),
    ("active-number", "have a number as is_active", turning("api_keys.*.is_active", int)),
    ("active-text", "have a text as is_active", turning("api_keys.*.is_active", str)),
    ("created", "have another created_at", setting("api_keys.*.created_at", "2026-01-01")),
    ("null", "are null", setting("api_keys", None)),
    ("renamed", "call the keys keys", renaming("api_keys", "keys")),
):
    LISTED.add(
        f"keys.listed.{_id}",
        f"Lists of keys {_said}.",
        answered(f"GET {KEYS}", body(_change)),
        "admin.key-list.reply",
        "me.key-list.reply",
    )

_LISTS = {"me": MINE, "admin": r"/api/admin/users/[^/]+/apikeys"}


for _area, _path in _LISTS.items():
    LISTED.add(
        f"keys.{_area}.count.more",
        f"The count of keys at {_area} is one too many.",
        answered(f"GET {_path}", body(turning("count", lambda count: count + 1))),
        f"{_area}.key-list.count",
    )
    LISTED.add(
        f"keys.{_area}.count.text",
        f"The count of keys at {_area} is a text.",
        answered(f"GET {_path}", body(turning("count", str))),
        f"{_area}.key-list.count",
    )
    LISTED.add(
        f"keys.{_area}.count.none",
        f"The list of keys at {_area} has no count.",
        answered(f"GET {_path}", body(losing("count"))),
        f"{_area}.key-list.count",
    )
    LISTED.add(
        f"keys.{_area}.oldest-first",
        f"The keys at {_area} are listed oldest first.",
        answered(f"GET {_path}", body(turning("api_keys", lambda rows: rows[::-1]))),
        f"{_area}.key-list.newest-first",
    )


def _count_active(said: dict[str, Any]) -> dict[str, Any]:
    return said | {"count": sum(row["is_active"] for row in said["api_keys"])}


LISTED.add(
    "keys.listed.count-active",
    "The count of keys leaves out the revoked ones, and the list does not.",
    answered(f"GET {KEYS}", body(_count_active)),
    "admin.key-list.count",
    "me.key-list.count",
)


@LISTED.of(
    "keys.listed.by-use",
    "Keys are listed by when they were used last.",
    "admin.key-list.newest-first",
    "me.key-list.newest-first",
)
class ByUse(Service):
    def keys(self, user: User) -> list[ApiKey]:
        found = super().keys(user)
        return sorted(found, key=lambda key: key.last_used_at is None)


@LISTED.of(
    "keys.listed.revoked-gone",
    "A revoked key is not listed any more.",
    "admin.key-list.revoked",
    "me.key-list.revoked",
)
class ActiveOnly(Service):
    def keys(self, user: User) -> list[ApiKey]:
        return [key for key in super().keys(user) if key.is_active]


@LISTED.of(
    "keys.listed.revoked-active",
    "A revoked key is listed as if it were active.",
    "admin.key-list.revoked",
    "me.key-list.revoked",
)
class AlwaysActive(Service):
    def keys(self, user: User) -> list[ApiKey]:
        return [replace(key, is_active=True) for key in super().keys(user)]


@LISTED.of(
    "keys.listed.everybodys",
    "A list of keys is everybody's.",
    "admin.key-list.of-one-user",
    "me.key-list.own",
)
class Everybodys(Service):
    def keys(self, user: User) -> list[ApiKey]:
        return [key for each in self.store.users() for key in self.store.keys(each.id)]


@LISTED.of(
    "keys.listed.never-used",
    "When a key was used is never noted.",
    "admin.key-list.last-used",
)
class NeverUsed(Service):
    def note_use(self, key: ApiKey, now: datetime) -> None:
        pass


@LISTED.of(
    "keys.listed.first-use",
    "When a key was used first is shown as its last use.",
    "admin.key-list.last-used",
)
class FirstUse(Service):
    def note_use(self, key: ApiKey, now: datetime) -> None:
        super().note_use(key, now if key.last_used_at is None else key.last_used_at)


@LISTED.of(
    "keys.listed.all-used",
    "Using a key counts as using all of that user's.",
    "me.key-list.reply",
)
class AllUsed(Service):
    def note_use(self, key: ApiKey, now: datetime) -> None:
        for each in self.store.keys(key.user_id):
            super().note_use(each, now)


# Oneself -----------------------------------------------------------------------------------------

ONESELF = Kind("A user shown to that user")
for _id, _said, _change in (
    ("no-id", "lacks the id", losing("user.id")),
    ("no-email", "lacks the e-mail", losing("user.email")),
    ("no-name", "lacks the username", losing("user.username")),
    ("other", "is another user", setting("user.username", "admin")),
    ("number", "has a number as id", setting("user.id", 1)),
    ("flat", "is not below user", changing(lambda said: said["user"])),
    ("null", "is null", setting("user", None)),
):
    ONESELF.add(
        f"me.shown.{_id}",
        f"The user whose key it is {_said}.",
        answered("GET /api/me/?", body(_change)),
        "me.show.reply",
    )

KINDS = (
    ONESELF,
    MADE,
    LISTED,
)
