"""The sessions of the pipe API: a directory, and the commands that were started in it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sandbox_fakeproxy.runtime.command import Command
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.paths import HOME, SandboxPaths
from sandbox_fakeproxy.runtime.session_errors import NothingRuns, SessionError, TooMuchInput

from .commands import Clocks, OpenProcess, PipeCommand

IDLE_LIMIT = timedelta(hours=1)
_MAX_COMMANDS = 100  # of a session, with those that still run
_MAX_IDLE_IMPLICIT = 100  # idle sessions that `exec` has created because the request named none


class PipeSessionNotFound(SessionError):
    """No session has this id."""

    status = 404

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session {session_id} not found")


class CommandNotFound(SessionError):
    """No command of the session has this id."""

    status = 404

    def __init__(self, command_id: str) -> None:
        super().__init__(f"Command {command_id} not found")


class PipeSession:
    """A directory for commands, and the commands that have run there; several may run at once."""

    def __init__(
        self, session_id: str, directory: str, now: datetime, snapshot: str | None = None
    ) -> None:
        self.id = session_id
        self.directory = directory
        self.snapshot = snapshot  # a script that is sourced before each command
        self.created_at = self.last_used_at = now
        self.commands: list[PipeCommand] = []  # the last ones
        self.command_count = 0

    @property
    def last_command(self) -> PipeCommand | None:
        """The command that was started last."""
        return self.commands[-1] if self.commands else None

    @property
    def idle_since(self) -> datetime | None:
        """The last use of the session, or end of a command; None if a command runs."""
        moments = [self.last_used_at]
        for command in self.commands:
            if command.ended_at is None:
                return None
            moments.append(command.ended_at)
        return max(moments)

    @property
    def running(self) -> list[PipeCommand]:
        """The commands that run, the last one last."""
        return [command for command in self.commands if command.is_running]

    def add(self, command: PipeCommand) -> None:
        """Add a command, and forget the oldest ones that have ended."""
        self.commands.append(command)
        self.command_count += 1
        ended = [each for each in self.commands if not each.is_running]
        for each in ended[: max(len(self.commands) - _MAX_COMMANDS, 0)]:
            self.remove(each)

    def remove(self, command: PipeCommand) -> None:
        """Forget a command, and end it."""
        self.commands = [each for each in self.commands if each is not command]
        command.close()

    def command(self, command_id: str | None) -> PipeCommand | None:
        """Return a command; without an id the last one, or None if there is none.

        Raises:
            CommandNotFound: no command has this id.
        """
        if command_id is None:
            return self.last_command
        for command in self.commands:
            if command.id == command_id:
                return command
        raise CommandNotFound(command_id)

    def write(self, command_id: str | None, text: str) -> None:
        """Write to the stdin of a command; without an id, of the last one that runs.

        Raises:
            CommandNotFound: no command has this id.
            NothingRuns: the command has ended.
            TooMuchInput: the command has not read earlier input.
        """
        self.process_due_events()
        last_running = self.running[-1] if self.running else None
        command = last_running if command_id is None else self.command(command_id)
        if command is None or not command.is_running:
            raise NothingRuns(self.id)
        if not command.write(text):
            raise TooMuchInput(self.id, len(text))
        self.process_due_events()

    def kill(self, number: int) -> None:
        """Send a signal to each command that runs."""
        self.process_due_events()
        for command in self.running:
            command.kill(number)

    def process_due_events(self) -> None:
        """Apply the events of all processes up to now."""
        for command in self.commands:
            command.process_due_events()

    def close(self) -> None:
        """End all commands that run."""
        for command in self.commands:
            command.close()


class PipeSessions:
    """All pipe sessions of a sandbox between a start and the next stop.

    A session that was not used for an hour of the proxy's clock is removed, unless a command runs
    in it. Large output is kept in files in the folder `spool`; without a folder, in memory.
    """

    def __init__(
        self,
        paths: SandboxPaths,
        clocks: Clocks,
        open_process: OpenProcess,
        new_id: Callable[[], str],
        *,
        spool: Path | None = None,
    ) -> None:
        self._clocks = clocks
        self._paths = paths
        self._open_process = open_process
        self._new_id = new_id
        self._spool = spool
        self._by_id: dict[str, PipeSession] = {}
        self._implicit: set[str] = set()  # ids of the sessions that no request has named
        self._has_stopped = False

    def get(self, session_id: str) -> PipeSession:
        """Return a session, which counts as a use of it.

        Raises:
            PipeSessionNotFound: no session has this id.
            RuntimeUnreachable: the sandbox has stopped.
        """
        self._remove_idle()
        if session_id not in self._by_id:
            raise PipeSessionNotFound(session_id)
        self._implicit.discard(session_id)
        return self._use(self._by_id[session_id])

    def all(self) -> list[PipeSession]:
        """Return every session, oldest first.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
        """
        self._remove_idle()
        return list(self._by_id.values())

    def create(
        self, session_id: str | None, directory: str | None = None, snapshot: str | None = None
    ) -> PipeSession:
        """Return the session with this id, or a new one; without an id, always a new one.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
        """
        self._remove_idle()
        if session_id in self._by_id:
            return self._use(self._by_id[session_id])
        if directory is None or not self.has_directory(directory):
            directory = HOME
        now = self._clocks.proxy.now()
        made = PipeSession(session_id or self._new_id(), directory, now, snapshot)
        self._by_id[made.id] = made
        if not session_id:
            self._implicit.add(made.id)
            self._remove_oldest_implicit()
        return made

    def has_directory(self, path: str) -> bool:
        """Return whether a path of the API is a directory that commands can run in."""
        return self._paths.has_directory(path)

    async def start(self, session: PipeSession, command: Command) -> PipeCommand:
        """Start a command in a session, whose directory becomes that of the command.

        Raises:
            RuntimeUnreachable: the sandbox has stopped, or the command cannot be started.
        """
        self._raise_if_stopped()
        session.directory = command.directory or session.directory
        command = replace(
            command,
            directory=session.directory,
            snapshot=session.snapshot,
            session=session.id,
            pipes=True,
        )
        started = PipeCommand(
            self._new_id(), command, self._open_process, self._clocks, self._spool
        )
        session.add(started)
        try:
            await started.start()
        except BaseException:
            session.remove(started)
            raise
        self._raise_if_stopped()
        return started

    async def wait(
        self,
        session: PipeSession,
        command: PipeCommand,
        seconds: float | None,
        is_enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait for a command: see `PipeCommand.wait`.

        Raises:
            RuntimeUnreachable: the sandbox has stopped.
        """
        deadline = (
            None if seconds is None else self._clocks.commands.now() + timedelta(seconds=seconds)
        )
        await command.wait(deadline, is_enough)
        self._use(session)
        self._raise_if_stopped("The sandbox was stopped while the command ran")

    def close(self, session_id: str) -> None:
        """End a session and its commands, and forget it.

        Raises:
            PipeSessionNotFound: no session has this id.
            RuntimeUnreachable: the sandbox has stopped.
        """
        self._remove(self.get(session_id))

    def stop(self) -> None:
        """End all sessions, as the sandbox stops; from the call on, start no command."""
        self._has_stopped = True
        for session in list(self._by_id.values()):
            self._remove(session)

    def announce(self, message: str) -> None:
        """Write a line to the stderr of each command that runs, as its processes will be killed."""
        for session in self._by_id.values():
            for command in session.running:
                command.on_output("stderr", f"\n[{message}]\n".encode())

    def _use(self, session: PipeSession) -> PipeSession:
        session.last_used_at = self._clocks.proxy.now()
        return session

    def _remove(self, session: PipeSession) -> None:
        self._by_id.pop(session.id, None)
        self._implicit.discard(session.id)
        session.close()

    def _remove_idle(self) -> None:
        """Remove the sessions that were idle for an hour, before a request uses any."""
        self._raise_if_stopped()
        now = self._clocks.proxy.now()
        for session in list(self._by_id.values()):
            session.process_due_events()
            if session.idle_since is not None and now - session.idle_since >= IDLE_LIMIT:
                self._remove(session)

    def _remove_oldest_implicit(self) -> None:
        """Remove the implicit sessions that were idle longest, down to `_MAX_IDLE_IMPLICIT`."""
        implicit = [session for id_, session in self._by_id.items() if id_ in self._implicit]
        idle = [
            (session.idle_since, number, session)
            for number, session in enumerate(implicit)
            if session.idle_since is not None and session.commands
        ]
        for _, _, session in sorted(idle)[: max(len(idle) - _MAX_IDLE_IMPLICIT, 0)]:
            self._remove(session)

    def _raise_if_stopped(self, message: str = "The sandbox was stopped") -> None:
        if self._has_stopped:
            raise RuntimeUnreachable(message)
