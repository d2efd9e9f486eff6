"""Records: users, their keys, their sandboxes, and what becomes of a sandbox."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .clock import Instant


class FailureMode(StrEnum):
    """How a sandbox fails, or that it runs.

    NEVER_READY starts for ever. FAILED, EXPIRED and CONTROLLER_ERROR are shown by
    the status. VANISHED is a resource that is gone while the proxy still knows the sandbox.
    """

    RUNNING = "running"
    NEVER_READY = "never-ready"
    FAILED = "failed"
    EXPIRED = "expired"
    CONTROLLER_ERROR = "controller-error"
    VANISHED = "vanished"


FAILURE_MODES = tuple(failure_mode.value for failure_mode in FailureMode)


def find_failure_mode(value: object) -> FailureMode:
    """Return the failure mode that a tester names.

    Raises:
        ValueError: there is none of that name.
    """
    if isinstance(value, str) and value in FAILURE_MODES:
        return FailureMode(value)
    raise ValueError(f"failure_mode must be one of: {', '.join(FAILURE_MODES)}")


def failure_mode_of_image(image: str) -> FailureMode:
    """Return the failure mode that an image's name ends in.

    Examples: `fake/expired`, `fake/failed:1`.
    """
    path, slash, name = image.partition("@")[0].rpartition("/")
    name = name.partition(":")[0]
    return FailureMode(name) if path and slash and name in FAILURE_MODES else FailureMode.RUNNING


def failure_mode_of(name: str, image: str) -> FailureMode:
    """Return the failure mode of a new sandbox.

    A Kubernetes service must not start with a digit; only as deployed may a sandbox have such a
    name.
    """
    return FailureMode.CONTROLLER_ERROR if name[0].isdigit() else failure_mode_of_image(image)


@dataclass(frozen=True, slots=True)
class User:
    """A user, the owner of keys and sandboxes."""

    id: str
    username: str
    email: str | None
    is_active: bool | None  # None only in the deployed proxy, where it is as good as False
    created_at: datetime
    updated_at: datetime

    @property
    def namespace(self) -> str:
        """Return the Kubernetes namespace that holds this user's sandboxes."""
        return f"user-{self.username}"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret: only the hash of that is kept, and only by the store."""

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
    """The intended state of a sandbox, and when it was asked for."""

    failure_mode: FailureMode
    is_paused: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox and its intended state; its status follows from that and the time.

    `observed` and `had_service` are what the controller acted upon, and whether it had made a
    service, when `desired` was asked for: its status until it sees that.
    """

    id: str
    user_id: str
    name: str
    image: str
    created_at: datetime
    desired: Intent
    observed: Intent | None = None
    had_service: bool = False
