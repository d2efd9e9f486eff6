"""Wrong proxies that are wrong only when two ask at the same time, or soon after each other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy import APIError, ApiKey, Sandbox, Service, Status, User

from .mutant import Kind, with_middleware
from .rewriting import BOX, EXEC, answer_of, answered, error
from .scaling import never_ready

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import ASGIApp, Receive, Scope, Send

_TURNS = 3  # of the loop, in which others may come between

RACES = Kind("Races")


async def _meanwhile() -> None:
    """Let others come between."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@RACES.of(
    "races.create.look-then-deed",
    "A sandbox is looked for first, and made a moment later, whatever came between.",
    "races.create.one",
)
class LookThenMake(Service):
    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        self.require_free(user, name)
        await _meanwhile()
        meanwhile = self.store.sandbox(user.id, name)
        if meanwhile is not None:
            self.store.delete_sandbox(meanwhile.id)
        return await super().create_sandbox(user, name, image)


@RACES.of(
    "races.create.lost",
    "Of sandboxes that are made at the same time, one overwrites the others.",
    "races.create.different",
)
class Lost(Service):
    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        before = {box.id for box in self.store.sandboxes(user.id)}
        await _meanwhile()
        seen = self.store.sandboxes(user.id)
        made = await super().create_sandbox(user, name, image)
        for box in seen:
            if box.id not in before:
                self.store.delete_sandbox(box.id)
        return made


@RACES.of(
    "races.quota.look-then-deed",
    "Sandboxes are counted first, and one is made a moment later, whatever came between.",
    "races.quota.held",
)
class LookThenCount(Service):
    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        super().require_quota(user)
        await _meanwhile()
        return await super().create_sandbox(user, name, image)

    def require_quota(self, user: User) -> None:
        pass


@RACES.of(
    "races.delete.look-then-deed",
    "A sandbox is looked for first, and deleted a moment later, whatever came between.",
    "races.delete.one",
    "races.create-delete.legal",
)
class LookThenDelete(Service):
    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        await _meanwhile()
        self.store.delete_sandbox(sandbox.id)
        await self.runtime.remove(sandbox.id)


@RACES.of(
    "races.lost-409",
    "Who comes second when a sandbox is changed is told 409, whatever is changed.",
    "races.delete.one",
    "races.scale.legal",
)
class Windowed(Service):
    async def let_others_come_between(self) -> None:
        await _meanwhile()


RACES.add(
    "races.delete.unknown",
    "Who comes second when a sandbox is deleted is told that the user is unknown.",
    answered(f"DELETE {BOX}", error(404, "Not Found", "User not found"), on=403),
    "races.delete.one",
    "races.create-delete.legal",
)
RACES.add(
    "races.delete.still-404",
    "A command in a sandbox that was deleted is 404 for good.",
    answered(EXEC, error(404, "Not Found", "Sandbox not found"), on=403),
    "races.exec-delete.legal",
)


@RACES.of(
    "races.scale.stuck",
    "A sandbox that is paused and resumed at the same time starts for ever.",
    "races.scale.legal",
)
class Stuck(Service):
    async def pause_sandbox(self, sandbox: Sandbox) -> None:
        await super().pause_sandbox(sandbox)
        self._get_stuck(sandbox)

    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        await super().resume_sandbox(sandbox)
        self._get_stuck(sandbox)

    def _get_stuck(self, sandbox: Sandbox) -> None:
        """Have it start for ever if the change took back one that the controller had not seen."""
        changed = self.current(sandbox)
        if changed is not None and changed != sandbox and changed.desired == sandbox.observed:
            self.store.update_sandbox(never_ready(changed))


def _refusing_beside_a_use(app: ASGIApp) -> ASGIApp:
    """Refuse to revoke a key while another request of a user is under way."""
    under_way = 0

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal under_way
        under_way += 1
        try:
            answer = await answer_of(app, scope, receive)
            if scope["method"] == "DELETE" and under_way > 1 and "apikeys" in scope["path"]:
                error(409, "Conflict", "The key is in use")(answer)
            await answer.pass_on(send, scope["method"])
        finally:
            under_way -= 1

    return counted


RACES.add(
    "races.revoke.conflict",
    "A key that is revoked while it is used is revoked, and the answer is 409.",
    with_middleware(_refusing_beside_a_use),
    "races.revoke-use.legal",
)

LATE = Kind("Changes that take effect when somebody has asked once more")


class _Lagging(Service):
    """A service that answers a first request after a change as before it."""

    def note(self, changed: str) -> None:
        """Record that something has changed and has not been looked up since."""
        self._unseen.add(changed)

    def is_unseen(self, changed: str) -> bool:
        """Tell whether this is the first look since the change."""
        is_unseen = changed in self._unseen
        self._unseen.discard(changed)
        return is_unseen

    @cached_property
    def _unseen(self) -> set[str]:
        return set()


@LATE.of(
    "races.late.delete",
    "A sandbox is there for a moment after it was deleted.",
    "sandboxes.delete.gone",
    "races.delete.one",
)
class LateDelete(_Lagging):
    async def delete_sandbox(self, user: User, sandbox: Sandbox) -> None:
        self.note(sandbox.id)
        await self.runtime.remove(sandbox.id)

    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        found = super().owned_sandbox(user, name)
        self._delete_at_last(found)
        return found

    def require_free(self, user: User, name: str) -> None:
        found = self.store.sandbox(user.id, name)
        try:
            super().require_free(user, name)
        finally:
            if found is not None:
                self._delete_at_last(found)

    def _delete_at_last(self, found: Sandbox) -> None:
        if self.is_unseen(found.id):
            self.store.delete_sandbox(found.id)


@LATE.of(
    "races.late.delete-from-cache",
    "Whoever has asked for a sandbox once is let in to it for good, deleted or not.",
    "sandboxes.delete.gone",
    "races.exec-delete.legal",
)
class Cached(Service):
    def owned_sandbox(self, user: User, name: str) -> Sandbox:
        try:
            self._known[user.id, name] = super().owned_sandbox(user, name)
        except APIError:
            if (user.id, name) not in self._known:
                raise
        return self._known[user.id, name]

    @cached_property
    def _known(self) -> dict[tuple[str, str], Sandbox]:
        return {}


@LATE.of(
    "races.late.revoke",
    "A key works once more after it was revoked.",
    "me.key-revoke.reply",
)
class LateRevoke(_Lagging):
    def revoke_key(self, key_id: str, *, owner: User | None = None) -> None:
        super().revoke_key(key_id, owner=owner)
        self.note(key_id)

    def check_key(self, key: ApiKey, user: User, now: datetime) -> None:
        is_unseen = self.is_unseen(key.id)
        super().check_key(replace(key, is_active=key.is_active or is_unseen), user, now)


@LATE.of(
    "races.late.create",
    "A sandbox is not listed the first time after it was made.",
    "sandboxes.list.reply",
)
class LateCreate(_Lagging):
    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        made = await super().create_sandbox(user, name, image)
        self.note(made.id)
        return made

    def sandboxes(self, user: User) -> list[Status]:
        return [each for each in super().sandboxes(user) if not self.is_unseen(each.sandbox.id)]


@LATE.of(
    "races.late.user",
    "A user is not listed the first time after it was made.",
    "admin.user-list.reply",
)
class LateUser(_Lagging):
    def create_user(self, username: str, email: str | None, *, is_active: bool = True) -> User:
        made = super().create_user(username, email, is_active=is_active)
        self.note(made.id)
        return made

    def users(self, *, active_only: bool = False) -> list[User]:
        found = super().users(active_only=active_only)
        return [user for user in found if not self.is_unseen(user.id)]


@LATE.of(
    "races.late.update",
    "A user is shown as before the first time after a change.",
    "admin.user-update.kept",
)
class LateUpdate(Service):
    def update_user(self, before: User, after: User) -> User:
        if after != before:
            self._before[before.id] = before
        return super().update_user(before, after)

    def user(self, user_id: str) -> User:
        found = super().user(user_id)
        return self._before.pop(user_id, found)

    @cached_property
    def _before(self) -> dict[str, User]:
        return {}


KINDS = (RACES, LATE)
