"""Wrong proxies in how users are deleted."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy._proxy.administration import Administration
from sandbox_fakeproxy._state.store import Store

from .mutant import Kind
from .rewriting import (
    USER,
    answered,
    error,
    status,
)

if TYPE_CHECKING:
    from sandbox_fakeproxy._http import Arguments, Reply
    from sandbox_fakeproxy._state.records import ApiKey, User

# Deleted -----------------------------------------------------------------------------------------

DELETED = Kind("Deleting a user")


@DELETED.of(
    "users.deleted.not",
    "Deleting a user does nothing.",
    "admin.user-delete.gone",
    "admin.user-delete.again",
    "run.end.nothing-left",
)
class NotDeleted(Store):
    def delete_user(self, user_id: str) -> None:
        pass


@DELETED.of(
    "users.deleted.listed",
    "A user who was deleted is listed still, as inactive.",
    "admin.user-delete.gone",
    "run.end.nothing-left",
)
class StillListed(Store):
    def delete_user(self, user_id: str) -> None:
        gone = self.user(user_id)
        super().delete_user(user_id)
        self._gone.extend([gone] if gone else [])

    def users(self, *, active_only: bool = False) -> list[User]:
        return [*([] if active_only else self._gone), *super().users(active_only=active_only)]

    @cached_property
    def _gone(self) -> list[User]:
        return []


@DELETED.of(
    "users.deleted.all",
    "Deleting a user deletes everybody.",
    "admin.user-delete.others-stay",
    "model.history.legal",
)
class AllDeleted(Store):
    def delete_user(self, user_id: str) -> None:
        for user in self.users():
            super().delete_user(user.id)


@DELETED.of(
    "users.deleted.newer",
    "Deleting a user deletes those too who were made before, but admin.",
    "admin.user-delete.others-stay",
)
class OlderDeleted(Store):
    def delete_user(self, user_id: str) -> None:
        for user in self.users()[:-1]:
            super().delete_user(user.id)


@DELETED.of(
    "users.deleted.everybodys-sandboxes",
    "Deleting a user deletes everybody's sandboxes.",
    "model.history.legal",
)
class EverybodysSandboxes(Store):
    def delete_user(self, user_id: str) -> None:
        super().delete_user(user_id)
        for sandbox_id in self.ids_with_files():
            self.delete_sandbox(sandbox_id)


@DELETED.of(
    "users.deleted.keys-revived",
    "The keys of a user who was deleted work for who has that username next.",
    "admin.user-delete.frees-username",
)
class KeysRevived(Store):
    def key_by_hash(self, key_hash: bytes) -> tuple[bytes, ApiKey, User] | None:
        found = super().key_by_hash(key_hash)
        if found is not None:
            self._met[key_hash] = found
        elif key_hash in self._met:
            _, key, owner = self._met[key_hash]
            heir = self.user_named(owner.username)
            return (key_hash, key, heir) if heir else None
        return found

    @cached_property
    def _met(self) -> dict[bytes, tuple[bytes, ApiKey, User]]:
        return {}


class _Deleting(Store):
    """A store that keeps deleted users as inactive ones."""

    def delete_user(self, user_id: str) -> None:
        gone = self.user(user_id)
        if gone is not None:
            self.update_user(replace(gone, is_active=False))
            self._gone.add(user_id)

    def user(self, user_id: str) -> User | None:
        return None if user_id in self._gone else super().user(user_id)

    def users(self, *, active_only: bool = False) -> list[User]:
        found = super().users(active_only=active_only)
        return [user for user in found if user.id not in self._gone]

    @cached_property
    def _gone(self) -> set[str]:
        return set()


@DELETED.of(
    "users.deleted.name-taken",
    "The username of a user who was deleted stays taken.",
    "admin.user-delete.frees-username",
)
class NameTaken(_Deleting):
    pass


@DELETED.of(
    "users.deleted.revived",
    "Who has the username of a user who was deleted gets that one's id.",
    "admin.user-delete.frees-username",
)
class Revived(Administration):
    async def create_user(self, asked: Arguments) -> Reply:
        reply = await super().create_user(asked)
        user = reply.body["user"]
        user["id"] = self._ids.setdefault(user["username"], user["id"])
        return reply

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {}


@DELETED.of(
    "users.deleted.inactive",
    "The keys of a user who was deleted are refused as those of one who was deactivated.",
    "auth.key.deleted-user",
)
class Inactive(Store):
    def delete_user(self, user_id: str) -> None:
        gone = self.user(user_id)
        if gone is not None:
            self._db.execute(
                "UPDATE users SET username = id, is_active = 0 WHERE id = ?", (user_id,)
            )

    def users(self, *, active_only: bool = False) -> list[User]:
        found = super().users(active_only=active_only)
        return [user for user in found if user.username != user.id]


for _id, _said, _change in (
    ("again", "Deleting a user again is 200", status(200)),
    ("again-400", "Deleting a user again is 400", error(400, "Bad Request", "User not found")),
):
    DELETED.add(
        f"users.deleted.{_id}",
        f"{_said}.",
        answered(f"DELETE {USER}", _change, on=404),
        "admin.user-delete.again",
    )

KINDS = (DELETED,)
