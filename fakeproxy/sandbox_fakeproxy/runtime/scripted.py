"""A runtime for tests: it records commands and answers from a script, as the clock moves.

Files are real, in a temporary directory that is made when they are first asked for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox_fakeproxy.clock import Clock, SystemClock
from sandbox_fakeproxy.runtime.pods import Pod, PodRuntime
from sandbox_fakeproxy.runtime.shell.commands import Command, CommandRun, CommandStatus
from sandbox_fakeproxy.runtime.shell.sessions import Sessions, ShellListener

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

    def __init__(
        self, script: Script, clock: Clock, listener: ShellListener, directory: str
    ) -> None:
        self.directory = directory
        self._script = script
        self._clock = clock
        self._listener = listener
        self._coming: list[tuple[datetime, str]] = []
        self._outcome: Outcome | None = None
        self._ends_at: datetime | None = None
        self._killed_at: datetime | None = None

    async def start(self, run: CommandRun) -> None:
        """Start the scripted outcome of a run's command."""
        command = run.command
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
                self._listener.on_output(moment, self._coming.pop(0)[1].encode())
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

    def _end(self, moment: datetime, status: CommandStatus, exit_code: int | None) -> None:
        self._forget()
        self._listener.end(moment, status, exit_code)

    def _forget(self) -> None:
        self._coming.clear()
        self._outcome = self._ends_at = self._killed_at = None


def _succeed_silently(_command: Command) -> Outcome:
    return Outcome()


class ScriptedRuntime(PodRuntime):
    """Answer commands from a function, which may raise `RuntimeUnreachable`.

    Time passes on `clock`, which has to be the app's own. With a `seed`, the same requests make
    sessions of the same ids. Recorded are the commands, the ids of the sandboxes that were
    `stopped` and `removed`, and whether the runtime was `closed`.
    """

    def __init__(
        self,
        script: Script = _succeed_silently,
        *,
        clock: Clock | None = None,
        seed: str | None = None,
    ) -> None:
        super().__init__(seed=seed)
        self._script = script
        self._has_clock = clock is not None
        self._clock = clock if clock is not None else SystemClock()
        self.commands: list[Command] = []
        self.stopped: list[str] = []
        self.removed: list[str] = []

    async def stop(self, sandbox_id: str) -> None:
        """Record that a sandbox was paused, and stop it."""
        self.stopped.append(sandbox_id)
        await super().stop(sandbox_id)

    async def remove(self, sandbox_id: str) -> None:
        """Record that a sandbox was deleted, and remove it."""
        self.removed.append(sandbox_id)
        await super().remove(sandbox_id)

    def new_pod(self, sandbox_id: str) -> Pod:
        """Return a pod with shells that play the script."""
        paths, new_id = self.paths(sandbox_id), self._session_ids.for_sandbox(sandbox_id)
        return Pod(Sessions(paths, self._clock, self._open_shell, new_id), paths)

    def _open_shell(self, listener: ShellListener, directory: str) -> ScriptedShell:
        return ScriptedShell(self._ask, self._clock, listener, directory)

    def _ask(self, command: Command) -> Outcome:
        self.commands.append(command)
        outcome = self._script(command)
        if outcome.length and not self._has_clock:
            raise ValueError(
                f"The outcome of {command.text!r} takes {outcome.length:g} s, and there is no clock"
                " to take them on: pass the app's own, ScriptedRuntime(script, clock=clock)."
            )
        return outcome
