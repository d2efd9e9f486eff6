"""The contract's tables of a sandbox's status, in the words of either controller."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sandbox_contract.http.expect import Json


class Phase(IntEnum):
    """How far a sandbox is, in the order of a start."""

    CREATED = 0
    PENDING = 1
    STARTING = 2
    READY = 3
    PAUSED = 4
    FAILED = 5
    EXPIRED = 6
    ERROR = 7


ALPHA, BETA = "v1alpha1", "v1beta1"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the tables, in one controller's words. A message that ends in `: ` is a prefix."""

    phase: Phase
    profile: str
    replicas: tuple[int, ...]
    ready: bool
    reason: str | None = None
    message: str | None = None

    def fits(self, status: Json) -> bool:
        """Tell whether a status is this row."""
        said: Any = status.get("readyMessage")
        is_worded = said == self.message or (
            self.message is not None
            and self.message.endswith(": ")
            and isinstance(said, str)
            and said.startswith(self.message)
        )
        return (
            # JSON's true is no 1, nor 1 true.
            type(status.get("replicas")) is int
            and status["replicas"] in self.replicas
            and status.get("ready") is self.ready
            and status.get("readyReason") == self.reason
            and is_worded
        )


_WAITING = "DependenciesNotReady"
_SHARED = tuple(
    row
    for profile, up in ((ALPHA, 1), (BETA, 0))
    for row in (
        Row(Phase.CREATED, profile, (0,), ready=False),
        Row(
            Phase.PENDING,
            profile,
            (up,),
            False,
            _WAITING,
            "Pod exists with phase: Pending; Service Exists",
        ),
        Row(
            Phase.STARTING,
            profile,
            (up,),
            False,
            _WAITING,
            "Pod is Running but not Ready; Service Exists",
        ),
        Row(Phase.EXPIRED, profile, (0, up), False, "SandboxExpired", "Sandbox has expired"),
        Row(Phase.ERROR, profile, (0, up), False, "ReconcilerError", "Error seen: "),
    )
)
ROWS = (
    *_SHARED,
    Row(Phase.READY, ALPHA, (1,), True, "DependenciesReady", "Pod is Ready; Service Exists"),
    Row(Phase.READY, BETA, (0,), True, "DependenciesReady", "Pod is Ready"),
    Row(
        Phase.PAUSED,
        ALPHA,
        (0,),
        True,
        "DependenciesReady",
        "Pod does not exist, replicas is 0; Service Exists",
    ),
    Row(Phase.PAUSED, BETA, (0,), False, "SandboxSuspended", "Sandbox is suspended"),
    Row(
        Phase.FAILED, ALPHA, (1,), False, _WAITING, "Pod exists with phase: Failed; Service Exists"
    ),
    Row(Phase.FAILED, BETA, (0,), False, "PodFailed", "Pod failed"),
)


def rows_of(status: Json) -> list[Row]:
    """Return every row that a status fits; both controllers share some."""
    return [row for row in ROWS if row.fits(status)]


def phase_of(status: Json) -> Phase | None:
    """Return how far a sandbox is, by all that its status says; None when it is no row."""
    return next((row.phase for row in rows_of(status)), None)


def profile_of(status: Json) -> str | None:
    """Return the controller whose words a status is in; None for both controllers or none."""
    profiles = {row.profile for row in rows_of(status)}
    return profiles.pop() if len(profiles) == 1 else None


def describe(status: Json) -> str:
    """Return a status's readiness in one line."""
    keys = ("replicas", "ready", "readyReason", "readyMessage")
    return ", ".join(f"{key} {status[key]!r}" for key in keys if key in status)


def rows_in_words(phase: Phase) -> str:
    """Return the permitted statuses of a phase in words."""
    return " or ".join(
        f"replicas {'/'.join(map(str, row.replicas))}, ready {row.ready},"
        f" readyReason {row.reason!r}, readyMessage {row.message!r} ({row.profile})"
        for row in ROWS
        if row.phase is phase
    )
