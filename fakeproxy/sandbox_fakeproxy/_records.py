"""What the fake remembers: users, their keys, their sandboxes."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may own keys and sandboxes."""

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
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What was asked of a sandbox, and when; its status follows from that and the time."""

    id: str
    user_id: str
    name: str
    image: str
    created_at: datetime
    running_since: datetime
    paused_at: datetime | None
