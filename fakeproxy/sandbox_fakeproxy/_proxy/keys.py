"""API keys as the administrator's and the self-service routes both make, list and revoke them."""

from typing import Any

from sandbox_fakeproxy._clock import Clock, iso
from sandbox_fakeproxy._http import JsonObject, Reply
from sandbox_fakeproxy._mint import PREFIX_SHOWN, Mint
from sandbox_fakeproxy._state.records import ApiKey
from sandbox_fakeproxy._state.store import Store

from .auth import digest
from .conduct import Conduct


class Keys:
    """The keys of any user; who may touch which is the caller's to decide."""

    def __init__(self, store: Store, clock: Clock, mint: Mint, conduct: Conduct) -> None:
        self._store = store
        self._clock = clock
        self._mint = mint
        self._conduct = conduct

    def create(self, user_id: str, body: JsonObject) -> Reply:
        """Make a key, and show it this once."""
        secret = self._mint.api_key()
        key = ApiKey(
            id=self._mint.uuid(),
            user_id=user_id,
            key_prefix=secret[:PREFIX_SHOWN],
            name=self._conduct.key_name(body),
            is_active=True,
            created_at=self._clock.now(),
            expires_at=self._conduct.expires_at(body),
            last_used_at=None,
        )
        self._store.add_key(key, digest(secret))
        return Reply(
            {
                "success": True,
                "message": "API key created successfully. Keep it: it is not shown again.",
                "api_key": secret,
                "key_info": _info(key),
            },
            201,
        )

    def list(self, user_id: str) -> Reply:
        """List a user's keys, the revoked ones too."""
        keys = [listed(key) for key in self._store.keys(user_id)]
        return Reply({"count": len(keys), "api_keys": keys})

    def revoke(self, key: ApiKey) -> Reply:
        """Revoke a key; again is fine."""
        self._store.revoke_key(key.id)
        return Reply({"success": True, "message": "API key revoked successfully"})


def listed(key: ApiKey) -> dict[str, Any]:
    """Describe a key by all but its secret."""
    return _info(key) | {
        "last_used_at": iso(key.last_used_at) if key.last_used_at else None,
        "is_active": key.is_active,
    }


def _info(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "key_prefix": key.key_prefix,
        "name": key.name,
        "created_at": iso(key.created_at),
        "expires_at": key.expires_at.iso() if key.expires_at else None,
    }
