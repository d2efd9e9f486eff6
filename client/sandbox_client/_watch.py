"""Watching a command from outside: how often to look, and telling what has been seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._excerpt import MAX_TAIL, last_line
from ._shell_wire import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._waiting import Report, Timing

FIRST_LOOK = 0.02  # seconds
LONGEST_PAUSE = 1.0
KNOWN_AGAIN = 200  # characters by which an output is known to go on where it was
OUT_OF_SIGHT = "the command is out of sight"
GAP = "\n[… the sandbox's runtime has left out some of the output …]\n"
INSTANT = 0.001  # what is left of a wait, and too short for a clock's fractions


def _ignore(_: str) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Audience:
    """Who is told of a command as it goes on: its session first, then its output as it comes."""

    report: Report
    opened: Callable[[str], None] = _ignore
    hear: Callable[[str], None] = _ignore


class Watch:
    """What is known of a command, since when, and for how long it is waited for."""

    def __init__(
        self, timing: Timing, limit: float | None, audience: Audience, *, heard: int = 0
    ) -> None:
        self.seen = Snapshot("empty")
        self.unseen = ""  # why it cannot be looked at
        self._timing = timing
        self._start = timing.clock()
        self._limit = limit
        self._audience = audience
        self._heard = heard
        self._last = ""  # of what was heard

    @property
    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return self._timing.clock() - self._start

    @property
    def left(self) -> float:
        """Return the seconds until the limit."""
        return float("inf") if self._limit is None else self._limit - self.elapsed

    def see(self, seen: Snapshot) -> None:
        """Take what a look has shown, and let the audience hear what is new of it."""
        if seen.state == "empty" and self.seen.state != "empty":
            # The session has gone on, and keeps this one no more.
            seen = replace(self.seen, state="completed", exit_code=None)
        self.seen = seen
        is_longer = len(seen.output) > self._heard
        if not is_longer and seen.state == "running":
            return
        if seen.output[: self._heard].endswith(self._last):
            self._tell(seen.output[self._heard :])
        elif is_longer or seen.output[-len(self._last) :] != self._last:
            self._tell(f"{GAP}{seen.output[-MAX_TAIL:]}")
        self._heard = max(self._heard, len(seen.output))

    def _tell(self, text: str) -> None:
        if text:
            self._audience.hear(text)
            self._last = text[-KNOWN_AGAIN:]

    async def tell(self) -> None:
        """Report the last line of the output."""
        begun = "starting the command" if self.seen.state == "empty" else "the command is running"
        reason = last_line(self.seen.output) or begun
        if self.unseen:
            reason = f"{OUT_OF_SIGHT}: {self.unseen}; still trying"
        await self._audience.report(self.elapsed, self._limit, reason)


def pauses() -> Iterator[float]:
    """Yield the seconds between looks: from 0.02 up to 1."""
    pause = FIRST_LOOK
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)
