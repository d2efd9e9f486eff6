"""Wrong proxies in how many sandboxes a user may have."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy._proxy import sandboxes as sandboxes_module
from sandbox_fakeproxy._proxy.sandboxes import Sandboxes
from sandbox_fakeproxy._state.store import Store

from .mutant import Kind, with_patched
from .rewriting import (
    BOXES,
    answered,
    status,
)

if TYPE_CHECKING:
    from sandbox_fakeproxy._http import Arguments, Reply
    from sandbox_fakeproxy._state.records import Sandbox, User


# Quota -------------------------------------------------------------------------------------------

TOO_MANY = Kind("The quota")
TOO_MANY.add(
    "sandboxes.quota.9",
    "A user may have 9 sandboxes.",
    with_patched("QUOTA", 9, sandboxes_module),
    "sandboxes.quota.room",
)
TOO_MANY.add(
    "sandboxes.quota.11",
    "A user may have 11 sandboxes.",
    with_patched("QUOTA", 11, sandboxes_module),
    "sandboxes.quota.held",
    "races.quota.held",
)
TOO_MANY.add(
    "sandboxes.quota.none",
    "A user may have any number of sandboxes.",
    with_patched("QUOTA", 1_000_000, sandboxes_module),
    "sandboxes.quota.held",
    "sandboxes.quota.paused",
    "races.quota.held",
)
TOO_MANY.add(
    "sandboxes.quota.said-made",
    "The 11th sandbox is 201, though it is not made.",
    answered(f"POST {BOXES}", status(201), on=403),
    "sandboxes.quota.held",
)


@TOO_MANY.of(
    "sandboxes.quota.before-duplicates",
    "In a full house, a name that is taken is refused for the quota.",
    "sandboxes.quota.duplicate",
)
class QuotaFirst(Sandboxes):
    async def create(self, user: User, asked: Arguments) -> Reply:
        self._require_quota(user)
        return await super().create(user, asked)


@TOO_MANY.of(
    "sandboxes.quota.everybody",
    "The quota counts everybody's sandboxes.",
    "sandboxes.quota.per-user",
)
class OfEverybody(Store):
    def count_sandboxes(self, user_id: str) -> int:
        return len(self.ids_with_files())


@TOO_MANY.of(
    "sandboxes.quota.paused",
    "Paused sandboxes do not count.",
    "sandboxes.quota.paused",
)
class OfRunning(Store):
    def count_sandboxes(self, user_id: str) -> int:
        return sum(not box.asked.is_paused for box in self.sandboxes(user_id))


@TOO_MANY.of(
    "sandboxes.quota.not-freed",
    "Deleted sandboxes count too.",
    "sandboxes.quota.freed",
)
class OfEver(Store):
    def add_sandbox(self, sandbox: Sandbox) -> None:
        super().add_sandbox(sandbox)
        self._made[sandbox.user_id] = self._made.get(sandbox.user_id, 0) + 1

    def count_sandboxes(self, user_id: str) -> int:
        return self._made.get(user_id, 0)

    @cached_property
    def _made(self) -> dict[str, int]:
        return {}


KINDS = (TOO_MANY,)
