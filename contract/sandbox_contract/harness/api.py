"""The proxy's API: its paths, its messages, and patterns that equal the fields of its replies."""

import re

from dirty_equals import AnyThing, IsInt, IsStr, IsUUID

from sandbox_contract.http.client import segment

# Paths -------------------------------------------------------------------------------------------

SANDBOXES = "/api/sandboxes"
USERS = "/api/admin/users"
MY_KEYS = "/api/me/apikeys"
EXEC = "/v1/shell/exec"  # below a sandbox


def user_path(user_id: str) -> str:
    """Return where the administrator finds a user."""
    return f"{USERS}/{segment(user_id)}"


def keys_path(user_id: str) -> str:
    """Return where the administrator finds a user's keys."""
    return f"{user_path(user_id)}/apikeys"


def revocation_path(key_id: str) -> str:
    """Return where the administrator revokes a key."""
    return f"/api/admin/apikeys/{segment(key_id)}"


def own_key_path(key_id: str) -> str:
    """Return where a user revokes a key of one's own."""
    return f"{MY_KEYS}/{segment(key_id)}"


def in_volume(command: str) -> str:
    """Return a command that runs where the persistent volume is.

    A fake that cannot show it under its name has it beside the home directory.
    """
    return f"cd /sandbox 2>/dev/null || cd ~/../sandbox 2>/dev/null; {command}"


# Messages ----------------------------------------------------------------------------------------

# For every caller, in the order in which a key is checked.
NO_HEADER = "Missing Authorization header"
BAD_HEADER = "Invalid Authorization header format. Expected: Bearer <api-key>"
UNKNOWN_KEY = "Invalid API key"
REVOKED = "API key is inactive"
DEACTIVATED = "User account is inactive"
EXPIRED = "API key has expired"
NOT_ADMIN = "Invalid admin API key"

# For one resource.
NO_ACCESS = "You do not have access to this sandbox"
DELETED = "Sandbox not found"  # 404, and only while a request to delete it is under way
NO_USER = "User not found"
NO_KEY = "API key not found"
NOT_THE_OWNER = "You do not own this API key"
NAME_REQUIRED = "name is required"
USERNAME_REQUIRED = "username is required"
NO_SERVICE = "Sandbox service not ready"
NOT_READY = "Sandbox not ready"

# Fields ------------------------------------------------------------------------------------------

TIME_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TIMESTAMP = IsStr(regex=TIME_FORM.pattern)
TEXT = IsStr(min_length=1)
ANY = AnyThing()
ID = IsUUID()
COUNT = IsInt(ge=0)
PREFIX_SHOWN = 12  # characters of a key that the proxy shows
KEY_FORM = re.compile(r"sk_live_[A-Za-z0-9_-]{32}")
