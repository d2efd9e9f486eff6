"""The target of a run: its address or ASGI app, its keys and its clock."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sandbox_contract.http.client import Caller, HttpClient
from sandbox_contract.http.exchange import Redactor
from sandbox_contract.http.interleaving import ASGIApp


class Need(Enum):
    """A condition for judging a clause; the value tells how to meet it."""

    USER = "a user's key: set API_KEY, or ADMIN_API_KEY to let the run create users"
    SECOND_USER = "a second user's key: set SECOND_API_KEY beside API_KEY, or ADMIN_API_KEY"
    ADMIN = "the admin key: set ADMIN_API_KEY"
    WAITING = "a sandbox that becomes ready, within --ready-timeout"
    RUNTIME = "a sandbox that runs commands"
    PIPES = "a runtime with the pipe API, /v1/bash: newer images have it"
    EXACT_CLOCK = "a clock that stands still until it is moved: only a fake in tests has one"
    LONG_WAIT = "five minutes for one command: pass --long"
    PROBE = "sandboxes whose runtime serves the suite's probe: only a fake in tests has them"
    FAILURE_IMAGES = (
        "images whose sandboxes fail or expire: pass --failure-image, such as failed=IMAGE"
    )
    OUTAGE = "a way to take the database down: only a target in process has one"
    STORAGE = "access to the data that the proxy stores: only a target in process gives it"


# A clause with one of these may create something on the target.
OF_USERS = frozenset({Need.USER, Need.SECOND_USER, Need.ADMIN, Need.WAITING, Need.RUNTIME})


class Unsupported(Exception):
    """A clause cannot be judged in this run: it lacks `needs`, or has the limit in `reason`."""

    def __init__(self, *needs: Need, reason: str = "") -> None:
        parts = [need.value for need in needs]
        super().__init__("; ".join([*parts, reason] if reason else parts))
        self.needs = needs
        self.reason = reason


class CannotRun(Exception):
    """The suite cannot judge this target; the message gives the reason and advice."""


class Time(Protocol):
    """The clock of a target."""

    @property
    def budget(self) -> float:
        """The seconds of the target's time to wait for a change at most."""
        ...

    @property
    def ready_after(self) -> float | None:
        """The exact seconds until a new sandbox is ready, or None if unknown."""
        ...

    @property
    def reconcile_delay(self) -> float | None:
        """The exact seconds until a status shows a change, or None if unknown."""
        ...

    async def advance(self, seconds: float) -> None:
        """Wait until the target's clock has advanced by `seconds`, or move it."""
        ...


@dataclass(frozen=True, slots=True)
class RealTime:
    """Real time, with at most `budget` seconds of waiting for a change."""

    budget: float = 180.0
    ready_after: None = None
    reconcile_delay: None = None

    async def advance(self, seconds: float) -> None:
        """Sleep: the caller polls again afterwards."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class ManualTime:
    """A clock that the suite advances, by `move(seconds)`, which may be async.

    A status shows a change `reconcile_delay` seconds after the request, and a sandbox is ready
    `ready_after` seconds after it was created. Where these are None, the clock also advances by
    itself, and the suite judges no exact times.
    """

    move: Callable[[float], object]
    ready_after: float | None = None
    reconcile_delay: float | None = None
    budget: float = 3600.0

    async def advance(self, seconds: float) -> None:
        """Advance the clock."""
        result = self.move(seconds)
        if inspect.isawaitable(result):
            await result


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A proxy to judge.

    With an `admin_key`, the run creates its own users. Without one, it acts as the users of the
    other keys and touches only what has the run's prefix. `app` is an ASGI app that is called in
    process, without a socket. `failure_images` maps a failure mode (`failed`, `expired` or
    `controller-error`) to an image whose sandboxes end in it. `serves_probe` means that requests to
    unknown paths of a runtime reach `sandbox_contract.probe`. `may_take_minutes` permits clauses
    with a command of five minutes. `outage` is a context manager that takes the database down, and
    `stored` returns all data that the proxy stores.
    """

    base_url: str
    app: ASGIApp | None = None
    admin_key: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    second_api_key: str | None = field(default=None, repr=False)
    time: Time = field(default_factory=RealTime)
    failure_images: Mapping[str, str] = field(default_factory=dict[str, str])
    serves_probe: bool = False
    may_take_minutes: bool = False
    outage: Callable[[], AbstractContextManager[object]] | None = None
    stored: Callable[[], bytes] | None = None

    def has(self, need: Need) -> bool:
        """Return whether this target meets a need."""
        is_exact = self.time.ready_after is not None
        return {
            Need.USER: bool(self.admin_key or self.api_key),
            Need.SECOND_USER: bool(self.admin_key or (self.api_key and self.second_api_key)),
            Need.ADMIN: bool(self.admin_key),
            Need.EXACT_CLOCK: is_exact,
            Need.LONG_WAIT: is_exact or self.may_take_minutes,
            Need.PROBE: self.serves_probe,
            Need.FAILURE_IMAGES: bool(self.failure_images),
            Need.OUTAGE: self.outage is not None,
            Need.STORAGE: self.stored is not None,
        }.get(need, self.time.budget > 0)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys, which no output may show."""
        keys = (self.admin_key, self.api_key, self.second_api_key)
        return tuple(key for key in keys if key)


@dataclass(frozen=True, slots=True)
class FakeClock:
    """The clock of a served fake, which a request with the admin key advances."""

    base_url: str
    admin_key: str = field(repr=False)

    async def advance(self, seconds: float) -> None:
        """Advance the clock.

        Raises:
            Violation: the target refuses, so it is not a fake.
        """
        client = HttpClient(self.base_url, None, Redactor([self.admin_key]))
        try:
            admin = Caller.with_key(client, self.admin_key)
            response = await admin("POST", "/_fake/clock/advance", {"seconds": seconds})
            response.expect(200)
        finally:
            await client.close()
