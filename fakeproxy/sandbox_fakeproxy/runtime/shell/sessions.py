"""A sandbox's shell sessions: made, used one command at a time, and ended."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from sandbox_fakeproxy.clock import Clock
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.paths import HOME, WORK, SandboxPaths

from .commands import Command, CommandRun, CommandState, CommandStatus, Waiter, WaitLimits

DEFAULT_IDLE_TIMEOUT = 120  # seconds without output after which a caller is answered
# Sessions that `exec` made without being asked for one, and in which nothing runs any more.
_IDLE_UNASKED = 20
_KEPT_RUNS = 100
_KEPT_CHARACTERS = 300_000


class SessionError(Exception):
    """A request that its session cannot serve; `hint` says how to go on."""

    hint: str | None = None


class SessionNotFound(SessionError):
    """There is no such session."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session not found: {session_id}")


class SessionBusy(SessionError):
    """A session runs one command at a time."""

    hint = "View it, wait for it, write to it or kill it; or use another session."

    def __init__(self, session_id: str, command: str) -> None:
        super().__init__(f"Session {session_id} still runs a command: {command}")


class NothingRuns(SessionError):
    """Input is for a running command, and none runs."""

    hint = "Start a command with exec first, with async_mode or a timeout."

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session {session_id} runs no command that could read input")


class TooMuchInput(SessionError):
    """Earlier input is still unread, and there is no room for more."""

    hint = "Nothing of it was typed. Let the command read, or kill it."

    def __init__(self, session_id: str, size: int) -> None:
        super().__init__(
            f"Session {session_id} has no room for {size} characters more:"
            " its command does not read what was typed before"
        )


class Shell(Protocol):
    """The shell of a session, as the session uses it; it tells a `ShellListener` of events."""

    @property
    def directory(self) -> str:
        """Where it is, as callers name it."""
        ...

    async def start(self, run: CommandRun) -> None:
        """Start the command of a run; the listener is told its end.

        Raises:
            RuntimeUnreachable: it cannot be started.
        """
        ...

    def write(self, text: str) -> bool:
        """Type something, or nothing where there is no room for it; tell which."""
        ...

    def kill(self) -> None:
        """Begin to end the command; its end is told as `terminated`."""
        ...

    def is_as_it_was(self) -> bool:
        """Tell whether the next command finds the variables that earlier ones have set."""
        ...

    def settle(self) -> None:
        """Pass events on that have happened by now."""
        ...

    def next_change(self) -> datetime | None:
        """Return when something more to tell happens, where that is known before."""
        ...

    def is_quiet(self) -> bool:
        """Tell whether nothing runs in it, no background job either."""
        ...

    async def close(self) -> None:
        """End it with all that runs in it."""
        ...


class ShellListener(Protocol):
    """A listener to the events of a shell."""

    def on_output(self, moment: datetime, chunk: bytes) -> None:
        """Take output."""
        ...

    def end(self, moment: datetime, status: CommandStatus, exit_code: int | None) -> None:
        """Take the end of the command."""
        ...


OpenShell = Callable[[ShellListener, str], Shell]


class Session:
    """One persistent shell, with the commands that ran in it."""

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
        self.created = self.used = clock.now()
        self.runs: list[CommandRun] = []
        self.shell = open_shell(self, directory)
        self._clock = clock
        self._spool = spool

    @property
    def run(self) -> CommandRun | None:
        """Return the command that runs, or ran last."""
        return self.runs[-1] if self.runs else None

    @property
    def running(self) -> CommandRun | None:
        """Return the command that runs."""
        return self.run if self.run is not None and self.run.is_running else None

    def on_output(self, moment: datetime, chunk: bytes) -> None:
        """Take output, of a background job also after the command's end."""
        if self.run is not None:
            self.run.on_output(moment, chunk)

    def end(self, moment: datetime, status: CommandStatus, exit_code: int | None) -> None:
        """Take the end of the command."""
        if self.running is not None:
            self.running.end(moment, status, exit_code)

    async def start(self, command: Command) -> CommandRun:
        """Start a command.

        Raises:
            RuntimeUnreachable: it cannot be started.
            SessionBusy: another one runs.
        """
        self.settle()
        self.used = self._clock.now()
        if self.running is not None:
            raise SessionBusy(self.id, self.running.command.text)
        if self.run is not None:
            self.run.retire()
        # Taken before the shell is there: until then, the session is busy already.
        command = replace(command, session=self.id)
        run = CommandRun(command, command.directory or self.shell.directory, self._spool)
        self.runs.append(run)
        self._forget()
        try:
            await self.shell.start(run)
        except BaseException:
            self.runs.remove(run)
            run.over.set()
            raise
        return run

    async def wait(self, run: CommandRun, limits: WaitLimits) -> CommandState:
        """Wait until a command is over, or for as long as is said."""
        waiter = Waiter(run, self._clock.now(), limits)
        run.begin_waiting(waiter)
        try:
            while True:
                self.settle()
                waiter.look(self._clock.now())
                if waiter.answer is not None:
                    return waiter.answer
                await self._next_event(run, waiter)
        finally:
            run.stop_waiting(waiter)

    def settle(self) -> None:
        """Take note of all that has happened by now."""
        self.shell.settle()

    async def kill(self) -> bool:
        """End the command that runs, if one does, and wait for its end.

        Returns whether all that the session knew had to be given up for it.
        """
        self.settle()
        self.used = self._clock.now()
        if self.running is None:
            return False
        run = self.running
        self.shell.kill()
        await run.over.wait()
        return run.status == "terminated" and not self.shell.is_as_it_was()

    def write(self, text: str) -> None:
        """Type something to the command that runs.

        Raises:
            NothingRuns: there is none.
            TooMuchInput: it does not read.
        """
        self.settle()
        self.used = self._clock.now()
        if self.running is None:
            raise NothingRuns(self.id)
        if not self.shell.write(text):
            raise TooMuchInput(self.id, len(text))
        self.settle()

    async def close(self) -> None:
        """End the shell with all of its processes, and release its output."""
        self.end(self._clock.now(), "terminated", None)
        try:
            await self.shell.close()
        finally:
            if self.run is not None:
                self.run.retire()

    async def _next_event(self, run: CommandRun, waiter: Waiter) -> None:
        moments = [each for each in (waiter.ends_at, self.shell.next_change()) if each]
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(run.over.wait())]
        if moments:
            waits.append(asyncio.ensure_future(self._clock.sleep_until(min(moments))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    def _forget(self) -> None:
        kept = _KEPT_CHARACTERS
        for number, run in enumerate(reversed(self.runs[:-1]), 1):
            kept -= run.output.size
            if number >= _KEPT_RUNS or kept < 0:
                del self.runs[:-number]
                return


class Sessions:
    """All sessions of a sandbox, from one start of it to its stop.

    Large output is kept in files in the folder `spool`, or in memory without one.
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
        self._unasked: set[str] = set()
        self._stopped = False

    def get(self, session_id: str) -> Session:
        """Return a session.

        Raises:
            SessionNotFound: there is none of that name.
        """
        self._check()
        if session_id not in self._by_id:
            raise SessionNotFound(session_id)
        return self._by_id[session_id]

    def all(self) -> list[Session]:
        """Return every session, oldest first."""
        self._check()
        return list(self._by_id.values())

    def create(
        self, session_id: str | None, directory: str | None, idle_timeout: float | None
    ) -> Session:
        """Return the session of that name, made if need be."""
        self._check()
        if session_id in self._by_id:
            return self._by_id[session_id]
        made = Session(
            session_id or self._new_id(),
            self.clock,
            self._open_shell,
            self._existing(directory) or HOME,
            idle_timeout or DEFAULT_IDLE_TIMEOUT,
            spool=self._spool,
        )
        self._by_id[made.id] = made
        return made

    async def for_command(self, session_id: str | None) -> Session:
        """Return the session to run a command in: the one of that name, or a new one.

        Raises:
            SessionNotFound: there is none of that name.
        """
        if session_id is not None:
            self._unasked.discard(session_id)
            return self.get(session_id)
        made = self.create(None, None, None)
        self._unasked.add(made.id)
        await self._end_the_oldest_idle()
        self._check()
        return made

    def has_directory(self, path: str) -> bool:
        """Tell whether a session can go there."""
        return path in {WORK, HOME} or self._paths.has_directory(path)

    async def start(self, session: Session, command: Command) -> CommandRun:
        """Start a command in a session.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
            SessionBusy: another command runs there.
        """
        self._check()
        run = await session.start(command)
        self._check()
        return run

    async def wait(self, session: Session, run: CommandRun, limits: WaitLimits) -> CommandState:
        """Wait for a command.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
        """
        answer = await session.wait(run, limits)
        self._check("The sandbox was stopped while the command ran")
        return answer

    async def end(self, session_id: str) -> None:
        """End a session with all that runs in it.

        Raises:
            SessionNotFound: there is none of that name.
        """
        session = self.get(session_id)
        del self._by_id[session_id]
        self._unasked.discard(session_id)
        await session.close()

    async def stop(self) -> None:
        """End everything, as the sandbox stops; from the call on, nothing is started."""
        self._stopped = True
        sessions = list(self._by_id.values())
        self._by_id.clear()
        await asyncio.gather(*(session.close() for session in sessions))

    def _existing(self, directory: str | None) -> str | None:
        return directory if directory is not None and self.has_directory(directory) else None

    def _check(self, message: str = "The sandbox was stopped") -> None:
        if self._stopped:
            raise RuntimeUnreachable(message)

    async def _end_the_oldest_idle(self) -> None:
        """End idle shells of commands without a session beyond a bound; none with jobs."""
        for session in self.all():
            session.settle()
        idle = [
            session
            for session in sorted(self.all(), key=lambda each: each.used)
            if session.id in self._unasked and session.runs and session.running is None
        ]
        too_many = len(idle) - _IDLE_UNASKED
        for session in idle:
            if too_many <= 0:
                return
            if session.id in self._by_id and session.running is None and session.shell.is_quiet():
                too_many -= 1
                await self.end(session.id)


def age(session: Session, now: datetime) -> int:
    """Return a session's age in whole seconds."""
    return (now - session.created) // timedelta(seconds=1)
