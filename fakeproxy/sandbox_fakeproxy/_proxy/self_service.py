"""A user's own routes: who am I, and my keys."""

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._http import Arguments, Reply
from sandbox_fakeproxy._state.records import User
from sandbox_fakeproxy._state.store import Store

from . import fields
from .keys import Keys


class SelfService:
    """What a user may do about the own account."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys

    async def show(self, user: User, _asked: Arguments) -> Reply:
        """Say whose key it is."""
        return Reply({"user": {"id": user.id, "username": user.username, "email": user.email}})

    async def create_key(self, user: User, asked: Arguments) -> Reply:
        """Make another key."""
        return self._keys.create(user.id, asked.body)

    async def list_keys(self, user: User, _asked: Arguments) -> Reply:
        """List the caller's keys."""
        return self._keys.list(user.id)

    async def revoke_key(self, user: User, asked: Arguments) -> Reply:
        """Revoke a key of the caller's, the one in use too."""
        key = self._store.key(fields.uuid(asked.params["key_id"], "key id"))
        if key is None:
            raise Refusal(404, "API key not found")
        if key.user_id != user.id:
            raise Refusal(403, "You do not own this API key")
        return self._keys.revoke(key)
