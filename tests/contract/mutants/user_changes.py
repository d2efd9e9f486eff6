"""Wrong proxies in how users are changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_fakeproxy import Service

from .mutant import Kind
from .rewriting import USER, answered, asked, body, losing, setting

if TYPE_CHECKING:
    from sandbox_fakeproxy import User

# Changed -----------------------------------------------------------------------------------------

CHANGED = Kind("Changing a user")
for _id, _said, _change in (
    ("no-success", "lacks success", losing("success")),
    ("no-updated", "lacks updated_at", losing("user.updated_at")),
    ("no-active", "lacks is_active", losing("user.is_active")),
    ("old-email", "shows the e-mail of before", setting("user.email", "old@example.org")),
    ("no-id", "lacks the id", losing("user.id")),
):
    CHANGED.add(
        f"users.changed.{_id}",
        f"The answer to a change {_said}.",
        answered(f"PUT {USER}", body(_change)),
        "admin.user-update.reply",
    )


@CHANGED.of(
    "users.changed.undated",
    "updated_at stays at the time when the user was made.",
    "admin.user-update.updated-at",
)
class Undated(Service):
    def update_user(self, before: User, after: User) -> User:
        changed = super().update_user(before, after)
        self.store.update_user(replace(changed, updated_at=changed.created_at))
        return changed


@CHANGED.of(
    "users.changed.dated-for-nothing",
    "updated_at moves on although nothing changes.",
    "admin.user-update.updated-at",
)
class DatedForNothing(Service):
    def update_user(self, before: User, after: User) -> User:
        changed = replace(after, updated_at=self.clock.now())
        self.store.update_user(changed)
        return changed


@CHANGED.of(
    "users.changed.not-kept",
    "A change is shown, and not kept.",
    "admin.user-update.kept",
)
class NotKept(Service):
    def update_user(self, before: User, after: User) -> User:
        changed = super().update_user(before, after)
        self.store.update_user(before)
        return changed


@CHANGED.of(
    "users.changed.email-not-kept",
    "A change of the e-mail address is shown, and not kept.",
    "admin.user-update.kept",
)
class EmailNotKept(Service):
    def update_user(self, before: User, after: User) -> User:
        changed = super().update_user(before, after)
        self.store.update_user(replace(changed, email=before.email))
        return changed


CHANGED.add(
    "users.changed.rest-lost",
    "A change of is_active loses the e-mail address.",
    asked((f"PUT {USER}", lambda said: {"email": None, **said})),
    "admin.user-update.kept",
    "admin.user-update.nothing",
)
CHANGED.add(
    "users.changed.rest-active",
    "A change of the e-mail address activates the user, and an empty one too.",
    asked((f"PUT {USER}", lambda said: {"is_active": "email" not in said, **said})),
    "admin.user-update.kept",
)
CHANGED.add(
    "users.changed.email-ignored",
    "A new e-mail address is ignored.",
    asked((f"PUT {USER}", losing("email"))),
    "admin.user-update.reply",
)
CHANGED.add(
    "users.changed.active-ignored",
    "is_active is ignored.",
    asked((f"PUT {USER}", losing("is_active"))),
    "admin.user-update.reply",
    "auth.user.deactivated",
)


CHANGED.add(
    "users.changed.something",
    "An empty change is 400.",
    # It is read as a change that is refused.
    asked((f"PUT {USER}", lambda said: said or {"is_active": "Nothing to change"})),
    "admin.user-update.nothing",
)


@CHANGED.of(
    "users.changed.everybody-deactivated",
    "Deactivating a user deactivates everybody.",
    "admin.user-list.active-only",
)
class EverybodyDeactivated(Service):
    def update_user(self, before: User, after: User) -> User:
        if after != before and not after.is_active:
            for each in self.store.users():
                self.store.update_user(replace(each, is_active=False))
        return super().update_user(before, after)


@CHANGED.of(
    "users.changed.everybodys-email",
    "Changing a user's e-mail address changes everybody's.",
    "admin.user-update.kept",
)
class EverybodysEmail(Service):
    def update_user(self, before: User, after: User) -> User:
        if after != before:
            for each in self.store.users():
                self.store.update_user(replace(each, email=after.email))
        return super().update_user(before, after)


@CHANGED.of(
    "users.changed.sandboxes-gone",
    "Deactivating a user deletes the sandboxes.",
    "model.history.legal",
)
class SandboxesGone(Service):
    def update_user(self, before: User, after: User) -> User:
        changed = super().update_user(before, after)
        if after != before and not after.is_active:
            for sandbox in self.store.sandboxes(after.id):
                self.store.delete_sandbox(sandbox.id)
        return changed


KINDS = (CHANGED,)
