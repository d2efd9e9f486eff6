"""Data classes for users, keys and sandboxes, and the failure modes of a sandbox."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .clock import Instant


class FailureMode(StrEnum):
    """How a sandbox fails; RUNNING means that it does not.

    A NEVER_READY sandbox stays in the phase `starting`. FAILED, EXPIRED and CONTROLLER_ERROR appear
    in the status. VANISHED: the Kubernetes resource is gone, but the proxy still has the sandbox.
    """

    RUNNING = "running"
    NEVER_READY = "never-ready"
    FAILED = "failed"
    EXPIRED = "expired"
    CONTROLLER_ERROR = "controller-error"
    VANISHED = "vanished"


FAILURE_MODES = tuple(failure_mode.value for failure_mode in FailureMode)


def parse_failure_mode(value: object) -> FailureMode:
    """Parse the name of a failure mode.

    Raises:
        ValueError: `value` is not one.
    """
    if isinstance(value, str) and value in FAILURE_MODES:
        return FailureMode(value)
    raise ValueError(f"failure_mode must be one of: {', '.join(FAILURE_MODES)}")


def failure_mode_from_image(image: str) -> FailureMode:
    """Return the failure mode that the last part of an image's name selects, or RUNNING.

    Examples: `fake/expired`, `fake/failed:1`.
    """
    path, slash, name = image.partition("@")[0].rpartition("/")
    name = name.partition(":")[0]
    return FailureMode(name) if path and slash and name in FAILURE_MODES else FailureMode.RUNNING


def initial_failure_mode(name: str, image: str) -> FailureMode:
    """Return the failure mode of a new sandbox.

    The name of a Kubernetes service must not start with a digit; the fake accepts such a sandbox
    name only as deployed.
    """
    return FailureMode.CONTROLLER_ERROR if name[0].isdigit() else failure_mode_from_image(image)


@dataclass(frozen=True, slots=True)
class User:
    """A user, the owner of keys and sandboxes."""

    id: str
    username: str
    email: str | None
    is_active: bool | None  # None only as deployed, where it means False
    created_at: datetime
    updated_at: datetime

    @property
    def namespace(self) -> str:
        """The Kubernetes namespace of the user's sandboxes."""
        return f"user-{self.username}"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret; the store has only the hash of the secret."""

    id: str
    user_id: str
    key_prefix: str
    name: str | None
    is_active: bool
    created_at: datetime
    expires_at: Instant | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Intent:
    """The state that a request wants for a sandbox, and the time of that request."""

    failure_mode: FailureMode
    is_paused: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox and its desired state; the controller computes its status from that and the time.

    Until the controller sees `desired`, the status follows from `observed`, the state that it acted
    on when `desired` was requested, and from `had_service`, whether the service existed then.
    """

    id: str
    user_id: str
    name: str
    image: str
    created_at: datetime
    desired: Intent
    observed: Intent | None = None
    had_service: bool = False
