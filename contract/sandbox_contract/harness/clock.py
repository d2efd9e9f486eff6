"""The time of a target, and waits for changes there."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from sandbox_contract.http.expect import Json, NotInTime, Violation
from sandbox_contract.target import Time

from .actors import Actors, SandboxHandle
from .api import TIME_FORM
from .readiness import Phase, describe, phase_of

A_WHILE = 0.2  # seconds, in which a change would show
_FIRST_STEP = 0.1  # seconds
_GROWTH = 1.5
_STEPS = 90  # of the longest kind in a budget

_T = TypeVar("_T")
OnWait = Callable[[str, float, float], None]


class Clock:
    """The time of one target.

    `on_wait` is called at each step of a wait with its subject, the seconds so far, and the most
    seconds that it may take.
    """

    def __init__(self, time: Time, actors: Actors, on_wait: OnWait | None = None) -> None:
        self._time = time
        self._actors = actors
        self._on_wait = on_wait

    async def now(self) -> datetime:
        """Return the time that the target shows."""
        health = await self._actors.anonymous("GET", "/health")
        return parse_time(health.expect_fields()["timestamp"])

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        await self._time.advance(seconds)

    async def until(
        self,
        what: str,
        look: Callable[[], Awaitable[_T | None]],
        *,
        last: Callable[[], str],
        at_least: float = 0.0,
    ) -> _T:
        """Let time pass until `look` returns something, and return that.

        Raises:
            NotInTime: it does not within the target's budget, or within the seconds of `at_least`
                if these are more; `last` describes the last state.
        """
        budget = max(self._time.budget, at_least)
        waited, step = 0.0, _FIRST_STEP
        while (found := await look()) is None:
            if waited >= budget:
                raise NotInTime(f"{what} within {budget:g} s", last())
            if self._on_wait is not None:
                self._on_wait(what, waited, budget)
            await self._time.advance(step)
            waited += step
            step = min(step * _GROWTH, budget / _STEPS, budget - waited + _FIRST_STEP)
            step = round(step, 3)  # a clock that is moved stays on a tick that can be asked for
        return found

    async def until_phase(
        self, box: SandboxHandle, phase: Phase, seen: list[Json] | None = None
    ) -> list[Json]:
        """Let time pass until a sandbox is in a phase; return every status on the way, in `seen`.

        Raises:
            Violation: it does not get there.
        """
        statuses: list[Json] = [] if seen is None else seen

        async def look() -> bool | None:
            status = await box.status()
            if not statuses or statuses[-1] != status:
                statuses.append(status)
            return True if phase_of(status) is phase else None

        wanted = f"sandbox {box.name} to be {phase.name.lower()}"
        await self.until(wanted, look, last=lambda: describe(statuses[-1]))
        return statuses

    async def is_phase(self, box: SandboxHandle, phase: Phase) -> bool:
        """Return whether a sandbox is in a phase."""
        return phase_of(await box.status()) is phase


def parse_time(text: str) -> datetime:
    """Return the time that a text says.

    Raises:
        Violation: it says none, or not in that form.
    """
    try:
        if TIME_FORM.fullmatch(text) is not None:
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise Violation("a time with milliseconds and Z", text)


def format_time(moment: datetime) -> str:
    """Write a time, which is in UTC."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
