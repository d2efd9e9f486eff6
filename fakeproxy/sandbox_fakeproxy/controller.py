"""The sandbox controller: the status of a sandbox as time passes.

Nothing runs in the background: each request computes a status from the stored sandbox and the
current time. So the number of sandboxes costs nothing, and an advance of the clock affects all of
them. The profiles are the contract's readiness tables: each controller version's condition for each
phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .model import FailureMode, Intent, Sandbox


class Phase(StrEnum):
    """The progress of the controller with a sandbox, as its status shows it."""

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
    """The status that the controller reports for a phase: the columns of the contract's tables."""

    replicas: int
    ready: bool
    reason: str | None = None
    message: str | None = None


# One column of the contract's *Profiles*. A vanished resource has no condition.
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
        1, False, "ReconcilerError", "Error seen: simulated controller failure"
    ),
}

_V1BETA1_WITH_REPLICAS: Profile = {
    **V1ALPHA1,
    Phase.READY: Condition(1, True, "DependenciesReady", "Pod is Ready"),
    Phase.PAUSED: Condition(0, False, "SandboxSuspended", "Sandbox is suspended"),
    Phase.FAILED: Condition(1, False, "PodFailed", "Pod failed"),
}

# The status has no replicas in this version; the proxy reports 0.
V1BETA1: Profile = {
    phase: replace(condition, replicas=0) for phase, condition in _V1BETA1_WITH_REPLICAS.items()
}

PROFILES: Mapping[str, Profile] = {"v1alpha1": V1ALPHA1, "v1beta1": V1BETA1}
DEFAULT_PROFILE = "v1alpha1"


def find_profile(name: str) -> Profile:
    """Return the profile with that name.

    Raises:
        ValueError: there is none.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(
            f"profile has value {name!r}. Expected one of: {', '.join(PROFILES)}"
        ) from None


@dataclass(frozen=True, slots=True)
class Status:
    """The reported status of a sandbox; `condition` is None if its resource is gone."""

    sandbox: Sandbox
    phase: Phase
    has_service: bool
    condition: Condition | None


_PHASES = {
    FailureMode.VANISHED: Phase.VANISHED,
    FailureMode.CONTROLLER_ERROR: Phase.CONTROLLER_ERROR,
    FailureMode.EXPIRED: Phase.EXPIRED,
}


class Controller:
    """Compute the status of a sandbox at a time, and the sandbox after a change.

    A change appears in the status `reconcile_delay` seconds after its request. A sandbox is ready
    `ready_after` seconds after the request to create or resume it; if that is the shorter time, the
    change appears then. In between, it is pending in the first half of the time and starting in the
    second. Its runtime answers `listen_after` seconds after it is ready.
    """

    def __init__(
        self,
        *,
        ready_after: float,
        reconcile_delay: float,
        listen_after: float = 0.0,
        profile: Profile = V1ALPHA1,
    ) -> None:
        self._ready_after = timedelta(seconds=ready_after)
        self._listening_after = timedelta(seconds=ready_after + listen_after)
        self._reconcile_delay = timedelta(seconds=reconcile_delay)
        # A sandbox cannot be ready before the controller has observed it.
        self._start_delay = min(self._reconcile_delay, self._ready_after)
        self._starting_after = (self._start_delay + self._ready_after) / 2
        self._profile = profile

    # The status ---------------------------------------------------------------------------------

    def status(self, sandbox: Sandbox, now: datetime) -> Status:
        """Return the status of a sandbox at a time."""
        observed = self._observed(sandbox, now)
        phase = self._phase(observed, now)
        if phase is Phase.VANISHED:
            return Status(sandbox, phase, has_service=False, condition=None)
        condition = self._profile[phase]
        if condition.replicas and observed is not None and observed.is_paused:
            condition = replace(condition, replicas=0)
        return Status(sandbox, phase, self._has_service(sandbox, now), condition)

    def phase(self, sandbox: Sandbox, now: datetime) -> Phase:
        """Return the phase of a sandbox at a time."""
        return self._phase(self._observed(sandbox, now), now)

    def has_vanished(self, sandbox: Sandbox, now: datetime) -> bool:
        """Return whether the sandbox's resource is gone at `now`."""
        return self.phase(sandbox, now) is Phase.VANISHED

    def accepts_commands(self, sandbox: Sandbox, now: datetime) -> bool:
        """Return whether a command may start.

        A pause or a failure applies from its request on, although the status still shows the old
        phase until the reconcile delay has passed: processes are killed at once, and none may start
        after that.
        """
        return (
            self._phase(sandbox.desired, now) is Phase.READY
            and self.phase(sandbox, now) is Phase.READY
        )

    def is_listening(self, sandbox: Sandbox, now: datetime) -> bool:
        """Return whether the runtime of a sandbox that is ready answers already."""
        return now - sandbox.desired.since >= self._listening_after

    # Changes ------------------------------------------------------------------------------------

    def paused(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        """Return the sandbox after a request to pause it; a paused one is unchanged."""
        return self._changed(sandbox, Intent(sandbox.desired.failure_mode, True, now))

    def resumed(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        """Return the sandbox after a request to resume it; a running one is unchanged."""
        return self._changed(sandbox, Intent(sandbox.desired.failure_mode, False, now))

    def with_failure_mode(
        self, sandbox: Sandbox, failure_mode: FailureMode, now: datetime
    ) -> Sandbox:
        """Return the sandbox with another failure mode; with `running`, a new pod starts."""
        return self._changed(sandbox, Intent(failure_mode, sandbox.desired.is_paused, now))

    def age(self, phase: Phase) -> timedelta:
        """Return the age of a sandbox that enters a phase now; a ready one listens already."""
        return {
            Phase.UNRECONCILED: timedelta(0),
            Phase.PENDING: self._start_delay,
            Phase.STARTING: self._starting_after,
            Phase.READY: self._listening_after,
        }.get(phase, self._reconcile_delay)

    def _changed(self, sandbox: Sandbox, desired: Intent) -> Sandbox:
        if _is_same(desired, sandbox.desired):
            return sandbox
        observed = self._observed(sandbox, desired.since)
        if observed is not None and _is_same(desired, observed):
            # The change was reverted before the controller saw it.
            return replace(sandbox, desired=observed)
        had_service = self._has_service(sandbox, desired.since)
        return replace(sandbox, desired=desired, observed=observed, had_service=had_service)

    def _has_service(self, sandbox: Sandbox, now: datetime) -> bool:
        """Return whether the controller has created the sandbox's service by `now`."""
        return sandbox.had_service or (
            self._has_observed(sandbox.desired, now)
            and sandbox.desired.failure_mode is not FailureMode.CONTROLLER_ERROR
        )

    def _observed(self, sandbox: Sandbox, now: datetime) -> Intent | None:
        """Return the intent that the controller acts on; None before it sees the sandbox."""
        return sandbox.desired if self._has_observed(sandbox.desired, now) else sandbox.observed

    def _has_observed(self, desired: Intent, now: datetime) -> bool:
        starts = desired.failure_mode is FailureMode.RUNNING and not desired.is_paused
        return now - desired.since >= (self._start_delay if starts else self._reconcile_delay)

    def _phase(self, observed: Intent | None, now: datetime) -> Phase:
        if observed is None:
            return Phase.UNRECONCILED
        if observed.failure_mode in _PHASES:
            return _PHASES[observed.failure_mode]
        if observed.is_paused:
            return Phase.PAUSED
        if observed.failure_mode is FailureMode.FAILED:
            return Phase.FAILED
        running = now - observed.since
        if running >= self._ready_after and observed.failure_mode is not FailureMode.NEVER_READY:
            return Phase.READY
        return Phase.STARTING if running >= self._starting_after else Phase.PENDING


def _is_same(one: Intent, other: Intent) -> bool:
    return (one.failure_mode, one.is_paused) == (other.failure_mode, other.is_paused)
