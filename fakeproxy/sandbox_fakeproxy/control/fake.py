"""The controls of a fake proxy in process; `routes` has the same ones below `/_fake/`."""

import asyncio
from datetime import datetime
from typing import Any

from sandbox_fakeproxy.api.request_log import CAPACITY, RequestFilter, RequestLog
from sandbox_fakeproxy.errors import APIError
from sandbox_fakeproxy.model import Sandbox, find_failure_mode
from sandbox_fakeproxy.service import Service

from .faults import Faults
from .seed import ADMIN, Seed, Seeder, read_seed, read_user
from .state import describe_closest, explain_count, sandbox_state, state_of


class Fake:
    """The fake proxy of an app, as `app.state.fake`. `faults` are those that are armed."""

    def __init__(
        self,
        service: Service,
        request_log: RequestLog,
        profile: str,
        admin_email: str | None = None,
    ) -> None:
        self._service = service
        self._profile = profile
        self._admin_email = admin_email
        self.faults = Faults(lambda: {ADMIN, *(user.username for user in service.users())})
        self._clock = service.clock
        self._store = service.store
        self._ids = service.ids
        self._log = request_log
        self._planting = Seeder(service)
        self._ids.begin(self._store.rows_made())
        if self._store.is_new():
            self._add_admin()

    def advance(self, seconds: float) -> datetime:
        """Advance the clock by `seconds`; return its new time.

        Raises:
            ValueError: time would run backwards, or past the year 9000.
        """
        self._clock.advance(seconds)
        self._store.note_advance(seconds)
        return self._clock.now()

    def requests(self, *, limit: int = CAPACITY, **chosen: Any) -> list[dict[str, Any]]:
        """Return the last requests, the newest first: at most 1,000 are kept.

        `chosen` are fields of a `RequestFilter`: method, route, user, status, since and json.

        Raises:
            ValueError: `json` is asked for, and the log keeps no bodies.
        """
        return self._log.find(limit, self._filter(chosen))

    def assert_requested(
        self, method: str, route: str, *, times: int | None = None, **chosen: Any
    ) -> None:
        """Fail unless a request was made `times` times, or without `times` at least once.

        Example: `fake.assert_requested("POST", "/api/sandboxes", times=1, user="alice")`.

        Raises:
            AssertionError: it was not; the message shows the requests that are closest.
            ValueError: `json` is asked for, and the log keeps no bodies.
        """
        wanted = self._filter({"method": method, "route": route, **chosen})
        found = len(self._log.find(CAPACITY, wanted))
        if found != times if times is not None else not found:
            raise AssertionError(explain_count(self._log, wanted, times, found))

    async def wait_for_request(
        self, method: str, route: str, *, within: float = 10.0, **chosen: Any
    ) -> dict[str, Any]:
        """Return the newest such request that is over, once there is one.

        `within` is in seconds of real time.

        Raises:
            TimeoutError: there was none in time; the message shows the requests that are closest.
            ValueError: `json` is asked for, and the log keeps no bodies.
        """
        wanted = self._filter({"method": method, "route": route, **chosen})
        try:
            return await asyncio.wait_for(self._log.wait_for(wanted), within)
        except TimeoutError:
            raise TimeoutError(
                f"no request {method} {route} was over within {within:g} s."
                f" {describe_closest(self._log, wanted)}"
            ) from None

    def _filter(self, chosen: dict[str, Any]) -> RequestFilter:
        wanted = RequestFilter(**chosen)
        if wanted.needs_bodies and not self._log.keeps_bodies:
            raise ValueError(
                "Requests cannot be chosen by json: the log keeps no bodies. Make the fake with"
                " log_bodies=True, or start it with --log-bodies."
            )
        return wanted

    def state(self) -> dict[str, Any]:
        """Return users, keys and sandboxes as they are now; no key's secret is among it."""
        now = self._clock.now()
        return state_of(self._store, self._service.controller, self._profile, now)

    def add_user(self, username: str, *, email: str | None = None) -> str:
        """Add a user, and return an API key of that user's.

        Raises:
            ValueError: the name is taken, or no username.
        """
        asked: dict[str, Any] = {"username": username, "email": email, "keys": [{}]}
        try:
            made = self._planting.user(read_user(asked, "user"))
        except APIError as exc:
            raise ValueError(str(exc)) from exc
        key: str = made["keys"][0]["api_key"]
        return key

    async def set_failure_mode(self, username: str, name: str, failure_mode: str) -> dict[str, Any]:
        """Set the failure mode of a sandbox, and return its state; `running` repairs it.

        Its processes are killed now; the status shows it after the reconcile delay.

        Raises:
            LookupError: there is no such user or sandbox.
            ValueError: there is no such failure mode.
        """
        chosen = find_failure_mode(failure_mode)
        sandbox = self._sandbox(username, name)
        changed = await self._service.set_failure_mode(sandbox, chosen)
        return sandbox_state(changed, self._service.controller, self._clock.now())

    async def reset(self) -> None:
        """Forget users, keys, sandboxes with their processes and files, faults and requests.

        The user `admin` is there again, and time stays. A key that was forgotten opens nothing.
        """
        await self.replace(Seed())

    async def seed(self, document: object) -> dict[str, Any]:
        """Replace the whole state by a document; return it with its new keys.

        Raises:
            InvalidDocument: (a `ValueError`) the document is at fault; nothing has changed.
        """
        return await self.replace(read_seed(document, has_port=self.faults.has_port))

    async def replace(self, seed: Seed) -> dict[str, Any]:
        """Replace the whole state by a seed; return it with its new keys."""
        forgotten = self._store.ids_with_files()
        made = self.plant(seed)
        for sandbox_id in forgotten:
            await self._service.runtime.remove(sandbox_id)
        return made

    def plant(self, seed: Seed) -> dict[str, Any]:
        """Replace all users by those of a seed, or change nothing.

        No id and no key of the earlier ones is made again.
        """
        given = {key.secret for user in seed.users for key in user.keys if key.secret is not None}
        self._ids.begin(self._store.rows_made(), given=given)
        with self._store.all_or_nothing():
            self._store.forget_all()
            if all(user.username != ADMIN for user in seed.users):
                self._add_admin()
            made = {"users": [self._planting.user(user) for user in seed.users]}
        self._log.clear()
        self.faults.arm(seed.faults)
        return made

    def _add_admin(self) -> None:
        self._service.create_user(ADMIN, self._admin_email)

    def _sandbox(self, username: str, name: str) -> Sandbox:
        user = self._store.user_named(username)
        if user is None:
            raise LookupError(f"There is no user '{username}'")
        sandbox = self._store.sandbox(user.id, name)
        if sandbox is None:
            raise LookupError(f"User '{username}' has no sandbox '{name}'")
        return sandbox
