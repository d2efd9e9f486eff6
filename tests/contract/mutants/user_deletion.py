"""Wrong proxies in how users are deleted."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy import APIError, Service

from .mutant import Kind
from .rewriting import USER, answered, error, status

if TYPE_CHECKING:
    from sandbox_fakeproxy import ApiKey, User

# Deleted -----------------------------------------------------------------------------------------

DELETED = Kind("Deleting a user")


@DELETED.of(
    "users.deleted.not",
    "Deleting a user does nothing.",
    "admin.user-delete.gone",
    "admin.user-delete.again",
    "run.end.nothing-left",
)
class NotDeleted(Service):
    async def delete_user(self, user: User) -> None:
        for sandbox in self.store.sandboxes(user.id):
            await self.runtime.remove(sandbox.id)


@DELETED.of(
    "users.deleted.listed",
    "A user who was deleted is listed still, as inactive.",
    "admin.user-delete.gone",
    "run.end.nothing-left",
)
class StillListed(Service):
    async def delete_user(self, user: User) -> None:
        await super().delete_user(user)
        self._deleted.append(user)

    def users(self, *, active_only: bool = False) -> list[User]:
        return [*([] if active_only else self._deleted), *super().users(active_only=active_only)]

    @cached_property
    def _deleted(self) -> list[User]:
        return []


@DELETED.of(
    "users.deleted.all",
    "Deleting a user deletes everybody.",
    "admin.user-delete.others-stay",
    "model.history.legal",
)
class AllDeleted(Service):
    async def delete_user(self, user: User) -> None:
        for each in self.store.users():
            await super().delete_user(each)


@DELETED.of(
    "users.deleted.newer",
    "Deleting a user deletes those too who were made before, but admin.",
    "admin.user-delete.others-stay",
)
class OlderDeleted(Service):
    async def delete_user(self, user: User) -> None:
        for each in self.store.users()[:-1]:
            await super().delete_user(each)


@DELETED.of(
    "users.deleted.everybodys-sandboxes",
    "Deleting a user deletes everybody's sandboxes.",
    "model.history.legal",
)
class EverybodysSandboxes(Service):
    async def delete_user(self, user: User) -> None:
        await super().delete_user(user)
        for sandbox_id in self.store.ids_with_files():
            self.store.delete_sandbox(sandbox_id)


class _Remembering(Service):
    """A service that knows the keys of deleted users, and may still accept them."""

    def find_key(self, secret: str) -> tuple[ApiKey, User] | None:
        found = super().find_key(secret)
        if found is not None:
            self._met[secret] = found
        elif secret in self._met:
            key, owner = self._met[secret]
            heir = self.heir(owner)
            return (key, heir) if heir else None
        return found

    def heir(self, owner: User) -> User | None:
        """Return the new owner of a deleted user's keys."""
        raise NotImplementedError

    @cached_property
    def _met(self) -> dict[str, tuple[ApiKey, User]]:
        return {}


@DELETED.of(
    "users.deleted.keys-revived",
    "The keys of a user who was deleted work for who has that username next.",
    "admin.user-delete.frees-username",
)
class KeysRevived(_Remembering):
    def heir(self, owner: User) -> User | None:
        return self.store.user_named(owner.username)


class _Deleting(Service):
    """A service that keeps deleted users as inactive ones."""

    async def delete_user(self, user: User) -> None:
        self.store.update_user(replace(user, is_active=False))
        self._deleted.add(user.id)

    def user(self, user_id: str) -> User:
        if user_id in self._deleted:
            raise APIError(404, "User not found")
        return super().user(user_id)

    def users(self, *, active_only: bool = False) -> list[User]:
        found = super().users(active_only=active_only)
        return [user for user in found if user.id not in self._deleted]

    @cached_property
    def _deleted(self) -> set[str]:
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
class Revived(Service):
    def create_user(self, username: str, email: str | None, *, is_active: bool = True) -> User:
        user = super().create_user(username, email, is_active=is_active)
        return replace(user, id=self._ids.setdefault(username, user.id))

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {}


@DELETED.of(
    "users.deleted.inactive",
    "The keys of a user who was deleted are refused as those of one who was deactivated.",
    "auth.key.deleted-user",
)
class Inactive(_Remembering):
    def heir(self, owner: User) -> User | None:
        return replace(owner, is_active=False)


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
