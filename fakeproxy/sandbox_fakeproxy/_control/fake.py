"""What a tester may do to a fake proxy, in process; `routes` offers the same below `/_fake/`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox_fakeproxy._clock import Clock
from sandbox_fakeproxy._errors import AlreadyExists
from sandbox_fakeproxy._mint import Mint
from sandbox_fakeproxy._proxy.journal import CAPACITY, Journal
from sandbox_fakeproxy._runtime.interface import Runtime
from sandbox_fakeproxy._state.controller import Controller
from sandbox_fakeproxy._state.fates import find_fate
from sandbox_fakeproxy._state.records import Sandbox, User
from sandbox_fakeproxy._state.store import Store

from .planting import Planting
from .seed import SeedUser, read_seed, read_user
from .state import sandbox_state, state_of

ADMIN = "admin"  # a user of that name exists from the start


@dataclass(frozen=True, slots=True)
class World:
    """What a fake proxy is made of."""

    store: Store
    clock: Clock
    mint: Mint
    controller: Controller
    runtime: Runtime
    journal: Journal
    profile: str
    admin_email: str | None = None


class Fake:
    """The fake proxy of an app, as `app.state.fake`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self._mint = world.mint
        self._planting = Planting(world.store, world.mint, world.controller)
        self._mint.begin(self._store.rows_made())
        if self._store.is_new():
            self._add_admin()

    def advance(self, seconds: float) -> datetime:
        """Move time on by `seconds`; return what the clock shows then.

        Raises:
            ValueError: time would run backwards, or past the year 9000.
        """
        self._world.clock.advance(seconds)
        self._store.note_advance(seconds)
        return self._world.clock.now()

    def journal(self, limit: int = CAPACITY) -> list[dict[str, Any]]:
        """Return the last requests, newest first: at most 1,000 are kept."""
        return self._world.journal.shown(limit)

    def state(self) -> dict[str, Any]:
        """Return users, keys and sandboxes as they are now; no key's secret is among it."""
        now = self._world.clock.now()
        return state_of(self._store, self._world.controller, self._world.profile, now)

    def add_user(self, username: str, *, email: str | None = None) -> str:
        """Add a user, and return an API key of that user's.

        Raises:
            ValueError: the name is taken, or no username.
        """
        asked: dict[str, Any] = {"username": username, "email": email, "keys": [{}]}
        try:
            made = self._planting.user(read_user(asked, "user"), self._world.clock.now())
        except AlreadyExists as exc:
            raise ValueError(str(exc)) from exc
        key: str = made["keys"][0]["api_key"]
        return key

    async def set_fate(self, username: str, name: str, fate: str) -> dict[str, Any]:
        """Have something become of a sandbox, and return its state; `running` mends it.

        What runs in it is killed now; the status shows it when the reconcile delay has passed.

        Raises:
            LookupError: there is no such user or sandbox.
            ValueError: there is no such fate.
        """
        chosen = find_fate(fate)
        before = self._sandbox(username, name)
        now = self._world.clock.now()
        after = self._world.controller.fated(before, chosen, now)
        self._store.update_sandbox(after)
        if after != before:
            await self._world.runtime.stop(after.id)
        return sandbox_state(after, self._world.controller, now)

    async def reset(self) -> None:
        """Forget users, keys, sandboxes with what runs in them and their files, and the journal.

        The user `admin` is there again, and time stays. A key that was forgotten opens nothing.
        """
        await self.replace([])

    async def seed(self, document: object) -> dict[str, Any]:
        """Replace all there is by what a document describes; return it with its new keys.

        Raises:
            SeedUnusable: (a `ValueError`) the document is at fault; nothing has changed.
        """
        return await self.replace(read_seed(document))

    async def replace(self, users: list[SeedUser]) -> dict[str, Any]:
        """Replace all there is by what was read from a document; return it with its new keys."""
        forgotten = self._store.sandbox_ids()
        made = self.plant(users)
        for sandbox_id in forgotten:
            await self._world.runtime.remove(sandbox_id)
        return made

    def plant(self, users: list[SeedUser]) -> dict[str, Any]:
        """Make what a document describes the only users, or change nothing.

        What was forgotten stays so: no id and no key of it is made again.
        """
        given = {key.secret for user in users for key in user.keys if key.secret is not None}
        self._mint.begin(self._store.rows_made(), given=given)
        with self._store.all_or_nothing():
            self._store.forget_all()
            if all(user.username != ADMIN for user in users):
                self._add_admin()
            now = self._world.clock.now()
            made = {"users": [self._planting.user(user, now) for user in users]}
        self._world.journal.clear()
        return made

    def _add_admin(self) -> None:
        now = self._world.clock.now()
        self._store.add_user(
            User(self._mint.uuid(), ADMIN, self._world.admin_email, True, now, now)
        )

    def _sandbox(self, username: str, name: str) -> Sandbox:
        user = self._store.user_named(username)
        if user is None:
            raise LookupError(f"There is no user '{username}'")
        sandbox = self._store.sandbox(user.id, name)
        if sandbox is None:
            raise LookupError(f"User '{username}' has no sandbox '{name}'")
        return sandbox
