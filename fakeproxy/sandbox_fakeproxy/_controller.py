"""What the sandbox controller does to a sandbox as time passes.

Nothing runs in the background: a status is computed from the record and the time when somebody
asks, so a thousand sandboxes cost what one costs, and a moved clock moves all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from ._records import Sandbox


class Phase(Enum):
    """How far the controller has come with a sandbox."""

    UNRECONCILED = auto()
    PENDING = auto()
    STARTING = auto()
    READY = auto()
    PAUSED = auto()


@dataclass(frozen=True, slots=True)
class Condition:
    """What the controller reports of a phase: the columns of the contract's readiness table."""

    replicas: int
    ready: bool
    reason: str | None = None
    message: str | None = None


# A profile is one column of the contract: how one version of the controller words each phase.
Profile = Mapping[Phase, Condition]

V1ALPHA1: Profile = {
    Phase.UNRECONCILED: Condition(0, ready=False),
    Phase.PENDING: Condition(
        1,
        ready=False,
        reason="DependenciesNotReady",
        message="Pod exists with phase: Pending; Service Exists",
    ),
    Phase.STARTING: Condition(
        1,
        ready=False,
        reason="DependenciesNotReady",
        message="Pod is Running but not Ready; Service Exists",
    ),
    Phase.READY: Condition(
        1, ready=True, reason="DependenciesReady", message="Pod is Ready; Service Exists"
    ),
    Phase.PAUSED: Condition(
        0,
        ready=True,
        reason="DependenciesReady",
        message="Pod does not exist, replicas is 0; Service Exists",
    ),
}


class Controller:
    """Tell a sandbox's status at a time.

    `ready_after` counts from the request to create or resume; within it the first
    `reconcile_delay` shows the old status, and pending and starting share the rest evenly.
    """

    def __init__(
        self, *, ready_after: float, reconcile_delay: float, profile: Profile = V1ALPHA1
    ) -> None:
        self._ready_after = timedelta(seconds=ready_after)
        self._reconcile_delay = timedelta(seconds=reconcile_delay)
        # A sandbox cannot be ready before the controller has seen it.
        self._start_delay = min(self._reconcile_delay, self._ready_after)
        self._starting_after = (self._start_delay + self._ready_after) / 2
        self._profile = profile

    def condition(self, sandbox: Sandbox, now: datetime) -> Condition:
        """Return what the controller reports of a sandbox."""
        return self._profile[self.phase(sandbox, now)]

    def has_service(self, sandbox: Sandbox, now: datetime) -> bool:
        """Tell whether the controller has made the sandbox's service yet."""
        return now - sandbox.created_at >= self._start_delay

    def accepts_commands(self, sandbox: Sandbox, now: datetime) -> bool:
        """Tell whether a command may start.

        A pause counts from the request, although the old status shows a moment longer: its
        processes are killed at once, and none may start after that.
        """
        return sandbox.paused_at is None and self.phase(sandbox, now) is Phase.READY

    def phase(self, sandbox: Sandbox, now: datetime) -> Phase:
        """Return how far the controller has come with a sandbox."""
        if not self.has_service(sandbox, now):
            return Phase.UNRECONCILED
        if sandbox.paused_at is not None and now - sandbox.paused_at >= self._reconcile_delay:
            return Phase.PAUSED
        running = now - sandbox.running_since
        if running < self._start_delay:
            return Phase.PAUSED  # resumed, and the controller has not seen it yet
        if running >= self._ready_after:
            return Phase.READY
        return Phase.STARTING if running >= self._starting_after else Phase.PENDING


def paused(sandbox: Sandbox, now: datetime) -> Sandbox:
    """Ask that a sandbox be paused; asking again changes nothing."""
    return sandbox if sandbox.paused_at is not None else replace(sandbox, paused_at=now)


def resumed(sandbox: Sandbox, now: datetime) -> Sandbox:
    """Ask that a sandbox run again; asking it of a running one changes nothing."""
    if sandbox.paused_at is None:
        return sandbox
    return replace(sandbox, paused_at=None, running_since=now)
