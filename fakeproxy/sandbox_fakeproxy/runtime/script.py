"""Scripted outcomes of commands, and the shell that plays them as the clock moves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox_fakeproxy.clock import Clock
from sandbox_fakeproxy.runtime.shell.commands import Command, Status
from sandbox_fakeproxy.runtime.shell.sessions import Listener

_CTRL_C = "\x03"
_HIGHEST_CODE = 255


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command: it writes `output` and ends `seconds` later, or never (`math.inf`).

    `prints` are what it writes on the way, each with its seconds since the start; it does not end
    before the last of them. What is typed goes to `on_input`, which may return how the command
    goes on from there, instead of what was to come; Enter is a newline there, as for a program.

    Raises:
        ValueError: it is nothing that a command can do.
    """

    output: str = ""
    exit_code: int = 0
    seconds: float = 0.0
    prints: Sequence[tuple[float, str]] = ()
    on_input: "Callable[[str], Outcome | None] | None" = None

    def __post_init__(self) -> None:
        """Refuse an impossible outcome."""
        if not 0 <= self.exit_code <= _HIGHEST_CODE:
            raise ValueError(f"Outcome 'exit_code' is {self.exit_code!r}. Expected 0 to 255.")
        if not self.seconds >= 0:
            raise ValueError(
                f"Outcome 'seconds' is {self.seconds!r}."
                " Expected 0 or more, or math.inf for a command that never ends."
            )
        for seconds, _ in self.prints:
            if not 0 <= seconds < math.inf:
                raise ValueError(
                    f"Outcome 'prints' has something after {seconds!r} s."
                    " Expected 0 or more seconds since the start."
                )

    @property
    def length(self) -> float:
        """Return how long it takes, in seconds."""
        return max([self.seconds, *(seconds for seconds, _ in self.prints)])


Script = Callable[[Command], Outcome]


class ScriptedShell:
    """Play the outcomes of a script. Nothing happens by itself: `settle` passes on due events."""

    def __init__(self, script: Script, clock: Clock, listener: Listener, directory: str) -> None:
        self.directory = directory
        self._script = script
        self._clock = clock
        self._listener = listener
        self._coming: list[tuple[datetime, str]] = []
        self._outcome: Outcome | None = None
        self._ends_at: datetime | None = None
        self._killed_at: datetime | None = None

    async def start(self, command: Command) -> None:
        """Start the scripted outcome of a command."""
        self.directory = command.directory or self.directory
        outcome = self._script(command)
        self._killed_at = None
        if command.hard_timeout is not None:
            self._killed_at = self._clock.now() + timedelta(seconds=command.hard_timeout)
        self._go_on(outcome)
        self.settle()

    def write(self, text: str) -> bool:
        """Type something; Ctrl-C ends the command as it does in a terminal."""
        if self._outcome is None:
            return True
        if _CTRL_C in text:
            self._end(self._clock.now(), "completed", 130)
        elif self._outcome.on_input is not None:
            following = self._outcome.on_input(text.replace("\r", "\n"))
            if following is not None:
                self._go_on(following)
        return True

    def is_as_it_was(self) -> bool:
        """Return True: it knows nothing that it could lose."""
        return True

    def kill(self) -> None:
        """End the command."""
        self._end(self._clock.now(), "terminated", None)

    def settle(self) -> None:
        """Tell all that has happened by now, each at its own moment."""
        now = self._clock.now()
        while (moment := self.next_change()) is not None and moment <= now:
            if self._coming and self._coming[0][0] == moment:
                self._listener.hear(moment, self._coming.pop(0)[1].encode())
            elif moment == self._ends_at and self._outcome is not None:
                self._end(moment, "completed", self._outcome.exit_code)
            else:
                self._end(moment, "hard_timeout", None)

    def next_change(self) -> datetime | None:
        """Return when something more happens."""
        moments = [*(moment for moment, _ in self._coming[:1]), self._ends_at, self._killed_at]
        return min((each for each in moments if each is not None), default=None)

    def is_quiet(self) -> bool:
        """Return True: it knows no background jobs."""
        return True

    async def close(self) -> None:
        """End it."""
        self._forget()

    def _go_on(self, outcome: Outcome) -> None:
        now = self._clock.now()
        prints = [(0.0, outcome.output)] if outcome.output else []
        prints += sorted(outcome.prints, key=lambda each: each[0])
        self._coming = [(now + timedelta(seconds=seconds), text) for seconds, text in prints]
        self._outcome = outcome
        self._ends_at = None
        if not math.isinf(outcome.length):
            self._ends_at = now + timedelta(seconds=outcome.length)

    def _end(self, moment: datetime, status: Status, exit_code: int | None) -> None:
        self._forget()
        self._listener.end(moment, status, exit_code)

    def _forget(self) -> None:
        self._coming.clear()
        self._outcome = self._ends_at = self._killed_at = None
