"""A runtime for tests: it records commands and plays scripted outcomes as the clock moves.

Files are real. They are in a temporary directory that is created when it is first needed.
"""

import signal
from dataclasses import replace
from datetime import datetime

from sandbox_fakeproxy.clock import Clock, SystemClock
from sandbox_fakeproxy.runtime.command import Command
from sandbox_fakeproxy.runtime.pipe.commands import Clocks, ProcessListener, StreamName
from sandbox_fakeproxy.runtime.pipe.sessions import PipeSessions
from sandbox_fakeproxy.runtime.playback import Outcome, Playback, Script
from sandbox_fakeproxy.runtime.pods import Pod, PodRuntime
from sandbox_fakeproxy.runtime.shell.commands import CommandRun
from sandbox_fakeproxy.runtime.shell.sessions import Sessions, ShellListener
from sandbox_fakeproxy.runtime.unwrapping import unwrapped

_CTRL_C = "\x03"


class ScriptedShell:
    """Play scripted outcomes on a terminal, which shows stdout and stderr together."""

    def __init__(
        self, script: Script, clock: Clock, listener: ShellListener, directory: str
    ) -> None:
        self.directory = directory
        self._clock = clock
        self._listener = listener
        self._playback = Playback(script, clock, self)

    async def start(self, run: CommandRun) -> None:
        """Start the scripted outcome of a run's command."""
        self.directory = run.command.directory or self.directory
        self._playback.start(run.command)
        self.process_due_events()

    def write(self, text: str) -> bool:
        """Type text to the command; Ctrl-C ends it as in a terminal."""
        if _CTRL_C in text:
            self._playback.stop()
            self.on_finish(self._clock.now(), -signal.SIGINT)
        else:
            self._playback.input(text.replace("\r", "\n"))
        return True

    def has_kept_state(self) -> bool:
        """Return True: it has no state that it could lose."""
        return True

    def kill(self) -> None:
        """End the command."""
        self._playback.stop()
        self._listener.on_end(self._clock.now(), "terminated", None)

    def process_due_events(self) -> None:
        """Pass all events up to now to the listener, each with its own time."""
        self._playback.process_due_events(self._clock.now())

    def next_event_at(self) -> datetime | None:
        """Return the time of the next event."""
        return self._playback.next_event_at()

    def is_idle(self) -> bool:
        """Return True: it has no background jobs."""
        return True

    async def close(self) -> None:
        """Drop all events that have not happened yet."""
        self._playback.stop()

    def on_print(self, moment: datetime, _stream: StreamName, text: str) -> None:
        """Pass output on to the listener."""
        self._listener.on_output(moment, text.encode())

    def on_finish(self, moment: datetime, exit_code: int) -> None:
        """Tell the listener the end, with the exit code that a shell gives to a signal."""
        code = 128 - exit_code if exit_code < 0 else exit_code
        self._listener.on_end(moment, "completed", code)

    def on_limit(self, moment: datetime) -> None:
        """Tell the listener that the hard timeout has passed."""
        self._listener.on_end(moment, "hard_timeout", None)


class ScriptedProcess:
    """Play a scripted outcome with pipes: stdout and stderr are apart."""

    def __init__(self, script: Script, clock: Clock, listener: ProcessListener) -> None:
        self._clock = clock
        self._listener = listener
        self._playback = Playback(script, clock, self)

    async def start(self) -> None:
        """Start the scripted outcome of the command."""
        self._playback.start(self._listener.command)
        self.process_due_events(self._clock.now())

    def write(self, text: str) -> bool:
        """Pass text to the command."""
        self._playback.input(text)
        return True

    def send_signal(self, number: int) -> None:
        """End the command by a signal."""
        self._playback.stop()
        self._listener.on_exit(-number, self._clock.now())

    def process_due_events(self, until: datetime) -> None:
        """Pass all events up to a time to the listener."""
        self._playback.process_due_events(until)

    def next_event_at(self) -> datetime | None:
        """Return the time of the next event."""
        return self._playback.next_event_at()

    def close(self) -> None:
        """Drop all events that have not happened yet."""
        self._playback.stop()

    def on_print(self, _moment: datetime, stream: StreamName, text: str) -> None:
        """Pass output on to the listener."""
        self._listener.on_output(stream, text.encode())

    def on_finish(self, moment: datetime, exit_code: int) -> None:
        """Tell the listener the end."""
        self._listener.on_exit(exit_code, moment)

    def on_limit(self, moment: datetime) -> None:
        """Tell the listener that the hard timeout has passed, and the end by SIGKILL."""
        self._listener.on_hard_timeout()
        self._listener.on_exit(-signal.SIGKILL, moment)


def _succeed_silently(_command: Command) -> Outcome:
    return Outcome()


class ScriptedRuntime(PodRuntime):
    """Play the outcomes that `script` returns for commands; it may raise `RuntimeUnreachable`.

    The text of a command is the one that a person gave: without what a client adds to it so that
    its standard input is empty.

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
        """Create a pod whose commands play the script."""
        paths, new_id = self.paths(sandbox_id), self._session_ids.for_sandbox(sandbox_id)
        sessions = Sessions(paths, self._clock, self._open_shell, new_id)
        clocks = Clocks(self._clock, self._clock)
        return Pod(sessions, PipeSessions(paths, clocks, self._open_process, new_id), paths)

    def _open_shell(self, listener: ShellListener, directory: str) -> ScriptedShell:
        return ScriptedShell(self._run_script, self._clock, listener, directory)

    def _open_process(self, listener: ProcessListener) -> ScriptedProcess:
        return ScriptedProcess(self._run_script, self._clock, listener)

    def _run_script(self, command: Command) -> Outcome:
        command = replace(command, text=unwrapped(command.text))
        self.commands.append(command)
        outcome = self._script(command)
        if outcome.length and not self._has_clock:
            raise ValueError(
                f"The outcome of {command.text!r} takes {outcome.length:g} s, and there is no clock"
                " to take them on: pass the app's own, ScriptedRuntime(script, clock=clock)."
            )
        return outcome
