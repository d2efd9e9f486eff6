"""Controls of a fake proxy in process; `control.api` has the same ones below `/_fake/`."""

import asyncio
from datetime import datetime
from typing import Any

from sandbox_fakeproxy.api.request_log import CAPACITY, RequestFilter, RequestLog
from sandbox_fakeproxy.errors import APIError
from sandbox_fakeproxy.model import parse_failure_mode
from sandbox_fakeproxy.service import Service

from .faults import Faults
from .seed import ADMIN, Seed, Seeder, read_seed, read_user
from .state import describe_closest, describe_sandbox, describe_state, explain_count


class Fake:
    """Controls of the fake proxy of an app, as `app.state.fake`; `faults` are the armed faults."""

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
        self.faults = Faults(lambda name: name == ADMIN or service.store.has_username(name))
        self._clock = service.clock
        self._store = service.store
        self._ids = service.ids
        self._log = request_log
        self._seeder = Seeder(service)
        self._ids.restart(self._store.rows_created())
        if self._store.is_new():
            self._add_admin()

    def advance(self, seconds: float) -> datetime:
        """Advance the clock by `seconds`; return its new time.

        Raises:
            ValueError: `seconds` is negative, or the time would pass the year 9000.
        """
        self._clock.advance(seconds)
        self._store.note_advance(seconds)
        return self._clock.now()

    def requests(self, *, limit: int = CAPACITY, **filters: Any) -> list[dict[str, Any]]:
        """Return the last matching requests, newest first; the log keeps at most 1,000.

        `filters` are fields of a `RequestFilter`: method, route, user, status, since and json.

        Raises:
            ValueError: `json` is given, but the log keeps no bodies.
        """
        return self._log.find(limit, self._filter(filters))

    def assert_requested(
        self, method: str, route: str, *, times: int | None = None, **filters: Any
    ) -> None:
        """Fail unless there were `times` matching requests, or without `times` at least one.

        Example: `fake.assert_requested("POST", "/api/sandboxes", times=1, user="alice")`.

        Raises:
            AssertionError: there was another number; the message shows the closest requests.
            ValueError: `json` is given, but the log keeps no bodies.
        """
        request_filter = self._filter({"method": method, "route": route, **filters})
        found = len(self._log.find(CAPACITY, request_filter))
        if found != times if times is not None else not found:
            raise AssertionError(explain_count(self._log, request_filter, times, found))

    async def wait_for_request(
        self, method: str, route: str, *, within: float = 10.0, **filters: Any
    ) -> dict[str, Any]:
        """Wait until a matching request is complete, and return the newest such request.

        `within` is in seconds of real time.

        Raises:
            TimeoutError: there was none in time; the message shows the closest requests.
            ValueError: `json` is given, but the log keeps no bodies.
        """
        request_filter = self._filter({"method": method, "route": route, **filters})
        try:
            return await asyncio.wait_for(self._log.wait_for(request_filter), within)
        except TimeoutError:
            raise TimeoutError(
                f"no request {method} {route} was over within {within:g} s."
                f" {describe_closest(self._log, request_filter)}"
            ) from None

    def _filter(self, filters: dict[str, Any]) -> RequestFilter:
        request_filter = RequestFilter(**filters)
        if request_filter.needs_bodies and not self._log.keeps_bodies:
            raise ValueError(
                "Requests cannot be filtered by json: the log keeps no bodies. Create the fake with"
                " log_bodies=True, or start it with --log-bodies."
            )
        return request_filter

    def state(self) -> dict[str, Any]:
        """Return the current users, keys and sandboxes, without the keys' secrets."""
        now = self._clock.now()
        return describe_state(self._store, self._service.controller, self._profile, now)

    def add_user(self, username: str, *, email: str | None = None) -> str:
        """Add a user, and return an API key of that user.

        Raises:
            ValueError: the name is taken or is not a valid username.
        """
        fields: dict[str, Any] = {"username": username, "email": email, "keys": [{}]}
        try:
            created = self._seeder.create_user(read_user(fields, "user"))
        except APIError as exc:
            raise ValueError(str(exc)) from exc
        key: str = created["keys"][0]["api_key"]
        return key

    async def set_failure_mode(self, username: str, name: str, failure_mode: str) -> dict[str, Any]:
        """Set the failure mode of a sandbox, and return its state; `running` repairs it.

        A change kills its processes at once; the status shows it after the reconcile delay.

        Raises:
            LookupError: there is no such user or sandbox.
            ValueError: there is no such failure mode.
        """
        parsed = parse_failure_mode(failure_mode)
        sandbox = self._service.sandbox_of(username, name)
        now = self._clock.now()  # killing processes takes time
        changed = await self._service.set_failure_mode(sandbox, parsed)
        return describe_sandbox(changed, self._service.controller, now)

    async def reset(self) -> None:
        """Delete all users, keys, sandboxes with their processes and files, faults and requests.

        The user `admin` is created again, and the time stays. Earlier keys are no longer valid.
        """
        await self.replace(Seed())

    async def seed(self, document: object) -> dict[str, Any]:
        """Replace all state by that of a document; return the created users with their keys.

        Raises:
            InvalidDocument: (a `ValueError`) the document is invalid; nothing has changed.
        """
        return await self.replace(read_seed(document, has_port=self.faults.has_port))

    async def replace(self, seed: Seed) -> dict[str, Any]:
        """Replace all state by that of a seed; return the created users with their keys."""
        deleted_ids = self._store.ids_with_files()
        created = self.apply_seed(seed)
        for sandbox_id in deleted_ids:
            await self._service.runtime.remove(sandbox_id)
        return created

    def apply_seed(self, seed: Seed) -> dict[str, Any]:
        """Replace the stored state by that of a seed, or change nothing if that raises.

        Ids and keys of the earlier state are never generated again.
        """
        seeded_keys = {
            key.secret for user in seed.users for key in user.keys if key.secret is not None
        }
        self._ids.restart(self._store.rows_created(), reserved_keys=seeded_keys)
        with self._store.transaction():
            self._store.clear()
            if all(user.username != ADMIN for user in seed.users):
                self._add_admin()
            created = {"users": [self._seeder.create_user(user) for user in seed.users]}
        self._log.clear()
        self.faults.arm(seed.faults)
        return created

    def _add_admin(self) -> None:
        self._service.create_user(ADMIN, self._admin_email)
