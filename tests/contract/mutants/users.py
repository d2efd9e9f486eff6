"""Wrong proxies in how users are made."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import APIError, Service

from .mutant import Kind
from .rewriting import USERS, answered, asked, body, error, losing, setting, status, turning

if TYPE_CHECKING:
    from sandbox_fakeproxy import User

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
class EmailLost(Service):
    def create_user(self, username: str, email: str | None, *, is_active: bool = True) -> User:
        user = super().create_user(username, email, is_active=is_active)
        self.store.update_user(replace(user, email=None))
        return user


class _Making(Service):
    """A service that refuses to make some users beside `admin`."""

    def create_user(self, username: str, email: str | None, *, is_active: bool = True) -> User:
        if username != "admin":
            self.check(username, email)
        return super().create_user(username, email, is_active=is_active)

    def check(self, username: str, email: str | None) -> None:
        """Refuse."""


@MADE.of(
    "users.made.email-254",
    "An e-mail address may have 254 characters.",
    "admin.user-create.longest-email",
)
class ShorterEmail(_Making):
    def check(self, username: str, email: str | None) -> None:
        if email is not None and len(email) > 254:
            raise APIError(400, "email must be text of at most 254 characters")


@MADE.of(
    "users.made.email-required",
    "A user needs an e-mail address.",
    "admin.user-create.without-email",
)
class EmailRequired(_Making):
    def check(self, username: str, email: str | None) -> None:
        if not email:
            raise APIError(400, "email is required")


_numbers = count()


def _named(said: dict[str, Any]) -> dict[str, Any]:
    return said | {"username": said.get("username") or f"user-{next(_numbers)}"}


MADE.add(
    "users.made.any-name",
    "Without a username, a user gets one.",
    asked((f"POST {USERS}", _named)),
    "admin.user-create.username-required",
)


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


@MADE.of(
    "users.made.57-at-most",
    "A username of 58 characters is refused.",
    "admin.user-create.longest",
)
class ShorterName(_Making):
    def check(self, username: str, email: str | None) -> None:
        if len(username) > 57:
            raise APIError(400, "username must be a DNS label of at most 57 characters")


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
class Replacing(Service):
    def create_user(self, username: str, email: str | None, *, is_active: bool = True) -> User:
        taken = self.store.user_named(username)
        if taken is not None:
            self.store.delete_user(taken.id)
        return super().create_user(username, email, is_active=is_active)


@MADE.of(
    "users.made.taken-kills",
    "Asking for a username that is taken is refused, and deletes the user who has it.",
    "admin.user-create.taken",
)
class Killing(Service):
    def create_user(self, username: str, email: str | None, *, is_active: bool = True) -> User:
        try:
            return super().create_user(username, email, is_active=is_active)
        except APIError:
            taken = self.store.user_named(username)
            self.store.delete_user(taken.id if taken else "")
            raise


KINDS = (MADE,)
