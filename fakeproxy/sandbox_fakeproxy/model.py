"""Records: users, their keys, their sandboxes."""

from dataclasses import dataclass
from datetime import datetime

from sandbox_fakeproxy.clock import Instant

from .failure_modes import Fate


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
