"""The sandbox controller: the status of a sandbox as time passes.

Nothing runs in the background: a status is computed from the record and the time when it is
asked for, so a thousand sandboxes cost what one costs, and a moved clock moves all of them. The
profiles are the contract's readiness tables: how each version of the controller words each phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .model import FailureMode, Intent, Sandbox


class Phase(StrEnum):
    """How far the controller has come with a sandbox, as its status says."""

    UNRECONCILED = "created"
    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    FAILED = "failed"
    EXPIRED = "expired"
    CONTROLLER_ERROR = "controller-error"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Condition:
    """The reported status of a phase: the columns of the tables."""

    replicas: int
    ready: bool
    reason: str | None = None
    message: str | None = None


# One column of the contract's *Profiles*. Of a resource that has vanished, nothing is reported.
Profile = Mapping[Phase, Condition]


def _waiting(pod: str) -> Condition:
    return Condition(1, False, "DependenciesNotReady", f"{pod}; Service Exists")


V1ALPHA1: Profile = {
    Phase.UNRECONCILED: Condition(0, ready=False),
    Phase.PENDING: _waiting("Pod exists with phase: Pending"),
    Phase.STARTING: _waiting("Pod is Running but not Ready"),
    Phase.READY: Condition(1, True, "DependenciesReady", "Pod is Ready; Service Exists"),
    Phase.PAUSED: Condition(
        0, True, "DependenciesReady", "Pod does not exist, replicas is 0; Service Exists"
    ),
    Phase.FAILED: _waiting("Pod exists with phase: Failed"),
    Phase.EXPIRED: Condition(0, False, "SandboxExpired", "Sandbox has expired"),
    Phase.CONTROLLER_ERROR: Condition(
        1, False, "ReconcilerError", "Error seen: the controller was told to fail"
    ),
}

_REWORDED: Profile = {
    **V1ALPHA1,
    Phase.READY: Condition(1, True, "DependenciesReady", "Pod is Ready"),
    Phase.PAUSED: Condition(0, False, "SandboxSuspended", "Sandbox is suspended"),
    Phase.FAILED: Condition(1, False, "PodFailed", "Pod failed"),
}

# This version's status has no replicas any more, which the proxy reports as 0.
V1BETA1: Profile = {phase: replace(condition, replicas=0) for phase, condition in _REWORDED.items()}

PROFILES: Mapping[str, Profile] = {"v1alpha1": V1ALPHA1, "v1beta1": V1BETA1}
DEFAULT_PROFILE = "v1alpha1"


def find_profile(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        ValueError: there is none.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(
            f"profile has value {name!r}. Expected one of: {', '.join(PROFILES)}"
        ) from None


_PHASES = {
    FailureMode.VANISHED: Phase.VANISHED,
    FailureMode.CONTROLLER_ERROR: Phase.CONTROLLER_ERROR,
    FailureMode.EXPIRED: Phase.EXPIRED,
}


class Controller:
    """Compute a sandbox's status at a time, and its record after a change.

    A change shows `reconcile_delay` after it was asked for; until then the old status does.
    `ready_after` counts from the request to create or resume, and holds even if it is less than the
    delay; what the delay leaves of it, pending and starting share evenly.
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

    # The status ---------------------------------------------------------------------------------

    def condition(self, sandbox: Sandbox, now: datetime, phase: Phase | None = None) -> Condition:
        """Return the reported condition of a sandbox whose resource exists.

        The phase at that time may be passed in, to save the work of finding it.
        """
        condition = self._profile[phase or self.phase(sandbox, now)]
        if condition.replicas == 0:
            return condition
        seen = self._seen(sandbox, now)
        return replace(condition, replicas=0) if seen and seen.is_paused else condition

    def phase(self, sandbox: Sandbox, now: datetime) -> Phase:
        """Return how far the controller has come with a sandbox."""
        return self._phase(self._seen(sandbox, now), now)

    def has_service(self, sandbox: Sandbox, now: datetime) -> bool:
        """Tell whether the controller has made the sandbox's service yet."""
        return sandbox.had_service or (
            self._has_seen(sandbox.desired, now)
            and sandbox.desired.failure_mode is not FailureMode.CONTROLLER_ERROR
        )

    def has_vanished(self, sandbox: Sandbox, now: datetime) -> bool:
        """Tell whether the sandbox's resource is gone."""
        return self.phase(sandbox, now) is Phase.VANISHED

    def accepts_commands(self, sandbox: Sandbox, now: datetime) -> bool:
        """Tell whether a command may start.

        A pause or a failure counts from the request, although the old status shows a moment longer:
        processes are killed at once, and none may start after that.
        """
        return (
            self._phase(sandbox.desired, now) is Phase.READY
            and self.phase(sandbox, now) is Phase.READY
        )

    # Changes ------------------------------------------------------------------------------------

    def paused(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        """Ask that a sandbox be paused; asking again changes nothing."""
        return self._changed(sandbox, Intent(sandbox.desired.failure_mode, True, now))

    def resumed(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        """Ask that a sandbox run again; asking it of a running one changes nothing."""
        return self._changed(sandbox, Intent(sandbox.desired.failure_mode, False, now))

    def with_failure_mode(
        self, sandbox: Sandbox, failure_mode: FailureMode, now: datetime
    ) -> Sandbox:
        """Have something become of a sandbox; of a mended one, a new pod starts."""
        return self._changed(sandbox, Intent(failure_mode, sandbox.desired.is_paused, now))

    def age(self, phase: Phase) -> timedelta:
        """Return how long ago a sandbox was made that enters a phase now."""
        return {
            Phase.UNRECONCILED: timedelta(0),
            Phase.PENDING: self._start_delay,
            Phase.STARTING: self._starting_after,
            Phase.READY: self._ready_after,
        }.get(phase, self._reconcile_delay)

    def _changed(self, sandbox: Sandbox, desired: Intent) -> Sandbox:
        if _is_same(desired, sandbox.desired):
            return sandbox
        seen = self._seen(sandbox, desired.since)
        if seen is not None and _is_same(desired, seen):
            return replace(sandbox, desired=seen)  # taken back before the controller saw it
        had_service = self.has_service(sandbox, desired.since)
        return replace(sandbox, desired=desired, observed=seen, had_service=had_service)

    def _seen(self, sandbox: Sandbox, now: datetime) -> Intent | None:
        """Return the intent that the controller acts upon; None until it knows of the sandbox."""
        return sandbox.desired if self._has_seen(sandbox.desired, now) else sandbox.observed

    def _has_seen(self, desired: Intent, now: datetime) -> bool:
        starts = desired.failure_mode is FailureMode.RUNNING and not desired.is_paused
        return now - desired.since >= (self._start_delay if starts else self._reconcile_delay)

    def _phase(self, seen: Intent | None, now: datetime) -> Phase:
        if seen is None:
            return Phase.UNRECONCILED
        if seen.failure_mode in _PHASES:
            return _PHASES[seen.failure_mode]
        if seen.is_paused:
            return Phase.PAUSED
        if seen.failure_mode is FailureMode.FAILED:
            return Phase.FAILED
        running = now - seen.since
        if running >= self._ready_after and seen.failure_mode is not FailureMode.NEVER_READY:
            return Phase.READY
        return Phase.STARTING if running >= self._starting_after else Phase.PENDING


def _is_same(one: Intent, other: Intent) -> bool:
    return (one.failure_mode, one.is_paused) == (other.failure_mode, other.is_paused)
