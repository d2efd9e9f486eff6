"""What is judged: a base URL or an ASGI app, the keys it may use, and how time passes there."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sandbox_contract.http.client import Caller, HttpClient
from sandbox_contract.http.interleaving import ASGIApp


class Need(Enum):
    """What a run must have for a clause to be judged, in words that say how to supply it."""

    USER = "a user's key: set API_KEY, or ADMIN_API_KEY to have users made"
    SECOND_USER = "a second user's key: set SECOND_API_KEY beside API_KEY, or ADMIN_API_KEY"
    ADMIN = "the admin key: set ADMIN_API_KEY"
    WAITING = "a sandbox that becomes ready, within --ready-timeout"
    RUNTIME = "a sandbox that runs commands"
    EXACT_CLOCK = "a clock that stands still until it is moved: only a fake in tests has one"
    LONG_WAIT = "five minutes for one command: pass --long"
    PROBE = "sandboxes whose runtime serves the suite's probe: only a fake in tests has them"
    FATES = "images whose sandboxes come to grief: pass --fate-image failed=IMAGE and its like"
    OUTAGE = "a way to take the database down: only a target in process has one"
    STORAGE = "a look at what the proxy stores: only a target in process has one"


class Unsupported(Exception):
    """A run lacks what a clause needs: some `needs` and, in more words, what `reason` says."""

    def __init__(self, *needs: Need, reason: str = "") -> None:
        lacking = [need.value for need in needs]
        super().__init__("; ".join([*lacking, reason] if reason else lacking))
        self.needs = needs
        self.reason = reason


class Time(Protocol):
    """How time passes at a target."""

    @property
    def budget(self) -> float:
        """Return for how many seconds of the target's time a change is waited for."""
        ...

    @property
    def ready_after(self) -> float | None:
        """Return after how many seconds a sandbox is ready to the tick, where that is known."""
        ...

    @property
    def reconcile_delay(self) -> float | None:
        """Return after how many seconds a change shows, where that is known."""
        ...

    async def advance(self, seconds: float) -> None:
        """Return when the target's clock has moved on by that much."""
        ...


@dataclass(frozen=True, slots=True)
class RealTime:
    """Real time: it passes by itself, and `budget` seconds of it are waited at most."""

    budget: float = 180.0
    ready_after: None = None
    reconcile_delay: None = None

    async def advance(self, seconds: float) -> None:
        """Wait; what is waited for is asked again after that."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class ManualTime:
    """A clock that stands still until `move`, awaited or not, moves it on by some seconds.

    A change shows `reconcile_delay` after it was asked for, and a sandbox is ready after
    `ready_after`; without these, the clock also moves by itself, and no instant is judged.
    """

    move: Callable[[float], object]
    ready_after: float | None = None
    reconcile_delay: float | None = None
    budget: float = 3600.0

    async def advance(self, seconds: float) -> None:
        """Move the clock."""
        moved = self.move(seconds)
        if inspect.isawaitable(moved):
            await moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A proxy to judge.

    With an `admin_key`, users are made for the run; else the keys' own users are used, and only
    what bears the run's prefix is touched. `app` is asked without a socket. `fate_images` are
    images by what becomes of their sandboxes: `failed`, `expired` or `controller-error`.
    `serves_probe` says that unknown paths of a runtime reach `sandbox_contract.probe`. `outage`
    takes the database down for its block, and `stored` returns all that the proxy keeps.
    """

    base_url: str
    app: ASGIApp | None = None
    admin_key: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    second_api_key: str | None = field(default=None, repr=False)
    time: Time = field(default_factory=RealTime)
    fate_images: Mapping[str, str] = field(default_factory=dict[str, str])
    serves_probe: bool = False
    may_take_minutes: bool = False
    outage: Callable[[], AbstractContextManager[object]] | None = None
    stored: Callable[[], bytes] | None = None

    def has(self, need: Need) -> bool:
        """Tell whether a run on this target has what a clause needs."""
        is_exact = self.time.ready_after is not None
        return {
            Need.USER: bool(self.admin_key or self.api_key),
            Need.SECOND_USER: bool(self.admin_key or (self.api_key and self.second_api_key)),
            Need.ADMIN: bool(self.admin_key),
            Need.EXACT_CLOCK: is_exact,
            Need.LONG_WAIT: is_exact or self.may_take_minutes,
            Need.PROBE: self.serves_probe,
            Need.FATES: bool(self.fate_images),
            Need.OUTAGE: self.outage is not None,
            Need.STORAGE: self.stored is not None,
        }.get(need, self.time.budget > 0)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return every key that must not be shown."""
        given = (self.admin_key, self.api_key, self.second_api_key)
        return tuple(key for key in given if key)


@dataclass(frozen=True, slots=True)
class FakeClock:
    """A clock that whoever has the admin key may move on."""

    base_url: str
    admin_key: str = field(repr=False)

    async def advance(self, seconds: float) -> None:
        """Move it on.

        Raises:
            Violation: the target is no fake, and refuses.
        """
        wire = HttpClient(self.base_url, None)
        try:
            admin = Caller.with_key(wire, self.admin_key)
            reply = await admin("POST", "/_fake/clock/advance", {"seconds": seconds})
            reply.expect(200)
        finally:
            await wire.close()
