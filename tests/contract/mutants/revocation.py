"""Wrong proxies in how keys are revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._proxy.keys import Keys
from sandbox_fakeproxy._proxy.self_service import SelfService
from sandbox_fakeproxy._state.store import Store

from .mutant import Kind, with_components
from .rewriting import (
    MINE,
    answered,
    body,
    error,
    losing,
    refused,
    setting,
    status,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sandbox_fakeproxy._http import Arguments, Reply
    from sandbox_fakeproxy._state.records import ApiKey, User

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
class NotRevoked(Store):
    def revoke_key(self, key_id: str) -> None:
        pass


@REVOKED.of(
    "keys.revoked.forgotten",
    "A revoked key is forgotten, and then unknown.",
    "auth.key.revoked",
    "me.key-list.revoked",
    "me.key-revoke.again",
)
class Forgotten(Store):
    def revoke_key(self, key_id: str) -> None:
        self._db.execute("DELETE FROM api_keys WHERE id = ?", (key_id,))


@REVOKED.of(
    "keys.revoked.all",
    "Revoking a key revokes all of that user's.",
    "admin.key-revoke.one",
    "me.key-list.revoked",
)
class AllRevoked(Store):
    def revoke_key(self, key_id: str) -> None:
        revoked = self.key(key_id)
        for key in self.keys(revoked.user_id) if revoked else ():
            super().revoke_key(key.id)


@REVOKED.of(
    "keys.revoked.once",
    "Revoking a key again is 409.",
    "admin.key-revoke.again",
    "me.key-revoke.again",
)
class OnceOnly(Keys):
    def revoke(self, key: ApiKey) -> Reply:
        if not key.is_active:
            raise Refusal(409, "API key is already revoked")
        return super().revoke(key)


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
class Anybodys(SelfService):
    async def revoke_key(self, user: User, asked: Arguments) -> Reply:
        key = self._store.key(asked.params["key_id"])
        return await super().revoke_key(user, asked) if key is None else self._keys.revoke(key)


@REVOKED.of(
    "keys.revoked.others-late",
    "Another user's key is refused, and revoked all the same.",
    "me.key-revoke.others",
)
class AnybodysLate(SelfService):
    async def revoke_key(self, user: User, asked: Arguments) -> Reply:
        key = self._store.key(asked.params["key_id"])
        if key is not None:
            self._keys.revoke(key)
        return await super().revoke_key(user, asked)


class LastUsed(Store):
    """A store that knows which key opened something last."""

    last = ""

    def note_use(self, key_id: str, now: datetime) -> None:
        self.last = key_id
        super().note_use(key_id, now)


class NotInUse(SelfService):
    """A self-service that keeps the key in use."""

    async def revoke_key(self, user: User, asked: Arguments) -> Reply:
        assert isinstance(self._store, LastUsed)
        if self._store.last == asked.params["key_id"]:
            raise Refusal(400, "A key cannot revoke itself")
        return await super().revoke_key(user, asked)


REVOKED.add(
    "keys.revoked.not-in-use",
    "A key cannot revoke itself.",
    with_components(LastUsed, NotInUse),
    "me.key-revoke.in-use",
)

KINDS = (REVOKED,)
