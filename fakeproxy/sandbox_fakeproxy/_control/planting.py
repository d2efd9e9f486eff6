"""From a seed's users to records, as if they had been made in time to be what they are now."""

from datetime import timedelta
from typing import Any

from sandbox_fakeproxy._service import Service
from sandbox_fakeproxy._state.fates import Fate
from sandbox_fakeproxy._state.profiles import Phase
from sandbox_fakeproxy._state.records import Intent, Sandbox, User

from .seed import SeedKey, SeedSandbox, SeedUser


class Planting:
    """Make users with keys and sandboxes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._controller = service.controller

    def user(self, asked: SeedUser) -> dict[str, Any]:
        """Make a user, and return what was made: keys in clear, this once.

        Raises:
            Refusal: 409, the username is taken.
        """
        user = self._service.create_user(asked.username, asked.email, is_active=asked.is_active)
        return {
            "id": user.id,
            "username": user.username,
            "keys": [self._key(user, key) for key in asked.keys],
            "sandboxes": [self._sandbox(user, each) for each in asked.sandboxes],
        }

    def _key(self, user: User, asked: SeedKey) -> dict[str, Any]:
        secret, key = self._service.create_key(
            user, asked.name, asked.expires_at, secret=asked.secret, is_active=asked.is_active
        )
        return {"id": key.id, "name": key.name, "api_key": secret}

    def _sandbox(self, user: User, asked: SeedSandbox) -> dict[str, Any]:
        now = self._service.clock.now()
        is_paused = asked.state is Phase.PAUSED
        age = self._age(Phase.READY if is_paused else asked.state, asked.fate)
        seen = now - self._controller.age(Phase.PAUSED) if is_paused else now
        made_at = seen - age
        intent = Intent(asked.fate, is_paused=False, since=made_at)
        sandbox_id = self._service.mint.uuid()
        made = Sandbox(sandbox_id, user.id, asked.name, asked.image, made_at, intent)
        self._service.store.add_sandbox(self._controller.paused(made, seen) if is_paused else made)
        return {"id": made.id, "name": made.name}

    def _age(self, state: Phase, fate: Fate) -> timedelta:
        age = self._controller.age(state)
        if fate is Fate.RUNNING or state is Phase.UNRECONCILED:
            return age
        return max(age, self._controller.age(Phase.FAILED))
