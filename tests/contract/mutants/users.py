"""Wrong proxies in how users are made."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy._errors import AlreadyExists, Refusal
from sandbox_fakeproxy._proxy import fields as rules
from sandbox_fakeproxy._proxy.administration import Administration
from sandbox_fakeproxy._state.store import Store

from .mutant import Kind, with_patched
from .rewriting import (
    USERS,
    answered,
    asked,
    body,
    error,
    losing,
    setting,
    status,
    turning,
)

if TYPE_CHECKING:
    from sandbox_fakeproxy._http import Arguments, Reply
    from sandbox_fakeproxy._state.records import User

# Made --------------------------------------------------------------------------------------------

MADE = Kind("Making a user")
for _id, _said, _change in (
    ("status", "Making a user is 200", status(200)),
    ("no-success", "The answer lacks success", body(losing("success"))),
    ("no-id", "The answer lacks the id", body(losing("user.id"))),
    ("number-id", "The id is a number", body(setting("user.id", 7))),
    ("no-email", "The answer lacks the e-mail", body(losing("user.email"))),
    ("no-created", "The answer lacks created_at", body(losing("user.created_at"))),
    ("active-text", "is_active is a text", body(turning("user.is_active", str))),
    ("active-number", "is_active is a number", body(turning("user.is_active", int))),
    ("inactive", "A new user is not active", body(setting("user.is_active", False))),
    ("flat", "The user is not below user", body(lambda said: said | said.pop("user"))),
    (
        "upper-case",
        "The username is shown in upper case",
        body(turning("user.username", str.upper)),
    ),
    (
        "no-milliseconds",
        "created_at has no milliseconds",
        body(turning("user.created_at", lambda at: re.sub(r"\.\d+", "", at))),
    ),
    ("no-z", "created_at has no zone", body(turning("user.created_at", lambda at: at[:-1]))),
):
    MADE.add(
        f"users.made.{_id}",
        f"{_said}.",
        answered(f"POST {USERS}", _change),
        "admin.user-create.reply",
    )
MADE.add(
    "users.made.email-254",
    "An e-mail address may have 254 characters.",
    with_patched("TEXT_LIMIT", 254, rules),
    "admin.user-create.longest-email",
)
MADE.add(
    "users.made.empty-email",
    "Without an e-mail address, an empty one is shown.",
    answered(f"POST {USERS}", body(turning("user.email", lambda email: email or ""))),
    "admin.user-create.without-email",
)
MADE.add(
    "users.made.email-forgotten",
    "A new user's e-mail address is forgotten.",
    asked((f"POST {USERS}", losing("email"))),
    "admin.user-create.reply",
)


@MADE.of(
    "users.made.email-not-kept",
    "A new user's e-mail address is shown, and not kept.",
    "admin.user-get.reply",
)
class EmailLost(Store):
    def add_user(self, user: User) -> None:
        super().add_user(replace(user, email=None))


class _Making(Administration):
    """An administration that refuses to make some users."""

    async def create_user(self, asked: Arguments) -> Reply:
        self.check(asked.body)
        return await super().create_user(asked)

    def check(self, body: dict[str, Any]) -> None:
        """Refuse."""


@MADE.of(
    "users.made.email-required",
    "A user needs an e-mail address.",
    "admin.user-create.without-email",
)
class EmailRequired(_Making):
    def check(self, body: dict[str, Any]) -> None:
        if body.get("username") and not body.get("email"):
            raise Refusal(400, "email is required")


@MADE.of(
    "users.made.any-name",
    "Without a username, a user gets one.",
    "admin.user-create.username-required",
)
class AnyName(_Making):
    def check(self, body: dict[str, Any]) -> None:
        body["username"] = body.get("username") or f"user-{len(self._store.users())}"


MADE.add(
    "users.made.which-field",
    "That a username is missing is said without its name.",
    answered(f"POST {USERS}", body(setting("message", "Bad request")), on=400),
    "admin.user-create.username-required",
)
MADE.add(
    "users.made.422",
    "A user without a username is 422.",
    answered(f"POST {USERS}", error(422, "Unprocessable Entity", "username is required"), on=400),
    "admin.user-create.username-required",
)
for _id, _said, _pattern in (
    ("57-at-most", "A username of 58 characters is refused", r"[a-z0-9]([-a-z0-9]{0,55}[a-z0-9])?"),
):
    MADE.add(
        f"users.made.{_id}",
        f"{_said}.",
        with_patched("_USERNAME", re.compile(_pattern), rules),
        "admin.user-create.longest",
    )


# Taken -------------------------------------------------------------------------------------------

for _id, _said, _change in (
    ("taken-400", "A username that is taken is 400", error(400, "Bad Request", "It is taken")),
    ("taken-200", "A username that is taken is 200", status(200)),
    (
        "taken-message",
        "That a username is taken is said without it",
        error(409, "Conflict", "It is taken"),
    ),
):
    MADE.add(
        f"users.made.{_id}",
        f"{_said}.",
        answered(f"POST {USERS}", _change, on=409),
        "admin.user-create.taken",
    )


@MADE.of(
    "users.made.taken-replaces",
    "A user of a name that is taken takes that one's place.",
    "admin.user-create.taken",
)
class Replacing(Store):
    def add_user(self, user: User) -> None:
        taken = self.user_named(user.username)
        if taken is not None:
            self.delete_user(taken.id)
        super().add_user(user)


@MADE.of(
    "users.made.taken-kills",
    "Asking for a username that is taken is refused, and deletes the user who has it.",
    "admin.user-create.taken",
)
class Killing(Store):
    def add_user(self, user: User) -> None:
        try:
            super().add_user(user)
        except AlreadyExists:
            taken = self.user_named(user.username)
            self.delete_user(taken.id if taken else "")
            raise


KINDS = (MADE,)
