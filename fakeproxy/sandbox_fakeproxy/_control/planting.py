"""From a seed's users to records, as if they had been made in time to be what they are now."""

from datetime import datetime, timedelta
from typing import Any

from sandbox_fakeproxy._mint import PREFIX_SHOWN, Mint
from sandbox_fakeproxy._proxy.auth import digest
from sandbox_fakeproxy._state.controller import Controller
from sandbox_fakeproxy._state.fates import Fate
from sandbox_fakeproxy._state.profiles import Phase
from sandbox_fakeproxy._state.records import ApiKey, Intent, Sandbox, User
from sandbox_fakeproxy._state.store import Store

from .seed import SeedKey, SeedSandbox, SeedUser


class Planting:
    """Put users with keys and sandboxes into a store."""

    def __init__(self, store: Store, mint: Mint, controller: Controller) -> None:
        self._store = store
        self._mint = mint
        self._controller = controller

    def user(self, asked: SeedUser, now: datetime) -> dict[str, Any]:
        """Add a user, and return what was made: keys in clear, this once.

        Raises:
            AlreadyExists: the username is taken.
        """
        user = User(self._mint.uuid(), asked.username, asked.email, asked.is_active, now, now)
        self._store.add_user(user)
        return {
            "id": user.id,
            "username": user.username,
            "keys": [self._key(user, key, now) for key in asked.keys],
            "sandboxes": [self._sandbox(user, each, now) for each in asked.sandboxes],
        }

    def _key(self, user: User, asked: SeedKey, now: datetime) -> dict[str, Any]:
        secret = asked.secret if asked.secret is not None else self._mint.api_key()
        key = ApiKey(
            id=self._mint.uuid(),
            user_id=user.id,
            key_prefix=secret[:PREFIX_SHOWN],
            name=asked.name,
            is_active=asked.is_active,
            created_at=now,
            expires_at=asked.expires_at,
            last_used_at=None,
        )
        self._store.add_key(key, digest(secret))
        return {"id": key.id, "name": key.name, "api_key": secret}

    def _sandbox(self, user: User, asked: SeedSandbox, now: datetime) -> dict[str, Any]:
        is_paused = asked.state is Phase.PAUSED
        age = self._age(Phase.READY if is_paused else asked.state, asked.fate)
        seen = now - self._controller.age(Phase.PAUSED) if is_paused else now
        made_at = seen - age
        intent = Intent(asked.fate, is_paused=False, since=made_at)
        made = Sandbox(self._mint.uuid(), user.id, asked.name, asked.image, made_at, intent)
        self._store.add_sandbox(self._controller.paused(made, seen) if is_paused else made)
        return {"id": made.id, "name": made.name}

    def _age(self, state: Phase, fate: Fate) -> timedelta:
        age = self._controller.age(state)
        if fate is Fate.RUNNING or state is Phase.UNRECONCILED:
            return age
        return max(age, self._controller.age(Phase.FAILED))
