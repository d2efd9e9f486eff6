"""Wrong proxies that let the wrong keys in, or keep the right ones out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy._clock import Instant
from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._proxy import auth, keys
from sandbox_fakeproxy._proxy.auth import Authenticator, digest
from sandbox_fakeproxy._proxy.gate import Gate
from sandbox_fakeproxy._state.records import ApiKey, User
from sandbox_fakeproxy._state.store import Store
from sandbox_fakeproxy._testing.in_tests import ADMIN_KEY

from .gates import (
    DEACTIVATED,
    EXPIRED,
    INACTIVE,
    UNKNOWN,
    forgiving,
)
from .mutant import Kind, with_components, with_patched
from .rewriting import changing, routed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.types import Scope

    from .mutant import Make

Found = tuple[bytes, ApiKey, User]

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
    LET_IN.add(f"auth.let-in.{_id}", f"{_said}.", with_components(forgiving(_message)), _clause)


@LET_IN.of(
    "auth.let-in.deleted-user",
    "The key of a user who was deleted still works.",
    "auth.key.deleted-user",
)
class Remembering(Store):
    def key_by_hash(self, key_hash: bytes) -> Found | None:
        found = super().key_by_hash(key_hash) or self._met.get(key_hash)
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
    def key_by_hash(self, key_hash: bytes) -> Found | None:
        return self._met.get(key_hash) or super().key_by_hash(key_hash)


@LET_IN.of(
    "auth.let-in.other-keys",
    "Of a user who was deactivated, only the first key is refused.",
    "auth.user.deactivated",
)
class FirstKeyOnly(Store):
    def key_by_hash(self, key_hash: bytes) -> Found | None:
        found = super().key_by_hash(key_hash)
        if found is None or found[1].id == self.keys(found[2].id)[-1].id:
            return found
        return found[0], found[1], replace(found[2], is_active=True)


@LET_IN.of(
    "auth.let-in.admin-key",
    "The admin key is taken for a user's, that of the user named admin.",
    "auth.key.admin",
)
class AdminIsUser(Authenticator):
    def user(self, authorization: str | None, now: datetime) -> User:
        try:
            self.require_admin(authorization)
        except Refusal:
            return super().user(authorization, now)
        return self._store.users()[-1]


@LET_IN.of(
    "auth.let-in.user-as-admin",
    "Any user's key is taken for the admin key.",
    "auth.admin-key.user",
)
class UserIsAdmin(Gate):
    def require_admin(self, request: Request) -> None:
        try:
            self.require_user(request)
        except Refusal:
            super().require_admin(request)


def _digest_of(seen: Callable[[str], str]) -> Make:
    """Compare only a part of each key."""
    return with_patched("digest", changing(lambda secret: digest(seen(secret))), auth, keys)


for _id, _said, _seen in (
    ("case", "without regard to case", str.lower),
    ("beginning", "by their first 20 characters", changing(lambda key: key[:20])),
    ("last-but-one", "by their first 39 characters", changing(lambda key: key[:39])),
    ("excess", "by their first 40 characters, whatever follows", changing(lambda key: key[:40])),
):
    LET_IN.add(
        f"auth.let-in.nearly.{_id}",
        f"Keys are compared {_said}.",
        _digest_of(_seen),
        "auth.key.nearly",
    )
for _id, _said, _is_same in (
    ("case", "without regard to case", changing(lambda key: key.lower() == ADMIN_KEY.lower())),
    ("beginning", "by its beginning", changing(lambda key: key.startswith(ADMIN_KEY))),
    ("part", "by whether it begins like the admin key", ADMIN_KEY.startswith),
):

    class _Admins(Authenticator):
        is_same: Callable[[str], bool] = staticmethod(_is_same)

        def require_admin(self, authorization: str | None) -> None:
            key = (authorization or "").removeprefix("Bearer ")
            is_admins = key and self.is_same(key)
            super().require_admin(f"Bearer {ADMIN_KEY}" if is_admins else authorization)

    LET_IN.add(
        f"auth.let-in.nearly-admin.{_id}",
        f"The admin key is compared {_said}.",
        with_components(_Admins),
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

    class _Late(Authenticator):
        late = _late

        def user(self, authorization: str | None, now: datetime) -> User:
            return super().user(authorization, now - self.late)

    EXPIRY.add(
        f"auth.expiry.{_id}",
        f"A key expires {_said}.",
        with_components(_Late),
        "auth.key.expiry-instant",
    )


@EXPIRY.of(
    "auth.expiry.by-the-day",
    "A key works until the end of the day on which it expires.",
    "auth.key.expiry-instant",
    "auth.key.expires-later",
)
class ByTheDay(Store):
    def key_by_hash(self, key_hash: bytes) -> Found | None:
        found = super().key_by_hash(key_hash)
        if found is None or found[1].expires_at is None:
            return found
        day = 86_400_000_000  # microseconds
        end = Instant((found[1].expires_at.micros // day + 1) * day - 1)
        return found[0], replace(found[1], expires_at=end), found[2]


EXPIRY.add(
    "auth.expiry.forgotten",
    "An expiry is taken and has no effect.",
    with_components(forgiving(EXPIRED)),
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
class ForEver(Store):
    def update_user(self, user: User) -> None:
        before = self.user(user.id)
        is_active = user.is_active and bool(before and before.is_active)
        super().update_user(replace(user, is_active=is_active))


@KEPT_OUT.of(
    "auth.kept-out.keys-revoked",
    "Deactivating a user revokes the keys, for good.",
    "auth.user.reactivated",
    "auth.user.deactivated",
)
class Revoking(Store):
    def update_user(self, user: User) -> None:
        super().update_user(user)
        for key in () if user.is_active else self.keys(user.id):
            self.revoke_key(key.id)


@KEPT_OUT.of(
    "auth.kept-out.first-use",
    "A key opens nothing the first time that it is used.",
    "admin.key-create.works",
    "me.key-create.works",
)
class FirstUse(Store):
    def key_by_hash(self, key_hash: bytes) -> Found | None:
        found = super().key_by_hash(key_hash)
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
