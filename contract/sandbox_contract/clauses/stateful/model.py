"""The model of a proxy: users, keys and sandboxes, and their states over time.

Times are whole milliseconds since the history began.
"""

from dataclasses import dataclass, field

from sandbox_contract.harness.actors import Key, SandboxHandle, User
from sandbox_contract.harness.api import DEACTIVATED, EXPIRED, REVOKED, UNKNOWN_KEY
from sandbox_contract.harness.readiness import Phase

ANY_WITHOUT_FAILURE = {Phase.CREATED, Phase.PENDING, Phase.STARTING, Phase.READY, Phase.PAUSED}


@dataclass(frozen=True, slots=True)
class Delays:
    """The delays until a change shows and until a sandbox is ready."""

    reconcile: int
    ready: int


@dataclass(frozen=True, slots=True)
class Intent:
    """A request to the controller to pause or run a sandbox, and its time."""

    is_paused: bool
    since: int

    def phases(self, now: int, delays: Delays) -> set[Phase]:
        """Return the phases that may show once the controller acts on the request."""
        if self.is_paused:
            return {Phase.PAUSED}
        is_ready = now - self.since >= delays.ready
        return {Phase.READY} if is_ready else {Phase.PENDING, Phase.STARTING}


@dataclass(slots=True)
class ModelBox:
    """A sandbox; `lines` counts the commands that left a line in it, None before the first."""

    box: SandboxHandle
    desired: Intent
    observed: Intent | None = None
    lines: int | None = None
    at_rest: Phase | None = None  # only on a clock that is not exact, and until the next change

    def _seen(self, now: int, delays: Delays) -> Intent | None:
        return self.desired if now - self.desired.since >= delays.reconcile else self.observed

    def change(self, *, is_paused: bool, now: int, delays: Delays | None) -> None:
        """Pause or resume the sandbox; a change that is reversed before it shows has no effect."""
        if self.desired.is_paused == is_paused:
            return
        self.at_rest = None
        seen = None if delays is None else self._seen(now, delays)
        if seen is not None and seen.is_paused == is_paused:
            self.desired, self.observed = seen, None
        else:
            self.desired, self.observed = Intent(is_paused, now), seen

    def phases(self, now: int, delays: Delays | None) -> set[Phase]:
        """Return the permitted phases."""
        if delays is None:
            return ANY_WITHOUT_FAILURE if self.at_rest is None else {self.at_rest}
        seen = self._seen(now, delays)
        return {Phase.CREATED} if seen is None else seen.phases(now, delays)

    def runs(self, now: int, delays: Delays | None) -> bool | None:
        """Return whether a command runs, or None if that is not certain."""
        if delays is None:
            return None if self.at_rest is None else self.at_rest is Phase.READY
        is_desired_ready = self.desired.phases(now, delays) == {Phase.READY}
        return is_desired_ready and self.phases(now, delays) == {Phase.READY}


@dataclass(slots=True)
class ModelKey:
    """An additional key of a user."""

    key: Key
    expires: int | None = None
    is_revoked: bool = False


@dataclass(slots=True)
class ModelUser:
    """A user; `reserved` are names that a proxy may have kept when the user was deleted."""

    person: User
    is_active: bool = True
    is_deleted: bool = False
    boxes: dict[str, ModelBox] = field(default_factory=dict[str, ModelBox])
    keys: list[ModelKey] = field(default_factory=list[ModelKey])
    reserved: set[str] = field(default_factory=set[str])

    def refusal(self, now: int, key: ModelKey | None = None) -> str | None:
        """Return the message that refuses `key`, or the user's first key; None if it works."""
        if self.is_deleted:
            return UNKNOWN_KEY
        if key is not None and key.is_revoked:
            return REVOKED
        if not self.is_active:
            return DEACTIVATED
        if key is not None and key.expires is not None and now >= key.expires:
            return EXPIRED
        return None
