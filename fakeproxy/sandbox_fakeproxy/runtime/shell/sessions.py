"""The shell sessions of a sandbox; each runs one command at a time."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from sandbox_fakeproxy.clock import Clock
from sandbox_fakeproxy.runtime.command import Command
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.paths import HOME, SandboxPaths
from sandbox_fakeproxy.runtime.session_errors import NothingRuns, SessionError, TooMuchInput

from .commands import CommandRun, CommandState, CommandStatus, Waiter, WaitLimits

DEFAULT_IDLE_TIMEOUT = 120  # seconds without output after which a caller gets a response
_MAX_IDLE_IMPLICIT = 20  # idle sessions that `exec` has created because the request named none
_MAX_RUNS = 100  # of a session, the last one included
_MAX_CHARACTERS = 300_000  # of output of all runs of a session but the last one


class SessionNotFound(SessionError):
    """No session has this id."""

    status = 404

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session not found: {session_id}")


class SessionBusy(SessionError):
    """The session still runs another command."""

    hint = "View it, wait for it, write to it or kill it; or use another session."

    def __init__(self, session_id: str, command: str) -> None:
        super().__init__(f"Session {session_id} still runs a command: {command}")


class Shell(Protocol):
    """The shell of a session. It passes its events to a `ShellListener`."""

    @property
    def directory(self) -> str:
        """The working directory, as a path of the API."""
        ...

    async def start(self, run: CommandRun) -> None:
        """Start the command of a run; its end is an event.

        Raises:
            RuntimeUnreachable: the shell or the command cannot be started.
        """
        ...

    def write(self, text: str) -> bool:
        """Type text; return False, and type nothing, if there is no room for all of it."""
        ...

    def kill(self) -> None:
        """Begin to end the command, with the status `terminated`."""
        ...

    def has_kept_state(self) -> bool:
        """Return whether the next command sees the variables that earlier ones have set."""
        ...

    def process_due_events(self) -> None:
        """Pass the events up to now to the listener."""
        ...

    def next_event_at(self) -> datetime | None:
        """Return the time of the next event; None if it is unknown or there is none."""
        ...

    def is_idle(self) -> bool:
        """Return whether nothing runs in the shell, not even a background job."""
        ...

    async def close(self) -> None:
        """End the shell and everything that runs in it."""
        ...


class ShellListener(Protocol):
    """A listener for the events of a shell."""

    def on_output(self, moment: datetime, chunk: bytes) -> None:
        """Handle output of the command, or of a background job."""
        ...

    def on_end(self, moment: datetime, status: CommandStatus, exit_code: int | None) -> None:
        """Handle the end of the command."""
        ...


OpenShell = Callable[[ShellListener, str], Shell]


class Session:
    """One persistent shell, and the commands that have run in it."""

    def __init__(
        self,
        session_id: str,
        clock: Clock,
        open_shell: OpenShell,
        directory: str,
        idle_timeout: float,
        *,
        spool: Path | None = None,
    ) -> None:
        self.id = session_id
        self.idle_timeout = idle_timeout
        self.created_at = self.last_used_at = clock.now()
        self.runs: list[CommandRun] = []
        self.shell = open_shell(self, directory)
        self._clock = clock
        self._spool = spool

    @property
    def last_run(self) -> CommandRun | None:
        """The command that runs or ran last."""
        return self.runs[-1] if self.runs else None

    @property
    def current_run(self) -> CommandRun | None:
        """The command that runs; None between two commands."""
        return self.last_run if self.last_run is not None and self.last_run.is_running else None

    def on_output(self, moment: datetime, chunk: bytes) -> None:
        """Add output to the last command; background jobs may write after its end."""
        if self.last_run is not None:
            self.last_run.on_output(moment, chunk)

    def on_end(self, moment: datetime, status: CommandStatus, exit_code: int | None) -> None:
        """Record the end of the command, if one still runs."""
        if self.current_run is not None:
            self.current_run.on_end(moment, status, exit_code)

    async def start(self, command: Command) -> CommandRun:
        """Start a command.

        Raises:
            RuntimeUnreachable: the command cannot be started.
            SessionBusy: another command runs.
        """
        self.process_due_events()
        self.last_used_at = self._clock.now()
        if self.current_run is not None:
            raise SessionBusy(self.id, self.current_run.command.text)
        if self.last_run is not None:
            self.last_run.release_output()
        # Added before the shell has started, so that the session is busy meanwhile.
        command = replace(command, session=self.id)
        run = CommandRun(command, command.directory or self.shell.directory, self._spool)
        self.runs.append(run)
        self._drop_old_runs()
        try:
            await self.shell.start(run)
        except BaseException:
            self.runs.remove(run)
            run.abandon()
            raise
        return run

    async def wait(self, run: CommandRun, limits: WaitLimits) -> CommandState:
        """Wait until a command has ended or a limit has passed; return its state."""
        waiter = Waiter(run, self._clock.now(), limits)
        run.add_waiter(waiter)
        try:
            while True:
                self.process_due_events()
                waiter.check_time(self._clock.now())
                if waiter.result is not None:
                    return waiter.result
                await self._wait_for_event(run, waiter)
        finally:
            run.remove_waiter(waiter)

    def process_due_events(self) -> None:
        """Apply the shell's events up to now."""
        self.shell.process_due_events()

    async def kill(self) -> bool:
        """End the running command, if there is one, and wait for its end.

        Returns:
            Whether the shell had to be killed too, which loses the session's variables.
        """
        self.process_due_events()
        self.last_used_at = self._clock.now()
        if self.current_run is None:
            return False
        run = self.current_run
        self.shell.kill()
        await run.wait_until_over()
        return run.status == "terminated" and not self.shell.has_kept_state()

    def write(self, text: str) -> None:
        """Type text to the running command.

        Raises:
            NothingRuns: no command runs.
            TooMuchInput: the command has not read earlier input.
        """
        self.process_due_events()
        self.last_used_at = self._clock.now()
        if self.current_run is None:
            raise NothingRuns(self.id)
        if not self.shell.write(text):
            raise TooMuchInput(self.id, len(text))
        self.process_due_events()

    async def close(self) -> None:
        """End the running command and the shell with all its processes, and release the output."""
        self.on_end(self._clock.now(), "terminated", None)
        try:
            await self.shell.close()
        finally:
            if self.last_run is not None:
                self.last_run.release_output()

    async def _wait_for_event(self, run: CommandRun, waiter: Waiter) -> None:
        times = [moment for moment in (waiter.ends_at, self.shell.next_event_at()) if moment]
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(run.wait_until_over())]
        if times:
            tasks.append(asyncio.ensure_future(self._clock.sleep_until(min(times))))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _drop_old_runs(self) -> None:
        room = _MAX_CHARACTERS
        for number, run in enumerate(reversed(self.runs[:-1]), 1):
            room -= run.output.size
            if number >= _MAX_RUNS or room < 0:
                del self.runs[:-number]
                return


class Sessions:
    """All sessions of a sandbox between a start and the next stop.

    Large output is kept in files in the folder `spool`; without a folder, in memory.
    """

    def __init__(
        self,
        paths: SandboxPaths,
        clock: Clock,
        open_shell: OpenShell,
        new_id: Callable[[], str],
        *,
        spool: Path | None = None,
    ) -> None:
        self.clock = clock
        self._paths = paths
        self._open_shell = open_shell
        self._new_id = new_id
        self._spool = spool
        self._by_id: dict[str, Session] = {}
        # Ids of the sessions that `session_for_command` has created and no later command has named.
        self._implicit: set[str] = set()
        self._has_stopped = False

    def get(self, session_id: str) -> Session:
        """Return a session.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
            SessionNotFound: no session has this id.
        """
        self._raise_if_stopped()
        if session_id not in self._by_id:
            raise SessionNotFound(session_id)
        return self._by_id[session_id]

    def all(self) -> list[Session]:
        """Return every session, oldest first."""
        self._raise_if_stopped()
        return list(self._by_id.values())

    def create(
        self, session_id: str | None, directory: str | None, idle_timeout: float | None
    ) -> Session:
        """Return the session with this id, or a new one; without an id, always a new one."""
        self._raise_if_stopped()
        if session_id in self._by_id:
            return self._by_id[session_id]
        session = Session(
            session_id or self._new_id(),
            self.clock,
            self._open_shell,
            self._existing_or_home(directory),
            idle_timeout or DEFAULT_IDLE_TIMEOUT,
            spool=self._spool,
        )
        self._by_id[session.id] = session
        return session

    async def session_for_command(self, session_id: str | None) -> Session:
        """Return the session with this id; without an id, a new session.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
            SessionNotFound: no session has this id.
        """
        if session_id is not None:
            self._implicit.discard(session_id)
            return self.get(session_id)
        session = self.create(None, None, None)
        self._implicit.add(session.id)
        await self._close_oldest_idle()
        self._raise_if_stopped()
        return session

    def has_directory(self, path: str) -> bool:
        """Return whether a path of the API is a directory that a session can change to."""
        return self._paths.has_directory(path)

    async def start(self, session: Session, command: Command) -> CommandRun:
        """Start a command in a session.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
            SessionBusy: another command runs in the session.
        """
        self._raise_if_stopped()
        run = await session.start(command)
        self._raise_if_stopped()
        return run

    async def wait(self, session: Session, run: CommandRun, limits: WaitLimits) -> CommandState:
        """Wait until a command has ended or a limit has passed; return its state.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
        """
        state = await session.wait(run, limits)
        self._raise_if_stopped("The sandbox was stopped while the command ran")
        return state

    async def close(self, session_id: str) -> None:
        """Close a session and forget it.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
            SessionNotFound: no session has this id.
        """
        session = self.get(session_id)
        del self._by_id[session_id]
        self._implicit.discard(session_id)
        await session.close()

    async def stop(self) -> None:
        """Close all sessions, as the sandbox stops; from the call on, start no command."""
        self._has_stopped = True
        sessions = list(self._by_id.values())
        self._by_id.clear()
        await asyncio.gather(*(session.close() for session in sessions))

    def _existing_or_home(self, directory: str | None) -> str:
        if directory is None or not self.has_directory(directory):
            return HOME
        return directory

    def _raise_if_stopped(self, message: str = "The sandbox was stopped") -> None:
        if self._has_stopped:
            raise RuntimeUnreachable(message)

    async def _close_oldest_idle(self) -> None:
        """Close the implicit sessions that were idle longest, down to `_MAX_IDLE_IMPLICIT`.

        Sessions with background jobs count, and stay open.
        """
        for session in self.all():
            session.process_due_events()
        idle = [
            session
            for session in sorted(self.all(), key=lambda session: session.last_used_at)
            if session.id in self._implicit and session.runs and session.current_run is None
        ]
        excess = len(idle) - _MAX_IDLE_IMPLICIT
        for session in idle:
            if excess <= 0:
                return
            # Checked here, as a request may have used or closed the session during `close`, and as
            # `is_idle` looks at all processes of the machine.
            is_unused = session.id in self._by_id and session.current_run is None
            if is_unused and session.shell.is_idle():
                excess -= 1
                await self.close(session.id)


def age(session: Session, now: datetime) -> int:
    """Return a session's age in whole seconds."""
    return (now - session.created_at) // timedelta(seconds=1)
