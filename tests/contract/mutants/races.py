"""Wrong proxies that are wrong only when two ask at the same time, or soon after each other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy._proxy.conduct import Conduct
from sandbox_fakeproxy._proxy.gate import Gate
from sandbox_fakeproxy._proxy.sandboxes import Sandboxes
from sandbox_fakeproxy._state.controller import Controller
from sandbox_fakeproxy._state.fates import Fate
from sandbox_fakeproxy._state.store import Store

from .mutant import Kind, with_patched
from .rewriting import BOX, EXEC, answered, error

if TYPE_CHECKING:
    from sandbox_fakeproxy._http import Arguments, Reply
    from sandbox_fakeproxy._state.records import ApiKey, Intent, Sandbox, User

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
class LookThenMake(Sandboxes):
    async def create(self, user: User, asked: Arguments) -> Reply:
        name = self._conduct.sandbox_name(asked.body)
        self._require_free(user, name)
        await _meanwhile()
        meanwhile = self._store.sandbox(user.id, name)
        if meanwhile is not None:
            self._store.delete_sandbox(meanwhile.id)
        return await super().create(user, asked)


@RACES.of(
    "races.create.lost",
    "Of sandboxes that are made at the same time, one overwrites the others.",
    "races.create.different",
)
class Lost(Sandboxes):
    async def create(self, user: User, asked: Arguments) -> Reply:
        before = {box.id for box in self._store.sandboxes(user.id)}
        await _meanwhile()
        seen = self._store.sandboxes(user.id)
        reply = await super().create(user, asked)
        for box in seen:
            if box.id not in before:
                self._store.delete_sandbox(box.id)
        return reply


@RACES.of(
    "races.quota.look-then-deed",
    "Sandboxes are counted first, and one is made a moment later, whatever came between.",
    "races.quota.held",
)
class LookThenCount(Sandboxes):
    async def create(self, user: User, asked: Arguments) -> Reply:
        super()._require_quota(user)
        await _meanwhile()
        return await super().create(user, asked)

    def _require_quota(self, user: User) -> None:
        pass


@RACES.of(
    "races.delete.look-then-deed",
    "A sandbox is looked for first, and deleted a moment later, whatever came between.",
    "races.delete.one",
    "races.create-delete.legal",
)
class LookThenDelete(Sandboxes):
    async def delete(self, user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        await _meanwhile()
        return await super().delete(user, sandbox, _asked)

    async def _in_window(self, sandbox: Sandbox) -> None:
        pass


async def _windowed(_conduct: Conduct) -> None:
    await _meanwhile()


RACES.add(
    "races.lost-409",
    "Who comes second when a sandbox is changed is told 409, whatever is changed.",
    with_patched("in_window", _windowed, Conduct),
    "races.delete.one",
    "races.scale.legal",
)


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
class Stuck(Controller):
    def _changed(self, sandbox: Sandbox, asked: Intent) -> Sandbox:
        changed = super()._changed(sandbox, asked)
        is_taken_back = changed != sandbox and changed.asked.since != asked.since
        stuck = replace(changed.asked, fate=Fate.NEVER_READY)
        return replace(changed, asked=stuck) if is_taken_back else changed


LATE = Kind("Changes that take effect when somebody has asked once more")


class _Lagging(Store):
    """A store whose first read after a change returns the old value."""

    def note(self, changed: str) -> None:
        """Record that something has changed and has not been read since."""
        self._unseen.add(changed)

    def is_unseen(self, changed: str) -> bool:
        """Tell whether this is the first read since the change."""
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
    def delete_sandbox(self, sandbox_id: str) -> None:
        self.note(sandbox_id)

    def sandbox(self, user_id: str, name: str) -> Sandbox | None:
        found = super().sandbox(user_id, name)
        if found is not None and self.is_unseen(found.id):
            super().delete_sandbox(found.id)
        return found


@LATE.of(
    "races.late.delete-from-cache",
    "Whoever has asked for a sandbox once is let in to it for good, deleted or not.",
    "sandboxes.delete.gone",
    "races.exec-delete.legal",
)
class Cached(Gate):
    def _owned(self, user: User, name: str) -> Sandbox:
        sandbox = self._store.sandbox(user.id, name) or self._known.get((user.id, name))
        if sandbox is None:
            return super()._owned(user, name)
        self._known[user.id, name] = sandbox
        return sandbox

    @cached_property
    def _known(self) -> dict[tuple[str, str], Sandbox]:
        return {}


@LATE.of(
    "races.late.revoke",
    "A key works once more after it was revoked.",
    "me.key-revoke.reply",
)
class LateRevoke(_Lagging):
    def revoke_key(self, key_id: str) -> None:
        self.note(key_id)
        super().revoke_key(key_id)

    def key_by_hash(self, key_hash: bytes) -> tuple[bytes, ApiKey, User] | None:
        found = super().key_by_hash(key_hash)
        if found is not None and self.is_unseen(found[1].id):
            return found[0], replace(found[1], is_active=True), found[2]
        return found


@LATE.of(
    "races.late.create",
    "A sandbox is not listed the first time after it was made.",
    "sandboxes.list.reply",
)
class LateCreate(_Lagging):
    def add_sandbox(self, sandbox: Sandbox) -> None:
        self.note(sandbox.id)
        super().add_sandbox(sandbox)

    def sandboxes(self, user_id: str) -> list[Sandbox]:
        return [box for box in super().sandboxes(user_id) if not self.is_unseen(box.id)]


@LATE.of(
    "races.late.user",
    "A user is not listed the first time after it was made.",
    "admin.user-list.reply",
)
class LateUser(_Lagging):
    def add_user(self, user: User) -> None:
        self.note(user.id)
        super().add_user(user)

    def users(self, *, active_only: bool = False) -> list[User]:
        found = super().users(active_only=active_only)
        return [user for user in found if not self.is_unseen(user.id)]


@LATE.of(
    "races.late.update",
    "A user is shown as before the first time after a change.",
    "admin.user-update.kept",
)
class LateUpdate(_Lagging):
    before: User | None = None

    def update_user(self, user: User) -> None:
        self.before = self.user(user.id)
        super().update_user(user)
        self.note(user.id)

    def user(self, user_id: str) -> User | None:
        found = super().user(user_id)
        return self.before if found and self.is_unseen(user_id) else found


KINDS = (RACES, LATE)
