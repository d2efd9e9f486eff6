"""The paths of the proxy's API."""

from sandbox_contract.http.client import segment

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


def in_volume(command: str) -> str:
    """Return a command that runs where the persistent volume is.

    A fake that cannot show it under its name has it as the working directory.
    """
    return f"cd /sandbox 2>/dev/null; {command}"


def own_key_path(key_id: str) -> str:
    """Return where a user revokes a key of one's own."""
    return f"{MY_KEYS}/{segment(key_id)}"
