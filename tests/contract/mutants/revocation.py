"""Wrong proxies in how keys are revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_fakeproxy import APIError, Service

from .mutant import Kind
from .rewriting import MINE, answered, body, error, losing, refused, setting, status

if TYPE_CHECKING:
    from datetime import datetime

    from sandbox_fakeproxy import ApiKey, User

REVOKING = r"DELETE /api/(me|admin)/apikeys/[^/]+"


# Revoking ----------------------------------------------------------------------------------------

REVOKED = Kind("Revoking a key")
for _id, _said, _change in (
    ("status", "Revoking a key is 204", status(204)),
    ("message", "Revoking a key says otherwise", body(setting("message", "API key deleted"))),
    ("success", "Revoking a key is no success", body(losing("success"))),
):
    REVOKED.add(
        f"keys.revoked.{_id}",
        f"{_said}.",
        answered(REVOKING, _change),
        "admin.key-revoke.reply",
        "me.key-revoke.reply",
    )


@REVOKED.of(
    "keys.revoked.not",
    "Revoking a key does nothing.",
    "admin.key-revoke.reply",
    "me.key-revoke.reply",
    "me.key-revoke.in-use",
)
class NotRevoked(Service):
    def revoke(self, key: ApiKey) -> None:
        pass


@REVOKED.of(
    "keys.revoked.forgotten",
    "A revoked key is forgotten, and then unknown.",
    "auth.key.revoked",
    "me.key-list.revoked",
    "me.key-revoke.again",
)
class Forgotten(Service):
    """A service that has a revoked key as if it were not stored."""

    def find_key(self, secret: str) -> tuple[ApiKey, User] | None:
        found = super().find_key(secret)
        return found if found is not None and found[0].is_active else None

    def keys(self, user: User) -> list[ApiKey]:
        return [key for key in super().keys(user) if key.is_active]

    def revoke_key(self, key_id: str, *, owner: User | None = None) -> None:
        key = self.store.key(key_id)
        if key is not None and not key.is_active:
            raise APIError(404, "API key not found")
        super().revoke_key(key_id, owner=owner)


@REVOKED.of(
    "keys.revoked.all",
    "Revoking a key revokes all of that user's.",
    "admin.key-revoke.one",
    "me.key-list.revoked",
)
class AllRevoked(Service):
    def revoke(self, key: ApiKey) -> None:
        for each in self.store.keys(key.user_id):
            super().revoke(each)


@REVOKED.of(
    "keys.revoked.once",
    "Revoking a key again is 409.",
    "admin.key-revoke.again",
    "me.key-revoke.again",
)
class OnceOnly(Service):
    def revoke(self, key: ApiKey) -> None:
        if not key.is_active:
            raise APIError(409, "API key is already revoked")
        super().revoke(key)


REVOKED.add(
    "keys.revoked.unknown-200",
    "Revoking a key that is not there is 200.",
    answered(REVOKING, status(200), on=404),
    "admin.key-revoke.unknown",
    "me.key-revoke.unknown",
)
REVOKED.add(
    "keys.revoked.unknown-403",
    "Revoking a key that is not there is 403.",
    answered(REVOKING, error(403, "Forbidden", "You do not own this API key"), on=404),
    "admin.key-revoke.unknown",
    "me.key-revoke.unknown",
)
REVOKED.add(
    "keys.revoked.others-404",
    "Another user's key is 404.",
    refused(f"DELETE {MINE}/[^/]+", error(404, "Not Found", "API key not found")),
    "me.key-revoke.others",
)


@REVOKED.of(
    "keys.revoked.others",
    "Another user's key can be revoked.",
    "me.key-revoke.others",
)
class Anybodys(Service):
    def revoke_key(self, key_id: str, *, owner: User | None = None) -> None:
        super().revoke_key(key_id)


@REVOKED.of(
    "keys.revoked.others-late",
    "Another user's key is refused, and revoked all the same.",
    "me.key-revoke.others",
)
class AnybodysLate(Service):
    def revoke_key(self, key_id: str, *, owner: User | None = None) -> None:
        key = self.store.key(key_id)
        if key is not None:
            self.revoke(key)
        super().revoke_key(key_id, owner=owner)


@REVOKED.of(
    "keys.revoked.not-in-use",
    "A key cannot revoke itself.",
    "me.key-revoke.in-use",
)
class NotInUse(Service):
    last = ""  # the id of the key that opened something last

    def note_use(self, key: ApiKey, now: datetime) -> None:
        self.last = key.id
        super().note_use(key, now)

    def revoke_key(self, key_id: str, *, owner: User | None = None) -> None:
        if owner is not None and self.last == key_id:
            raise APIError(400, "A key cannot revoke itself")
        super().revoke_key(key_id, owner=owner)


KINDS = (REVOKED,)
