"""What a proxy should know after a history: users, keys and sandboxes, and what time makes of them.

Times are whole milliseconds since the history began.
"""

from dataclasses import dataclass, field

from sandbox_contract.clauses.messages import DEACTIVATED, EXPIRED, REVOKED, UNKNOWN_KEY
from sandbox_contract.harness.actors import Key, SandboxHandle, User
from sandbox_contract.harness.readiness import Phase

STARTING = {Phase.CREATED, Phase.PENDING, Phase.STARTING, Phase.READY, Phase.PAUSED}


@dataclass(frozen=True, slots=True)
class Delays:
    """When a change shows and when a sandbox is ready."""

    reconcile: int
    ready: int


@dataclass(frozen=True, slots=True)
class Intent:
    """A request to the controller to pause or run a sandbox, and its time."""

    is_paused: bool
    since: int

    def phases(self, now: int, delays: Delays) -> set[Phase]:
        """Return what may show of it, once the controller acts on it."""
        if self.is_paused:
            return {Phase.PAUSED}
        is_ready = now - self.since >= delays.ready
        return {Phase.READY} if is_ready else {Phase.PENDING, Phase.STARTING}


@dataclass(slots=True)
class ModelBox:
    """A sandbox. `lines` is how many commands have left a line in it; None, before the first."""

    box: SandboxHandle
    asked: Intent
    before: Intent | None = None
    lines: int | None = None
    at_rest: Phase | None = None  # on a clock that is not exact, until the next change

    def _seen(self, now: int, delays: Delays) -> Intent | None:
        return self.asked if now - self.asked.since >= delays.reconcile else self.before

    def change(self, *, is_paused: bool, now: int, delays: Delays | None) -> None:
        """Request that it be paused or run; a request that is reversed in time has no effect."""
        if self.asked.is_paused == is_paused:
            return
        self.at_rest = None
        seen = None if delays is None else self._seen(now, delays)
        if seen is not None and seen.is_paused == is_paused:
            self.asked, self.before = seen, None
        else:
            self.asked, self.before = Intent(is_paused, now), seen

    def phases(self, now: int, delays: Delays | None) -> set[Phase]:
        """Return the permitted statuses."""
        if delays is None:
            return STARTING if self.at_rest is None else {self.at_rest}
        seen = self._seen(now, delays)
        return {Phase.CREATED} if seen is None else seen.phases(now, delays)

    def runs(self, now: int, delays: Delays | None) -> bool | None:
        """Tell whether a command runs; None where it may or may not."""
        if delays is None:
            return None if self.at_rest is None else self.at_rest is Phase.READY
        is_asked = self.asked.phases(now, delays) == {Phase.READY}
        return is_asked and self.phases(now, delays) == {Phase.READY}


@dataclass(slots=True)
class ModelKey:
    """A key beside a user's first."""

    key: Key
    expires: int | None = None
    is_revoked: bool = False


@dataclass(slots=True)
class ModelUser:
    """A user. `spent` are the names that a proxy may have kept when the user was deleted."""

    person: User
    is_active: bool = True
    is_deleted: bool = False
    boxes: dict[str, ModelBox] = field(default_factory=dict[str, ModelBox])
    keys: list[ModelKey] = field(default_factory=list[ModelKey])
    spent: set[str] = field(default_factory=set[str])

    def refusal(self, now: int, key: ModelKey | None = None) -> str | None:
        """Return with which words a key of this user is refused, the first one or another."""
        if self.is_deleted:
            return UNKNOWN_KEY
        if key is not None and key.is_revoked:
            return REVOKED
        if not self.is_active:
            return DEACTIVATED
        if key is not None and key.expires is not None and now >= key.expires:
            return EXPIRED
        return None
