"""Wrong proxies that let the wrong keys in, or keep the right ones out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy import APIError, ApiKey, Instant, Service, User

from .gates import DEACTIVATED, EXPIRED, INACTIVE, UNKNOWN, Keyring, forgiving
from .mutant import Kind, with_settings
from .rewriting import changing, routed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.types import Scope

    from .gates import Found

ADMIN_KEY = "fake-proxy-admin-key"  # of the proxies that compare it wrongly
TICK = timedelta(milliseconds=1)


# Keys --------------------------------------------------------------------------------------------


def _unstripped(path: str, blank: bytes) -> Callable[[Scope], Scope]:
    """Return a change that replaces a blank at the end of `Authorization` by a letter."""

    def kept(name: bytes, value: bytes) -> tuple[bytes, bytes]:
        is_kept = name == b"authorization" and value.endswith(blank)
        return name, (value.rstrip() + b"x" if is_kept else value)

    def change(scope: Scope) -> Scope:
        if re.fullmatch(path, scope["path"]) is None:
            return scope
        return {**scope, "headers": [kept(*pair) for pair in scope["headers"]]}

    return change


STRIPPED = Kind("Blanks after a key")
for _id, _said, _clause, _path in (
    ("user", "after a user's key", "auth.header.blanks-after", "/(api/(me|sandboxes)|proxy).*"),
    ("me", "after a key that asks whose it is", "auth.header.blanks-after", "/api/me"),
    ("proxy", "after a key below /proxy/", "auth.header.blanks-after", "/proxy/.*"),
    ("admin", "after the admin key", "auth.admin-header.blanks-after", "/api/admin/.*"),
):
    for _kind, _name, _blank in (("blank", "A blank", b" "), ("tab", "A tab", b"\t")):
        STRIPPED.add(
            f"auth.{_kind}-after.{_id}",
            f"{_name} {_said} is taken for a part of it.",
            routed(_unstripped(_path, _blank)),
            _clause,
        )

LET_IN = Kind("A key that should open nothing")
for _id, _message, _clause, _said in (
    ("revoked", INACTIVE, "auth.key.revoked", "A revoked key still opens everything"),
    ("expired", EXPIRED, "auth.key.expired", "A key opens everything after its expiry too"),
    ("deactivated", DEACTIVATED, "auth.user.deactivated", "Who was deactivated is still let in"),
    ("unknown", UNKNOWN, "auth.key.unknown", "Any key opens everything"),
):
    LET_IN.add(
        f"auth.let-in.{_id}", f"{_said}.", with_settings(service=forgiving(_message)), _clause
    )


@LET_IN.of(
    "auth.let-in.deleted-user",
    "The key of a user who was deleted still works.",
    "auth.key.deleted-user",
)
class Remembering(Keyring):
    def find(self, key_hash: bytes) -> Found | None:
        found = super().find(key_hash) or self._met.get(key_hash)
        if found is not None:
            self._met[key_hash] = found
        return found

    @cached_property
    def _met(self) -> dict[bytes, Found]:
        return {}


@LET_IN.of(
    "auth.let-in.cached",
    "A key that was used is remembered, and works for a while after it was revoked.",
    "auth.key.revoked",
    "races.revoke-use.legal",
)
class Cached(Remembering):
    def find(self, key_hash: bytes) -> Found | None:
        return self._met.get(key_hash) or super().find(key_hash)


@LET_IN.of(
    "auth.let-in.other-keys",
    "Of a user who was deactivated, only the first key is refused.",
    "auth.user.deactivated",
)
class FirstKeyOnly(Service):
    def check_key(self, key: ApiKey, user: User, now: datetime) -> None:
        is_first = key.id == self.store.keys(user.id)[-1].id
        super().check_key(key, user if is_first else replace(user, is_active=True), now)


@LET_IN.of(
    "auth.let-in.admin-key",
    "The admin key is taken for a user's, that of the user named admin.",
    "auth.key.admin",
)
class AdminIsUser(Service):
    def authenticate(self, authorization: str | None) -> User:
        try:
            self.authenticate_admin(authorization)
        except APIError:
            return super().authenticate(authorization)
        return self.store.users()[-1]


@LET_IN.of(
    "auth.let-in.user-as-admin",
    "Any user's key is taken for the admin key.",
    "auth.admin-key.user",
)
class UserIsAdmin(Service):
    def authenticate_admin(self, authorization: str | None) -> None:
        try:
            self.authenticate(authorization)
        except APIError:
            super().authenticate_admin(authorization)


for _id, _said, _seen in (
    ("case", "without regard to case", str.lower),
    ("beginning", "by their first 20 characters", changing(lambda key: key[:20])),
    ("last-but-one", "by their first 39 characters", changing(lambda key: key[:39])),
    ("excess", "by their first 40 characters, whatever follows", changing(lambda key: key[:40])),
    (
        "end",
        "by their last 20 characters and their length",
        changing(lambda key: f"{len(key)} {key[-20:]}"),
    ),
    ("ends", "but for the characters in the middle", changing(lambda key: key[:16] + key[24:])),
):

    class _Nearly(Keyring):
        seen: Callable[[str], str] = staticmethod(_seen)

        def digest(self, secret: str) -> bytes:
            return super().digest(self.seen(secret))

        def authenticate_admin(self, authorization: str | None) -> None:
            if self.seen(self.key_in(authorization)) != self.seen(ADMIN_KEY):
                super().authenticate_admin(authorization)

    LET_IN.add(
        f"auth.let-in.nearly.{_id}",
        f"Keys are compared {_said}.",
        with_settings(service=_Nearly, admin_key=ADMIN_KEY),
        "auth.key.nearly",
    )
for _id, _said, _is_same in (
    ("case", "without regard to case", changing(lambda key: key.lower() == ADMIN_KEY.lower())),
    ("beginning", "by its beginning", changing(lambda key: key.startswith(ADMIN_KEY))),
    ("part", "by whether it begins like the admin key", ADMIN_KEY.startswith),
    (
        "end",
        "by all but its first character",
        changing(lambda key: key[1:] == ADMIN_KEY[1:]),
    ),
):

    class _Admins(Service):
        is_same: Callable[[str], bool] = staticmethod(_is_same)

        def authenticate_admin(self, authorization: str | None) -> None:
            if not self.is_same(self.key_in(authorization)):
                super().authenticate_admin(authorization)

    LET_IN.add(
        f"auth.let-in.nearly-admin.{_id}",
        f"The admin key is compared {_said}.",
        with_settings(service=_Admins, admin_key=ADMIN_KEY),
        "auth.admin-key.nearly",
    )


# When a key is over ------------------------------------------------------------------------------

EXPIRY = Kind("Expiry")
for _id, _said, _late in (
    ("late-by-a-tick", "one tick too late", TICK),
    ("early-by-a-tick", "one tick too early", -TICK),
    ("late-by-a-minute", "a minute too late", timedelta(minutes=1)),
    ("early-by-an-hour", "an hour too early, as by another time zone", -timedelta(hours=1)),
):

    class _Late(Service):
        late = _late

        def check_key(self, key: ApiKey, user: User, now: datetime) -> None:
            super().check_key(key, user, now - self.late)

    EXPIRY.add(
        f"auth.expiry.{_id}",
        f"A key expires {_said}.",
        with_settings(service=_Late),
        "auth.key.expiry-instant",
    )


@EXPIRY.of(
    "auth.expiry.by-the-day",
    "A key works until the end of the day on which it expires.",
    "auth.key.expiry-instant",
    "auth.key.expires-later",
)
class ByTheDay(Service):
    def check_key(self, key: ApiKey, user: User, now: datetime) -> None:
        if key.expires_at is not None:
            day = 86_400_000_000  # microseconds
            end = Instant((key.expires_at.micros // day + 1) * day - 1)
            key = replace(key, expires_at=end)
        super().check_key(key, user, now)


EXPIRY.add(
    "auth.expiry.forgotten",
    "An expiry is taken and has no effect.",
    with_settings(service=forgiving(EXPIRED)),
    "auth.key.expires-later",
    "admin.key-create.past-expiry",
)


# Refused users ---------------------------------------------------------------------------------

KEPT_OUT = Kind("Somebody kept out")


@KEPT_OUT.of(
    "auth.kept-out.reactivated",
    "Who was deactivated once stays so.",
    "auth.user.reactivated",
)
class ForEver(Service):
    def update_user(self, before: User, after: User) -> User:
        shown = super().update_user(before, after)
        if not before.is_active:
            self.store.update_user(replace(shown, is_active=False))
        return shown


@KEPT_OUT.of(
    "auth.kept-out.keys-revoked",
    "Deactivating a user revokes the keys, for good.",
    "auth.user.reactivated",
    "auth.user.deactivated",
)
class Revoking(Service):
    def update_user(self, before: User, after: User) -> User:
        user = super().update_user(before, after)
        for key in () if user.is_active else self.store.keys(user.id):
            self.store.revoke_key(key.id)
        return user


@KEPT_OUT.of(
    "auth.kept-out.first-use",
    "A key opens nothing the first time that it is used.",
    "admin.key-create.works",
    "me.key-create.works",
)
class FirstUse(Keyring):
    def find(self, key_hash: bytes) -> Found | None:
        found = super().find(key_hash)
        if found is None or key_hash in self._met:
            return found
        self._met.add(key_hash)
        return None

    @cached_property
    def _met(self) -> set[bytes]:
        return set()


KINDS = (
    STRIPPED,
    LET_IN,
    EXPIRY,
    KEPT_OUT,
)
