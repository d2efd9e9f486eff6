"""Watching a command from outside: how often to look, and telling what has been seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._excerpt import last_line
from ._shell_wire import Kept, Snapshot
from ._shown import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._waiting import Report, Timing

FIRST_LOOK = 0.02  # seconds
LONGEST_PAUSE = 1.0
_END = 40_000  # characters, with the last line that is reported
KNOWN_AGAIN = 4_096  # characters by which an output is known to go on where it was
OUT_OF_SIGHT = "the command is out of sight"
INSTANT = 0.001  # what is left of a wait, and too short for a clock's fractions


def _ignore(_: str) -> None:
    """Do nothing."""


def _ignore_missed(_: int | None) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Audience:
    """The receivers of news of a command: its session first, then its output as it comes.

    `missed` receives the number of characters that are gone before the next output, or None if the
    runtime does not tell it.
    """

    report: Report
    opened: Callable[[str], None] = _ignore
    hear: Callable[[str], None] = _ignore
    missed: Callable[[int | None], None] = _ignore_missed


class Watch:
    """What is known of a command, since when, and for how long it is waited for."""

    def __init__(
        self,
        timing: Timing,
        limit: float | None,
        audience: Audience,
        *,
        secret: str = "",
        heard: int = 0,
    ) -> None:
        self.seen = Snapshot("empty")
        self.unseen = ""  # why it cannot be looked at
        self._timing = timing
        self._start = timing.clock()
        self._limit = limit
        self._audience = audience
        self._secret = secret
        self._heard = heard  # characters of the command's output
        self._last = ""  # characters of it
        self._moved = 0  # characters that the output has lost at an unknown place

    @property
    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return self._timing.clock() - self._start

    @property
    def left(self) -> float:
        """Return the seconds until the limit."""
        return float("inf") if self._limit is None else self._limit - self.elapsed

    def see(self, seen: Snapshot) -> None:
        """Keep the newest state, and let the audience hear the new output."""
        if seen.state == "empty" and self.seen.state != "empty":
            # The session has gone on, and keeps this one no more.
            seen = replace(self.seen, state="completed", exit_code=None)
        before, self.seen = self.seen.output, seen
        kept = Kept.of(seen.output)
        if not kept.gone and not seen.output[: self._heard - self._moved].endswith(self._last):
            self._find_again(before, seen.output)
        gone, text, reached = kept.read(self._heard - self._moved)
        while gone or text:
            self._heard += gone + len(text)
            if gone:
                self._audience.missed(gone)
            self._tell(text, continues=not gone)
            gone, text, reached = kept.read(reached)

    def _find_again(self, before: str, output: str) -> None:
        """Find the end of the known output in one that has lost characters before it."""
        found = output.rfind(self._last)
        if found >= 0:
            place = found + len(self._last)
        else:
            self._audience.missed(None)
            self._last = ""
            place = _common_length(before, output)
        self._moved = self._heard - place

    def _tell(self, text: str, *, continues: bool) -> None:
        if text:
            self._audience.hear(text)
            self._last = ((self._last if continues else "") + text)[-KNOWN_AGAIN:]

    async def tell(self) -> None:
        """Report the last line of the output."""
        begun = "starting the command" if self.seen.state == "empty" else "the command is running"
        reason = last_line(mask(self.seen.output[-_END:], self._secret)) or begun
        if self.unseen:
            reason = f"{OUT_OF_SIGHT}: {self.unseen}; still trying"
        await self._audience.report(self.elapsed, self._limit, reason)


def _common_length(one: str, other: str) -> int:
    """Return the number of characters with which both texts begin."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def pauses() -> Iterator[float]:
    """Yield the seconds between looks: from 0.02 up to 1."""
    pause = FIRST_LOOK
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)
