"""Following a command: for how long, how often, and passing new output on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_client.text import last_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_client.output import OutputChunk
    from sandbox_client.polling import ProgressCallback, Timing

    OnOutput = Callable[[OutputChunk], None]
    OnSession = Callable[[str], None]

FIRST_LOOK = 0.02  # seconds
LONGEST_PAUSE = 1.0
_RECENT = 40_000  # characters, with the last line that is reported
LAST_LINE = "last line"  # so that none passes for words of ours
OUT_OF_SIGHT = "the command is out of sight"
INSTANT = 0.001  # seconds: a shorter rest of a wait is none, as clocks have fractions


def _ignore(_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class OutputListener:
    """Receive the progress of a command, its session, and its output as it comes."""

    report: ProgressCallback
    opened: OnSession = _ignore
    on_output: OnOutput = _ignore

    @classmethod
    def of(
        cls,
        on_progress: ProgressCallback,
        on_session: OnSession | None,
        on_output: OnOutput | None,
    ) -> OutputListener:
        """Return a listener that calls these functions, if any."""
        return cls(on_progress, on_session or _ignore, on_output or _ignore)


class OutputFollower:
    """The wait for a command: its limit, and the reports meanwhile."""

    def __init__(
        self, timing: Timing, limit: float | None, listener: OutputListener, *, secret: str = ""
    ) -> None:
        self.timing = timing
        self.secret = secret  # which output does not show
        self.unseen = ""  # why the command cannot be looked at
        self.doing = "looking for the command"  # as long as nothing is known of it
        self.is_running = False
        self.is_heard = False  # whether there was any output
        self._start = timing.clock()
        self._limit = limit
        self._listener = listener
        self._recent = ""

    @property
    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return self.timing.clock() - self._start

    @property
    def left(self) -> float:
        """Return the seconds until the limit."""
        return float("inf") if self._limit is None else self._limit - self.elapsed

    def wait_for(self, seconds: float) -> None:
        """Set the limit to so many seconds from now on."""
        self._limit = self.elapsed + seconds

    def opened(self, session: str) -> None:
        """Tell the listener the session."""
        self._listener.opened(session)

    def on_output(self, chunk: OutputChunk) -> None:
        """Pass new output on to the listener."""
        self.is_heard = True
        self._recent = (self._recent + chunk.text[-_RECENT:])[-_RECENT:]
        self._listener.on_output(chunk)

    async def tell(self) -> None:
        """Report the last line of the output."""
        begun = "the command is running" if self.is_running else self.doing
        said = last_line(self._recent)
        reason = f"{LAST_LINE}: {said}" if said else begun
        if self.unseen:
            reason = f"{OUT_OF_SIGHT}: {self.unseen}; still trying"
        await self._listener.report(self.elapsed, self._limit, reason)
