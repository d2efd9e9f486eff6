"""Wrong proxies in how users are changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._proxy.administration import Administration
from sandbox_fakeproxy._state.store import Store

from .mutant import Kind
from .rewriting import (
    USER,
    answered,
    asked,
    body,
    losing,
    setting,
)

if TYPE_CHECKING:
    from sandbox_fakeproxy._http import Arguments, Reply
    from sandbox_fakeproxy._state.records import User

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
class Undated(Store):
    def update_user(self, user: User) -> None:
        super().update_user(replace(user, updated_at=user.created_at))


@CHANGED.of(
    "users.changed.dated-for-nothing",
    "updated_at moves on although nothing changes.",
    "admin.user-update.updated-at",
)
class DatedForNothing(Administration):
    async def update_user(self, asked: Arguments) -> Reply:
        user = self._user(asked)
        self._store.update_user(replace(user, updated_at=self._clock.now()))
        return await super().update_user(asked)


@CHANGED.of(
    "users.changed.not-kept",
    "A change is shown, and not kept.",
    "admin.user-update.kept",
)
class NotKept(Store):
    def update_user(self, user: User) -> None:
        pass


@CHANGED.of(
    "users.changed.email-not-kept",
    "A change of the e-mail address is shown, and not kept.",
    "admin.user-update.kept",
)
class EmailNotKept(Store):
    def update_user(self, user: User) -> None:
        before = self.user(user.id)
        super().update_user(replace(user, email=before.email if before else None))


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


@CHANGED.of(
    "users.changed.something",
    "An empty change is 400.",
    "admin.user-update.nothing",
)
class Something(Administration):
    async def update_user(self, asked: Arguments) -> Reply:
        if not asked.body:
            raise Refusal(400, "Nothing to change")
        return await super().update_user(asked)


@CHANGED.of(
    "users.changed.everybody-deactivated",
    "Deactivating a user deactivates everybody.",
    "admin.user-list.active-only",
)
class EverybodyDeactivated(Store):
    def update_user(self, user: User) -> None:
        for each in self.users() if not user.is_active else ():
            super().update_user(replace(each, is_active=False))
        super().update_user(user)


@CHANGED.of(
    "users.changed.everybodys-email",
    "Changing a user's e-mail address changes everybody's.",
    "admin.user-update.kept",
)
class EverybodysEmail(Store):
    def update_user(self, user: User) -> None:
        for each in self.users():
            super().update_user(replace(each, email=user.email))
        super().update_user(user)


@CHANGED.of(
    "users.changed.sandboxes-gone",
    "Deactivating a user deletes the sandboxes.",
    "model.history.legal",
)
class SandboxesGone(Store):
    def update_user(self, user: User) -> None:
        super().update_user(user)
        for box in () if user.is_active else self.sandboxes(user.id):
            self.delete_sandbox(box.id)


KINDS = (CHANGED,)
