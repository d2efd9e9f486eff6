"""Wrong proxies in how many sandboxes a user may have."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy import APIError, Sandbox, Service, User

from .mutant import Kind, with_settings
from .rewriting import BOXES, answered, status

if TYPE_CHECKING:
    from .mutant import Make


class _Counting(Service):
    """A service that counts other sandboxes, or allows another number of them."""

    most = 10

    def require_quota(self, user: User) -> None:
        if self.count(user) >= self.most:
            message = f"Sandbox quota exceeded: a user may have {self.most} sandboxes"
            raise APIError(403, f"{message}, paused ones counted")

    def count(self, user: User) -> int:
        """Return how many sandboxes count as a user's."""
        return self.store.count_sandboxes(user.id)


def _allowing(number: int) -> Make:
    class Allowing(_Counting):
        most = number

    return with_settings(service=Allowing)


# Quota -------------------------------------------------------------------------------------------

TOO_MANY = Kind("The quota")
TOO_MANY.add(
    "sandboxes.quota.9",
    "A user may have 9 sandboxes.",
    _allowing(9),
    "sandboxes.quota.room",
)
TOO_MANY.add(
    "sandboxes.quota.11",
    "A user may have 11 sandboxes.",
    _allowing(11),
    "sandboxes.quota.held",
    "races.quota.held",
)
TOO_MANY.add(
    "sandboxes.quota.none",
    "A user may have any number of sandboxes.",
    _allowing(1_000_000),
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
class QuotaFirst(Service):
    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        self.require_quota(user)
        return await super().create_sandbox(user, name, image)


@TOO_MANY.of(
    "sandboxes.quota.everybody",
    "The quota counts everybody's sandboxes.",
    "sandboxes.quota.per-user",
)
class OfEverybody(_Counting):
    def count(self, user: User) -> int:
        return len(self.store.ids_with_files())


@TOO_MANY.of(
    "sandboxes.quota.paused",
    "Paused sandboxes do not count.",
    "sandboxes.quota.paused",
)
class OfRunning(_Counting):
    def count(self, user: User) -> int:
        return sum(not box.desired.is_paused for box in self.store.sandboxes(user.id))


@TOO_MANY.of(
    "sandboxes.quota.not-freed",
    "Deleted sandboxes count too.",
    "sandboxes.quota.freed",
)
class OfEver(_Counting):
    async def create_sandbox(self, user: User, name: str, image: str) -> Sandbox:
        made = await super().create_sandbox(user, name, image)
        self._made[user.id] += 1
        return made

    def count(self, user: User) -> int:
        return self._made[user.id]

    @cached_property
    def _made(self) -> Counter[str]:
        return Counter()


KINDS = (TOO_MANY,)
