"""Clocks: the machine's time plus advances, or a time that only a test moves."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol, Self

# Far enough for any test, and near enough that adding a delay can never overflow a datetime.
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


# Boot time goes on while the machine is suspended; macOS lacks it, and its monotonic clock does so.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_400_YEARS = timedelta(days=146_097) // _MICROSECOND  # after which the calendar repeats itself


@dataclass(frozen=True, order=True, slots=True)
class Instant:
    """A time as microseconds since 1970, in any year; a datetime ends with the year 9999."""

    micros: int

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """Return the instant of an aware datetime."""
        return cls((moment - _EPOCH) // _MICROSECOND)

    def iso(self) -> str:
        """Write it as the API does; from the year 10000 on, with a sign and six digits."""
        cycles, rest = divmod(self.micros, _400_YEARS)
        within = _EPOCH + rest * _MICROSECOND
        year = within.year + 400 * cycles
        return (f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}") + iso(within)[4:]


class Clock(Protocol):
    """The source of time of the fake."""

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return once the clock shows `moment`, by itself or because it was moved there."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the time on, from any thread.

        Raises:
            ValueError: time would run backwards, or past the year 9000.
        """
        ...


def steady() -> float:
    """Return the machine's monotonic time in seconds, also while a test freezes time.

    freezegun replaces `time.monotonic` and `time.perf_counter`, but not `time.clock_gettime`.
    """
    return time.clock_gettime(_STEADY)


class SteadyEventLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers run while a test freezes time."""

    def time(self) -> float:
        """Return the loop's time in seconds."""
        return steady()


class SystemClock:
    """The machine's time plus every advance so far.

    The wall clock is read once, and monotonic time is added: later steps of the wall clock change
    nothing. The clock starts no earlier than `not_before`, such as the time of the last change
    before a restart, as the wall clock may have stepped back since. Waits take the time of their
    event loop.
    """

    def __init__(self, offset: float = 0.0, *, not_before: datetime | None = None) -> None:
        start = datetime.now(UTC) + timedelta(seconds=offset)
        self._start = start if not_before is None else max(start, not_before)
        self._steady_start = steady()
        self._moves = Waiters()

    def now(self) -> datetime:
        """Return the time of the start, plus the seconds since then, plus the advances."""
        return self._start + timedelta(seconds=steady() - self._steady_start)

    async def sleep_until(self, moment: datetime) -> None:
        """Wait for the machine's time, or for an advance that saves waiting."""
        while True:
            moved = self._moves.wait()  # before looking, as another thread may move the clock
            left = (moment - self.now()).total_seconds()
            if left <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(moved, left)

    def advance(self, seconds: float) -> None:
        """Move the time on by `seconds`."""
        self._start += _step(self.now(), seconds)
        self._moves.wake()


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._moves = Waiters()

    def now(self) -> datetime:
        """Return the time that the test has set."""
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until the test has moved the clock that far."""
        while True:
            moved = self._moves.wait()  # before looking, as another thread may move the clock
            if self._now >= moment:
                return
            await moved

    def advance(self, seconds: float) -> None:
        """Move the time on by `seconds`."""
        self._now += _step(self._now, seconds)
        self._moves.wake()


class Waiters:
    """Tasks that wait for the next change of something, each in the event loop of some thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[asyncio.Future[None]] = []

    def wait(self) -> asyncio.Future[None]:
        """Return a future that the next change fulfils."""
        moved = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting = [each for each in self._waiting if not each.done()]
            self._waiting.append(moved)
        return moved

    def wake(self) -> None:
        """Fulfil the futures of all tasks that wait now."""
        if not self._waiting:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for moved in waiting:
            with suppress(RuntimeError):  # its loop has ended, and the waiting tasks with it
                moved.get_loop().call_soon_threadsafe(_fulfil, moved)


def _fulfil(moved: asyncio.Future[None]) -> None:
    if not moved.done():
        moved.set_result(None)


def iso(moment: datetime) -> str:
    """Write a time as the API does: ISO 8601 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _step(now: datetime, seconds: float) -> timedelta:
    """Return `seconds` as a step that `now` can take."""
    if not 0 <= seconds <= (LATEST - now).total_seconds():  # false for NaN too
        raise ValueError(
            f"A clock at {iso(now)} cannot be advanced by {seconds} seconds:"
            f" expected 0 or more, and a time before {iso(LATEST)}."
        )
    return timedelta(seconds=seconds)
