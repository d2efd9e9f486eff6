"""The rows of a list of sandboxes: the state and the age of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from .api import accounts
from .api.sandboxes import State
from .errors import SandboxError
from .text import pluralize

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from .api.sandboxes import Sandbox

LONG_AGE = timedelta(days=1)
MAX_AGE = timedelta(days=3650)
CLOCK_TOLERANCE = timedelta(hours=1)  # by which the clocks of machines may differ
MAX_STATUS_REQUESTS = 20  # twice the quota; for a longer list, those that look ready come first
_NOT_READ = f"of a list, only {MAX_STATUS_REQUESTS} statuses are read"
_RUNNING = {State.PENDING, State.STARTING, State.READY}


@dataclass(frozen=True)
class Row:
    """A sandbox of a list with its state; `age` is None if its creation time is unknown.

    If the state is unknown, `reason` says why.
    """

    sandbox: Sandbox
    state: State
    age: timedelta | None
    reason: str = ""

    @property
    def is_up_for_long(self) -> bool:
        """Whether the sandbox was created more than a day ago and runs, or is about to."""
        return self.age is not None and self.age > LONG_AGE and self.state in _RUNNING


async def read_rows(
    listed: Sequence[Sandbox],
    now: datetime | None,
    read_status: Callable[[str], Awaitable[Sandbox]],
) -> list[Row]:
    """Return the rows of a list at the time `now`, which is None if it is not known.

    The list of the proxy does not distinguish a paused sandbox from a ready or a starting one, so
    the status of each sandbox is read; without it, the state is unknown.
    """
    rows = [_unread_row(each, now, _NOT_READ) for each in listed]

    async def look(index: int) -> None:
        try:
            status = await read_status(listed[index].name)
        except SandboxError as error:
            # It may have been deleted since, or have a name that the client does not accept.
            rows[index] = _unread_row(listed[index], now, error.message)
        else:
            reason = status.explanation if status.state is State.UNKNOWN else ""
            rows[index] = Row(status, status.state, age_of(status, now), reason)

    ready_first = sorted(range(len(listed)), key=lambda index: not listed[index].ready)
    async with anyio.create_task_group() as tasks:
        for index in ready_first[:MAX_STATUS_REQUESTS]:
            tasks.start_soon(look, index)
    return rows


def age_of(sandbox: Sandbox, now: datetime | None) -> timedelta | None:
    """Return the age of a sandbox; one that none can have is unknown, since a clock is wrong."""
    return time_since(sandbox.created_at, now)


def time_since(timestamp: str, now: datetime | None) -> timedelta | None:
    """Return the time since a timestamp of the proxy or a sandbox; see `age_of`."""
    then = accounts.parse_time(timestamp)
    age = None if then is None or now is None else now - then
    return age if age is not None and -CLOCK_TOLERANCE <= age <= MAX_AGE else None


def format_age(age: timedelta | None) -> str:
    """Format an age in the largest unit that fits."""
    if age is None:
        return "unknown"
    minutes = max(0, int(age.total_seconds())) // 60
    if minutes < 1:
        return "< 1 min"
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 24 else pluralize(hours // 24, "day")


def agreed_time(machine: datetime, server: datetime | None) -> datetime | None:
    """Return the time of this machine, or None if the server's shows that it is wrong."""
    is_wrong = server is not None and abs(machine - server) > CLOCK_TOLERANCE
    return None if is_wrong else machine


def _unread_row(sandbox: Sandbox, now: datetime | None, reason: str) -> Row:
    """Return the row of a sandbox without a status; that it cannot be read is the better reason."""
    is_unreadable = sandbox.state is State.UNKNOWN
    why = sandbox.explanation if is_unreadable else reason
    return Row(sandbox, State.UNKNOWN, age_of(sandbox, now), why)
