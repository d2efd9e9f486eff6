"""Records: users, their keys, their sandboxes, and what becomes of a sandbox."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .clock import Instant


class Fate(StrEnum):
    """The fate of a sandbox.

    NEVER_READY starts for ever. FAILED, EXPIRED and CONTROLLER_ERROR are shown by
    the status. VANISHED is a resource that is gone while the proxy still knows the sandbox.
    """

    RUNNING = "running"
    NEVER_READY = "never-ready"
    FAILED = "failed"
    EXPIRED = "expired"
    CONTROLLER_ERROR = "controller-error"
    VANISHED = "vanished"


FATES = tuple(fate.value for fate in Fate)


def find_fate(value: object) -> Fate:
    """Return the fate that a tester names.

    Raises:
        ValueError: there is none of that name.
    """
    if isinstance(value, str) and value in FATES:
        return Fate(value)
    raise ValueError(f"fate must be one of: {', '.join(FATES)}")


def fate_of_image(image: str) -> Fate:
    """Return the fate that an image's name ends in, such as `fake/expired` or `fake/failed:1`."""
    path, slash, name = image.partition("@")[0].rpartition("/")
    name = name.partition(":")[0]
    return Fate(name) if path and slash and name in FATES else Fate.RUNNING


def fate_of(name: str, image: str) -> Fate:
    """Return the fate of a new sandbox.

    A Kubernetes service must not start with a digit; only as deployed may a sandbox have such a
    name.
    """
    return Fate.CONTROLLER_ERROR if name[0].isdigit() else fate_of_image(image)


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

    fate: Fate
    is_paused: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox and its intended state; its status follows from that and the time.

    `before` and `had_service` are what the controller acted upon, and whether it had made a
    service, when `asked` was asked for: its status until it sees that.
    """

    id: str
    user_id: str
    name: str
    image: str
    created_at: datetime
    asked: Intent
    before: Intent | None = None
    had_service: bool = False
