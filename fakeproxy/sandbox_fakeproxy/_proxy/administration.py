"""The administrator's routes: users and their keys."""

from dataclasses import replace
from typing import Any

from sandbox_fakeproxy._clock import Clock, iso
from sandbox_fakeproxy._errors import AlreadyExists, Fault, Refusal
from sandbox_fakeproxy._http import Arguments, Reply
from sandbox_fakeproxy._mint import Mint
from sandbox_fakeproxy._runtime.interface import Runtime
from sandbox_fakeproxy._state.records import User
from sandbox_fakeproxy._state.store import Store

from . import fields
from .conduct import Conduct
from .keys import Keys


class Administration:
    """What the admin key may do."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        mint: Mint,
        keys: Keys,
        runtime: Runtime,
        conduct: Conduct,
    ) -> None:
        self._store = store
        self._clock = clock
        self._mint = mint
        self._keys = keys
        self._runtime = runtime
        self._conduct = conduct

    async def create_user(self, asked: Arguments) -> Reply:
        """Add a user."""
        username, email = self._conduct.username(asked.body), self._conduct.email(asked.body)
        now = self._clock.now()
        user = User(self._mint.uuid(), username, email, True, now, now)
        try:
            self._store.add_user(user)
        except AlreadyExists as exc:
            raise Refusal(409, str(exc)) from exc
        return Reply({"success": True, "user": public(user)}, 201)

    async def list_users(self, asked: Arguments) -> Reply:
        """List users."""
        found = self._store.users(active_only=asked.query.get("active_only") == "true")
        return Reply({"count": len(found), "users": [public(user) for user in found]})

    async def get_user(self, asked: Arguments) -> Reply:
        """Show a user."""
        user = self._user(asked)
        return Reply({"user": public(user) | {"updated_at": iso(user.updated_at)}})

    async def update_user(self, asked: Arguments) -> Reply:
        """Change a user's e-mail, or let the user in or not."""
        before = user = self._user(asked)
        if "email" in asked.body:
            user = replace(user, email=self._conduct.email(asked.body))
        if "is_active" in asked.body:
            user = replace(user, is_active=self._conduct.is_active(asked.body))
        if user != before:
            user = replace(user, updated_at=self._clock.now())
            self._store.update_user(user)
        shown = public(user) | {"updated_at": iso(user.updated_at)}
        del shown["created_at"]
        return Reply({"success": True, "user": shown})

    async def delete_user(self, asked: Arguments) -> Reply:
        """Remove a user with all keys, sandboxes and what runs in them."""
        user = self._user(asked)
        sandboxes = self._store.sandboxes(user.id)
        self._store.delete_user(user.id)
        if self._conduct.leaves_orphans:
            for sandbox in sandboxes:
                self._store.spend_name(user.namespace, sandbox.name)
        for sandbox in sandboxes:
            await self._runtime.remove(sandbox.id)
        if self._conduct.leaves_orphans:
            raise Refusal(500, "The user is gone and the sandboxes are not", Fault.ORPHANS)
        return Reply({"success": True, "message": f"User '{user.username}' deleted successfully"})

    async def create_key(self, asked: Arguments) -> Reply:
        """Make a key for a user."""
        return self._keys.create(self._user(asked).id, asked.body)

    async def list_keys(self, asked: Arguments) -> Reply:
        """List a user's keys."""
        return self._keys.list(self._user(asked).id)

    async def revoke_key(self, asked: Arguments) -> Reply:
        """Revoke anybody's key."""
        key = self._store.key(fields.uuid(asked.params["key_id"], "key id"))
        if key is None:
            raise Refusal(404, "API key not found")
        return self._keys.revoke(key)

    def _user(self, asked: Arguments) -> User:
        user = self._store.user(fields.uuid(asked.params["user_id"], "user id"))
        if user is None:
            raise Refusal(404, "User not found")
        return user


def public(user: User) -> dict[str, Any]:
    """Describe a user."""
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "created_at": iso(user.created_at),
        "is_active": user.is_active,
    }
