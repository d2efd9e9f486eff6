"""Clocks: the machine's time plus advances, or a time that only a test advances."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol, Self

# Late enough for any test, and early enough that adding a delay never overflows a datetime.
LATEST = datetime(9000, 1, 1, tzinfo=UTC)

# CLOCK_BOOTTIME also counts the time for which the machine is suspended. macOS lacks it, but counts
# that time in CLOCK_MONOTONIC.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_400_YEARS = timedelta(days=146_097) // _MICROSECOND  # the period of the calendar


@dataclass(frozen=True, order=True, slots=True)
class Instant:
    """Microseconds since 1970 in any year, as a datetime cannot be later than the year 9999."""

    micros: int

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """Return the instant of an aware datetime."""
        return cls((moment - _EPOCH) // _MICROSECOND)

    def iso(self) -> str:
        """Format the time as the API does; from the year 10000 on, with a sign and six digits."""
        cycles, rest = divmod(self.micros, _400_YEARS)
        within = _EPOCH + rest * _MICROSECOND
        year = within.year + 400 * cycles
        return (f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}") + iso(within)[4:]


class Clock(Protocol):
    """The time source of the fake."""

    def now(self) -> datetime:
        """Return the current time as an aware datetime in UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return once the clock has reached `moment`, by itself or by an advance."""
        ...

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`; any thread may call it.

        Raises:
            ValueError: `seconds` is negative, or the time would pass the year 9000.
        """
        ...


def steady() -> float:
    """Return the machine's monotonic time in seconds, even while a test freezes time.

    freezegun replaces `time.monotonic` and `time.perf_counter`, but not `time.clock_gettime`.
    """
    return time.clock_gettime(_STEADY)


class SteadyEventLoop(asyncio.SelectorEventLoop):
    """An event loop with timers that run even while a test freezes time."""

    def time(self) -> float:
        """Return the loop's time in seconds."""
        return steady()


class SystemClock:
    """The machine's time plus every advance so far.

    The wall clock is read once, at the start, and monotonic time is added to it: later steps of the
    wall clock have no effect. The clock starts no earlier than `not_before`, e.g. the time of the
    last change before a restart, as the wall clock may have stepped back since. Waits use the
    timers of the running event loop.
    """

    def __init__(self, offset: float = 0.0, *, not_before: datetime | None = None) -> None:
        start = datetime.now(UTC) + timedelta(seconds=offset)
        self._start = start if not_before is None else max(start, not_before)
        self._steady_start = steady()
        self._waiters = Waiters()

    def now(self) -> datetime:
        """Return the start time, plus the seconds since then, plus all advances."""
        return self._start + timedelta(seconds=steady() - self._steady_start)

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until the machine's time, or an advance, has reached `moment`."""
        while True:
            advanced = self._waiters.wait()  # before now(), as another thread may advance the clock
            remaining = (moment - self.now()).total_seconds()
            if remaining <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(advanced, remaining)

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self._start += _checked_step(self.now(), seconds)
        self._waiters.wake()


class ManualClock:
    """A clock that changes only when a test advances it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._waiters = Waiters()

    def now(self) -> datetime:
        """Return the start time plus all advances."""
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until an advance has reached `moment`."""
        while True:
            advanced = self._waiters.wait()  # before the check, as another thread may advance it
            if self._now >= moment:
                return
            await advanced

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self._now += _checked_step(self._now, seconds)
        self._waiters.wake()


class Waiters:
    """Tasks that wait for the next change of an object, in the event loops of any threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[asyncio.Future[None]] = []

    def wait(self) -> asyncio.Future[None]:
        """Return a future that the next `wake` completes."""
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting = [waiter for waiter in self._waiting if not waiter.done()]
            self._waiting.append(future)
        return future

    def wake(self) -> None:
        """Complete the futures of all current waiters; any thread may call it."""
        if not self._waiting:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            with suppress(RuntimeError):  # its loop is closed, so the task has ended
                future.get_loop().call_soon_threadsafe(_complete, future)


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def iso(moment: datetime) -> str:
    """Format a time as the API does: ISO 8601 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _checked_step(now: datetime, seconds: float) -> timedelta:
    """Return `seconds` as a timedelta, unless `now` cannot be advanced by it."""
    if not 0 <= seconds <= (LATEST - now).total_seconds():  # false for NaN too
        raise ValueError(
            f"A clock at {iso(now)} cannot be advanced by {seconds} seconds:"
            f" expected 0 or more, and a time before {iso(LATEST)}."
        )
    return timedelta(seconds=seconds)
