"""The contract's readiness tables: how each version of the controller words each phase."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


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
