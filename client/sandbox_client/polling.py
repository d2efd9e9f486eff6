"""Waiting for an answer: what time is, how often to look, and telling how it goes on."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

FIRST_INTERVAL = 0.25  # seconds
LONGEST_INTERVAL = 2.0
JITTER = 0.2  # of an interval
REPORT_INTERVAL = 1.5  # seconds: a report comes at least every two, however busy the machine is


@dataclass(frozen=True)
class Timing:
    """How time passes: `clock` and `sleep` in seconds, `random` from 0 to 1, `now` in UTC."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class ProgressCallback(Protocol):
    """Told of a wait as it goes on."""

    async def __call__(self, elapsed: float, limit: float | None, reason: str) -> None:
        """Take the seconds gone, the seconds at most where they are known, and the reason."""


@contextlib.asynccontextmanager
async def periodic_progress(tell: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Call `tell` at least every two seconds for as long as the body waits for an answer."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tick, tell)
        try:
            yield
        except Exception as error:  # noqa: BLE001  # raised below: a task group would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _tick(tell: Callable[[], Awaitable[None]]) -> None:
    while True:
        # Real time, whatever clock the waits are on: an answer takes that too.
        await anyio.sleep(REPORT_INTERVAL)
        await tell()


def intervals(random: Callable[[], float]) -> Iterator[float]:
    """Yield the seconds between polls: from 0.25 up to 2, each with up to a fifth of jitter."""
    interval = FIRST_INTERVAL
    while True:
        yield interval * (1 + JITTER * random())
        interval = min(LONGEST_INTERVAL / (1 + JITTER), interval * 1.5)
