"""Wait: the clock, the delays between attempts, and progress reports meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

T = TypeVar("T")

FIRST_DELAY = 0.25  # seconds
LONGEST_DELAY = 2.0
JITTER = 0.2  # of a delay
DEFAULT_WAIT = 45.0  # seconds for a command, unless the caller says otherwise
LONGEST_POLL = 25.0  # seconds: load balancers end requests that take much longer
POLLS_AT_ONCE = 64  # of the 100 connections of httpx
REPORT_INTERVAL = 1.5  # seconds: a report comes at least every two, however busy the machine is

# Receive the progress of a wait: the seconds so far, the most seconds if there is a limit, and the
# reason.
ProgressCallback = Callable[[float, "float | None", str], Awaitable[None]]


@dataclass(frozen=True)
class Timing:
    """The clock of all waits, in seconds; `random` is from 0 to 1, and `now` in UTC."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


async def ignore_progress(_elapsed: float, _limit: float | None, _reason: str) -> None:
    """Ignore the progress of a wait."""


@contextlib.asynccontextmanager
async def periodic_progress(report: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Call `report` at least every two seconds until the body ends."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_repeat, report)
        try:
            yield
        except Exception as error:  # noqa: BLE001  # raised below: a task group would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _repeat(report: Callable[[], Awaitable[None]]) -> None:
    while True:
        # Real time, even if the waits use another clock: a response takes real time, too.
        await anyio.sleep(REPORT_INTERVAL)
        await report()


async def finish(
    work: Callable[[], Awaitable[T]], grace: float, on_cut_off: Callable[[], None] = lambda: None
) -> T:
    """Return the result of `work`, which may go on for `grace` seconds after a cancellation.

    `on_cut_off` is called if it did not end in that time, which is real time.
    """
    result: list[T] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope(shield=True) as scope:
            tasks.start_soon(_limit, scope, grace)
            try:
                result.append(await work())
            except Exception as error:  # noqa: BLE001  # raised below: a task group would wrap it
                failure = error
        if scope.cancelled_caught:
            on_cut_off()
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not result:
        await anyio.sleep_forever()  # the cancellation comes here
    return result[0]


async def _limit(scope: anyio.CancelScope, grace: float) -> None:
    """Wait for a cancellation; then give `scope` a deadline."""
    try:
        await anyio.sleep_forever()
    finally:
        scope.deadline = anyio.current_time() + grace


def backoff(
    first: float = FIRST_DELAY,
    longest: float = LONGEST_DELAY,
    random: Callable[[], float] = lambda: 0.0,
) -> Iterator[float]:
    """Yield the seconds between attempts: twice as many each time, less up to a fifth of jitter.

    The only backoff of the client: for retries of requests, waits for a state, and looks at a
    command.
    """
    for attempt in itertools.count():
        yield min(first * 2.0 ** min(attempt, 32), longest) * (1 - JITTER * random())


class LongPolls:
    """Limit the number of simultaneous long polls, so that other requests get a connection.

    The more tasks wait for a turn, the shorter each long poll is.
    """

    def __init__(self, at_once: int = POLLS_AT_ONCE) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[float]:
        """Wait for a turn; yield the maximum duration of the poll in seconds."""
        async with self._limiter:
            others = self._limiter.statistics().tasks_waiting
            yield LONGEST_POLL / (1 + others / self._limiter.total_tokens)
