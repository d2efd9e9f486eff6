"""A runtime for tests: it records commands and plays scripted outcomes as the clock moves.

Files are real. They are in a temporary directory that is created when it is first needed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox_fakeproxy.clock import Clock, SystemClock
from sandbox_fakeproxy.runtime.command import Command
from sandbox_fakeproxy.runtime.pods import Pod, PodRuntime
from sandbox_fakeproxy.runtime.shell.commands import CommandRun, CommandStatus
from sandbox_fakeproxy.runtime.shell.sessions import Sessions, ShellListener

_CTRL_C = "\x03"
_MAX_EXIT_CODE = 255


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command: it writes `output` and ends `seconds` later, or never (`math.inf`).

    `prints` is further output, each part with its time in seconds since the start; the command ends
    no earlier than its last part. `on_input` is called with typed text, in which Enter is a newline
    as a program reads it; it may return an outcome that replaces the rest of this one from then on.

    Raises:
        ValueError: a field has a value that no command can have.
    """

    output: str = ""
    exit_code: int = 0
    seconds: float = 0.0
    prints: Sequence[tuple[float, str]] = ()
    on_input: "Callable[[str], Outcome | None] | None" = None

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 0 <= self.exit_code <= _MAX_EXIT_CODE:
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
        """The duration of the command in seconds."""
        return max([self.seconds, *(seconds for seconds, _ in self.prints)])


Script = Callable[[Command], Outcome]


class ScriptedShell:
    """Play scripted outcomes. Events happen only in `process_due_events`, at their own times."""

    def __init__(
        self, script: Script, clock: Clock, listener: ShellListener, directory: str
    ) -> None:
        self.directory = directory
        self._script = script
        self._clock = clock
        self._listener = listener
        self._outcome = Outcome()  # of the last command
        self._pending_output: list[tuple[datetime, str]] = []
        self._ends_at: datetime | None = None
        self._hard_timeout_at: datetime | None = None

    async def start(self, run: CommandRun) -> None:
        """Start the scripted outcome of a run's command."""
        command = run.command
        self.directory = command.directory or self.directory
        outcome = self._script(command)
        self._hard_timeout_at = None
        if command.hard_timeout is not None:
            self._hard_timeout_at = self._clock.now() + timedelta(seconds=command.hard_timeout)
        self._schedule(outcome)
        self.process_due_events()

    def write(self, text: str) -> bool:
        """Type text to the command; Ctrl-C ends it as in a terminal."""
        if _CTRL_C in text:
            self._end(self._clock.now(), "completed", 130)
        elif self._outcome.on_input is not None:
            outcome = self._outcome.on_input(text.replace("\r", "\n"))
            if outcome is not None:
                self._schedule(outcome)
        return True

    def has_kept_state(self) -> bool:
        """Return True: it has no state that it could lose."""
        return True

    def kill(self) -> None:
        """End the command."""
        self._end(self._clock.now(), "terminated", None)

    def process_due_events(self) -> None:
        """Pass all events up to now to the listener, each with its own time."""
        now = self._clock.now()
        while (moment := self.next_event_at()) is not None and moment <= now:
            if self._pending_output and self._pending_output[0][0] == moment:
                self._listener.on_output(moment, self._pending_output.pop(0)[1].encode())
            elif moment == self._ends_at:
                self._end(moment, "completed", self._outcome.exit_code)
            else:
                self._end(moment, "hard_timeout", None)

    def next_event_at(self) -> datetime | None:
        """Return the time of the next event."""
        output_at = self._pending_output[0][0] if self._pending_output else None
        moments = (output_at, self._ends_at, self._hard_timeout_at)
        return min((moment for moment in moments if moment is not None), default=None)

    def is_idle(self) -> bool:
        """Return True: it has no background jobs."""
        return True

    async def close(self) -> None:
        """Drop all events that have not happened yet."""
        self._clear_schedule()

    def _schedule(self, outcome: Outcome) -> None:
        """Schedule the events of an outcome from now on, in place of those scheduled before."""
        now = self._clock.now()
        prints = [(0.0, outcome.output)] if outcome.output else []
        prints += sorted(outcome.prints, key=lambda part: part[0])
        self._pending_output = [(now + timedelta(seconds=delay), text) for delay, text in prints]
        self._outcome = outcome
        self._ends_at = None
        if not math.isinf(outcome.length):
            self._ends_at = now + timedelta(seconds=outcome.length)

    def _end(self, moment: datetime, status: CommandStatus, exit_code: int | None) -> None:
        self._clear_schedule()
        self._listener.on_end(moment, status, exit_code)

    def _clear_schedule(self) -> None:
        self._pending_output.clear()
        self._ends_at = self._hard_timeout_at = None


def _succeed_silently(_command: Command) -> Outcome:
    return Outcome()


class ScriptedRuntime(PodRuntime):
    """Play the outcomes that `script` returns for commands; it may raise `RuntimeUnreachable`.

    Time passes on `clock`, which has to be the app's own. With a `seed`, the same requests create
    sessions with the same ids. The runtime records the `commands`, the ids of the sandboxes that
    were `stopped` and `removed`, and whether it was `closed`.
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
        """Record the stop of a sandbox, and stop it."""
        self.stopped.append(sandbox_id)
        await super().stop(sandbox_id)

    async def remove(self, sandbox_id: str) -> None:
        """Record the removal of a sandbox, and remove it."""
        self.removed.append(sandbox_id)
        await super().remove(sandbox_id)

    def new_pod(self, sandbox_id: str) -> Pod:
        """Create a pod with shells that play the script."""
        paths, new_id = self.paths(sandbox_id), self._session_ids.for_sandbox(sandbox_id)
        return Pod(Sessions(paths, self._clock, self._open_shell, new_id), paths)

    def _open_shell(self, listener: ShellListener, directory: str) -> ScriptedShell:
        return ScriptedShell(self._run_script, self._clock, listener, directory)

    def _run_script(self, command: Command) -> Outcome:
        self.commands.append(command)
        outcome = self._script(command)
        if outcome.length and not self._has_clock:
            raise ValueError(
                f"The outcome of {command.text!r} takes {outcome.length:g} s, and there is no clock"
                " to take them on: pass the app's own, ScriptedRuntime(script, clock=clock)."
            )
        return outcome
