"""The outcomes that a test's script gives to commands, played as a clock moves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sandbox_fakeproxy.clock import Clock

from .command import Command
from .pipe.commands import StreamName

_MIN_EXIT_CODE, _MAX_EXIT_CODE = -64, 255
_Print = tuple[datetime, StreamName, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command: it writes `output` and ends `seconds` later, or never (`math.inf`).

    `prints` is further output, each part with its time in seconds since the start; the command ends
    no earlier than its last part. `errors` and `error_prints` are the same for stderr, which a
    terminal shows between the rest. A signal ends the command if `exit_code` is negative.
    `on_input` is called with input, in which Enter is a newline as a program reads it; it may
    return an outcome that replaces the rest of this one from then on.

    Raises:
        ValueError: a field has a value that no command can have.
    """

    output: str = ""
    exit_code: int = 0
    seconds: float = 0.0
    prints: Sequence[tuple[float, str]] = ()
    on_input: "Callable[[str], Outcome | None] | None" = None
    errors: str = ""
    error_prints: Sequence[tuple[float, str]] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        if not _MIN_EXIT_CODE <= self.exit_code <= _MAX_EXIT_CODE:
            raise ValueError(
                f"Outcome 'exit_code' is {self.exit_code!r}. Expected 0 to 255, or the negative"
                " number of a signal."
            )
        if not self.seconds >= 0:
            raise ValueError(
                f"Outcome 'seconds' is {self.seconds!r}."
                " Expected 0 or more, or math.inf for a command that never ends."
            )
        for name, parts in (("prints", self.prints), ("error_prints", self.error_prints)):
            for seconds, _ in parts:
                if not 0 <= seconds < math.inf:
                    raise ValueError(
                        f"Outcome {name!r} has something after {seconds!r} s."
                        " Expected 0 or more seconds since the start."
                    )

    @property
    def length(self) -> float:
        """The duration of the command in seconds."""
        parts = (*self.prints, *self.error_prints)
        return max([self.seconds, *(seconds for seconds, _ in parts)])


Script = Callable[[Command], Outcome]


class PlaybackListener(Protocol):
    """A listener for what happens in an outcome."""

    def on_print(self, moment: datetime, stream: StreamName, text: str, /) -> None:
        """Handle output."""
        ...

    def on_finish(self, moment: datetime, exit_code: int) -> None:
        """Handle the end of the command."""
        ...

    def on_limit(self, moment: datetime) -> None:
        """Handle that the hard timeout has passed, which ends the command."""
        ...


class Playback:
    """Play one outcome at a time. Events happen in `process_due_events`, at their own times."""

    def __init__(self, script: Script, clock: Clock, listener: PlaybackListener) -> None:
        self._script = script
        self._clock = clock
        self._listener = listener
        self._outcome = Outcome()  # of the last command
        self._pending_output: list[_Print] = []
        self._ends_at: datetime | None = None
        self._hard_timeout_at: datetime | None = None

    def start(self, command: Command) -> None:
        """Start the scripted outcome of a command."""
        outcome = self._script(command)
        self._hard_timeout_at = None
        if command.hard_timeout is not None:
            self._hard_timeout_at = self._clock.now() + timedelta(seconds=command.hard_timeout)
        self._schedule(outcome)

    def input(self, text: str) -> None:
        """Pass input to the command."""
        if self._outcome.on_input is not None:
            outcome = self._outcome.on_input(text)
            if outcome is not None:
                self._schedule(outcome)

    def process_due_events(self, until: datetime) -> None:
        """Pass all events up to a time to the listener, each with its own time."""
        while (moment := self.next_event_at()) is not None and moment <= until:
            if self._pending_output and self._pending_output[0][0] == moment:
                self._listener.on_print(*self._pending_output.pop(0))
            elif moment == self._ends_at:
                self.stop()
                self._listener.on_finish(moment, self._outcome.exit_code)
            else:
                self.stop()
                self._listener.on_limit(moment)

    def next_event_at(self) -> datetime | None:
        """Return the time of the next event."""
        output_at = self._pending_output[0][0] if self._pending_output else None
        moments = (output_at, self._ends_at, self._hard_timeout_at)
        return min((moment for moment in moments if moment is not None), default=None)

    def stop(self) -> None:
        """Drop all events that have not happened yet."""
        self._pending_output.clear()
        self._ends_at = self._hard_timeout_at = None

    def _schedule(self, outcome: Outcome) -> None:
        """Schedule the events of an outcome from now on, in place of those scheduled before."""
        now = self._clock.now()
        self._pending_output = sorted(
            [
                *_prints(now, "stdout", [(0.0, outcome.output), *outcome.prints]),
                *_prints(now, "stderr", [(0.0, outcome.errors), *outcome.error_prints]),
            ],
            key=lambda part: part[0],
        )
        self._outcome = outcome
        self._ends_at = None
        if not math.isinf(outcome.length):
            self._ends_at = now + timedelta(seconds=outcome.length)


def _prints(now: datetime, stream: StreamName, parts: Sequence[tuple[float, str]]) -> list[_Print]:
    return [(now + timedelta(seconds=delay), stream, text) for delay, text in parts if text]
