"""Time: the machine's own, moved on by what testers ask for, or one that a test holds still."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

# Far enough for any test, and near enough that adding a delay can never overflow a datetime.
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the fake asks the time of."""

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        ...

    def advance(self, seconds: float) -> None:
        """Move the time on.

        Raises:
            ValueError: time would run backwards, or past the year 9000.
        """
        ...


class SystemClock:
    """The machine's time plus every advance so far."""

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = timedelta(seconds=offset)

    def now(self) -> datetime:
        """Return the machine's time plus the offset."""
        return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> None:
        """Move the time on by `seconds`."""
        self._offset += _step(self.now(), seconds)


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the time that the test has set."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time on by `seconds`."""
        self._now += _step(self._now, seconds)


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
