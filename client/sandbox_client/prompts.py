"""Commands that outlive the call: start once in a session, follow, read the output, cancel.

Every request ends before the time-out of a load balancer; a command counts as ended only when the
runtime reports it. If the runtime has the pipe API, a command runs with it in a new session.
Otherwise, and in a session that the user names, it runs on the runtime's terminal.
"""

from __future__ import annotations

import contextlib
import math
import secrets
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import anyio

from sandbox_client.text import last_line, mask_keys

from .api import files
from .api.ends import ENDS, read_ends
from .api.runtime import SIGNALS, Task, check_task
from .errors import (
    NOTHING_DONE,
    FileRefused,
    InvalidInput,
    SandboxDeleted,
    SandboxError,
    SandboxNotFound,
    SessionLost,
    SessionNotFound,
)
from .execution import payload
from .execution.cancellation import Cancellation
from .execution.follower import FIRST_LOOK, LONGEST_PAUSE, MIN_WAIT, OutputFollower, OutputListener
from .execution.pipes import PipeCommand
from .execution.remote_command import FIRST_LOOK_DEADLINE, INTERNAL_PREFIX
from .execution.result import CommandResult, Session, result_of
from .execution.sessions import Sessions, check_named_session, new_session
from .execution.terminal import TerminalCommand
from .masking import masked
from .polling import DEFAULT_WAIT, Timing, backoff, ignore_progress, periodic_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from .api.ends import CommandEnd
    from .api.runtime import SessionRow, Signal
    from .execution.payload import Read
    from .execution.remote_command import RemoteCommand
    from .sandboxes import Sandboxes

MAX_WAIT = 240.0  # seconds
LINGER = 2.0  # seconds to wait for more output after the first new output
INTERNAL_DEADLINE = 600.0  # seconds: enough to hash the files of a usual copy
INTERNAL_OUTAGE = 30.0  # seconds without an answer
CLOSE_DEADLINE = 5.0  # seconds
CANCEL_DEADLINE = 0.3  # seconds to close the session of an internal command that is cancelled
MAX_SESSIONS_READ = 20  # sessions of a list for which the last command is read
SESSIONS_AT_ONCE = 4
_NOT_RUN = "the command was not run"
LAST_LINES = 4_000  # bytes of output that are read for the last line in a list


@dataclass(frozen=True)
class Prompts:
    """Run commands in the sessions of `sandboxes`.

    `new_id` returns the id of a new session: its kind is `command` for the pipe API and `prompt`
    for the terminal. `new_mark` returns a mark that identifies a command in a terminal session.
    """

    sandboxes: Sandboxes
    timing: Timing = field(default_factory=Timing)
    new_id: Callable[[Literal["command", "prompt"]], str] = new_session
    new_mark: Callable[[], str] = lambda: f"run-{secrets.token_hex(4)}"

    @cached_property
    def _sessions(self) -> Sessions:
        return Sessions(self.sandboxes, self.timing, self.new_id, self.new_mark)

    @property
    def _secret(self) -> str:
        return self.sandboxes.proxy.config.api_key

    async def send(
        self,
        name: str,
        task: Task,
        *,
        session: str | None = None,
        stdin: Read | None = None,
        wait_seconds: float | None = DEFAULT_WAIT,
        listener: OutputListener,
    ) -> CommandResult:
        """Start a shell command once and wait up to `wait_seconds` for its end; None has no limit.

        It runs in a new session, or in the terminal session with the id `session`, which is created
        if it does not exist. `stdin` is read to its end before the command starts; None is empty
        input. After the task's time limit the command is killed.

        Raises:
            SessionBusy: the session runs another command.
            CommandStateUnknown: it is unknown whether the command was started.
        """
        check_task(task)
        if session is not None:
            check_named_session(session, task.time_limit)
        follower = self._new_follower(wait_seconds, listener)
        follower.activity = "starting the command"
        async with periodic_progress(follower.report):
            with self._sessions.reserve(name, session):
                remote = await self._open(name, session, follower)
                try:
                    task = await payload.upload_if_needed(
                        self.sandboxes.proxy,
                        remote,
                        task,
                        stdin=stdin,
                        run=lambda command: self._run_or_fail(name, command),
                        follower=follower,
                    )
                except BaseException:
                    if session is None:
                        await _close(remote)
                    raise
                follower.on_session(remote.session)
                await self._start(remote, task)
            result = await self._follow(remote, follower, _has_ended)
        return replace(result, started=True, time_limit=task.time_limit)

    async def run_internal(
        self,
        name: str,
        command: str,
        *,
        directory: str | None = None,
        deadline: float = INTERNAL_DEADLINE,
        start_deadline: float = FIRST_LOOK_DEADLINE,
    ) -> CommandResult:
        """Run an internal command of the client once, and end its session; nothing is masked.

        After `deadline` seconds it is killed. If the response to its start takes longer than
        `start_deadline` seconds, its session shows whether it was started.
        """
        session = f"{INTERNAL_PREFIX}{secrets.token_hex(4)}"
        follower = OutputFollower(
            self.timing,
            deadline,
            OutputListener(ignore_progress),
            give_up_after=INTERNAL_OUTAGE,
        )
        remote: RemoteCommand | None = None
        close_deadline = CLOSE_DEADLINE
        try:
            async with periodic_progress(follower.report):
                remote = await self._sessions.open(name, None, follower, new_id=session)
                task = Task(command, directory, is_internal=True)
                await self._start(remote, task, start_deadline)
                return await self._follow(remote, follower, _has_ended)
        except SandboxError as error:
            raise error.but(session="") from error.__cause__  # no session that the user knows
        except anyio.get_cancelled_exc_class():
            close_deadline = CANCEL_DEADLINE
            raise
        finally:
            if remote is not None:
                await _close(remote, close_deadline)  # this also ends a command that still runs

    async def output(
        self,
        name: str,
        session: str,
        *,
        after: int = 0,
        stderr_after: int = 0,
        wait_seconds: float | None = DEFAULT_WAIT,
        to_end: bool = False,
        listener: OutputListener,
    ) -> CommandResult:
        """Wait up to `wait_seconds` for output after these positions or for the end.

        With `to_end`, wait for the end. After the first new output, wait up to LINGER for more.

        Raises:
            SessionNotFound: the sandbox does not have the session, or no longer has it.
        """
        _check_positions(after, stderr_after)
        follower = self._new_follower(wait_seconds, listener)

        def is_done(remote: RemoteCommand) -> bool:
            return _has_ended(remote) or (not to_end and follower.has_output)

        async with periodic_progress(follower.report):
            remote = await self._sessions.find(
                name,
                session,
                follower,
                after=after,
                stderr_after=stderr_after,
                look=lambda remote: remote.look(remote.first_deadline),
            )
            had_output = follower.has_output
            result = await self._follow(remote, follower, is_done)
            if not to_end and not had_output and follower.has_output:
                follower.wait_for(min(LINGER, follower.remaining))
                result = await self._follow(remote, follower, _has_ended)
        return result

    async def rows(self, name: str) -> list[SessionRow]:
        """Return the sessions of a sandbox without their commands, also those of this client."""
        return [row for row, _ in await self._sessions.rows(name, internal=True)]

    async def ends(self, name: str) -> dict[str, CommandEnd]:
        """Return the ends of the commands of sessions, as far as they were noted.

        Those of a shell that stays are not, nor are those of more than a day ago.

        Raises:
            NoSuchFile: none was noted.
        """
        reply = await self.sandboxes.proxy.send(files.listing(name, f"{files.HOME}/{ENDS}"))
        return read_ends(each.name for each in files.read_listing(reply).entries)

    async def sessions(
        self, name: str, *, most: int = MAX_SESSIONS_READ, look_for: float = math.inf
    ) -> list[Session]:
        """Return the sessions of a sandbox, the newest first, with their last commands.

        The commands of `most` sessions are read, for at most `look_for` seconds; those that run
        come first. Sessions of this client's own scripts are left out.
        """
        rows = await self._sessions.rows(name)
        results: dict[str, CommandResult] = {}
        limiter = anyio.CapacityLimiter(SESSIONS_AT_ONCE)  # a reply may be a whole output

        async def look(row: SessionRow, has_pipes: bool) -> None:
            # A session may have ended since, or may have an id that this client does not accept.
            async with limiter:
                with contextlib.suppress(SandboxError):
                    last = await self._last_result(name, row.id, has_pipes=has_pipes)
                    command = self._without_secrets(last.status.command)
                    results[row.id] = replace(last, status=replace(last.status, command=command))

        running_first = sorted(rows, key=lambda each: not each[0].running)
        with anyio.move_on_after(look_for):
            async with anyio.create_task_group() as tasks:
                for row, has_pipes in running_first[:most]:
                    tasks.start_soon(look, row, has_pipes)
        return [
            Session(replace(row, command=self._without_secrets(row.command)), results.get(row.id))
            for row, _ in rows
        ]

    def _without_secrets(self, command: str) -> str:
        """Mask secrets in a command line, which may be cut within the key."""
        return masked(mask_keys(command), *self.sandboxes.proxy.config.secrets)

    async def cancel(
        self,
        name: str,
        session: str,
        *,
        signals: Sequence[Signal] = SIGNALS,
        listener: OutputListener,
    ) -> CommandResult:
        """Send signals in turn to the command of a session until it has ended.

        Raises:
            SessionNotFound: the sandbox does not have the session, or no longer has it.
            SandboxError: no signal got a response, and the command is not known to have ended.
        """
        follower = self._new_follower(0.0, listener)
        async with periodic_progress(follower.report):
            remote = await self._sessions.find(
                name, session, follower, look=lambda remote: Cancellation(remote, follower).look()
            )
            cancellation = Cancellation(remote, follower)
            try:
                await cancellation.run(signals)
            except SandboxError as error:
                printed = result_of(remote, follower).printed
                raise error.but(session=session, printed=printed) from None
        sent = tuple(cancellation.sent)
        result = replace(result_of(remote, follower), read_error=cancellation.read_error)
        return replace(result, signals=sent, was_over=not sent)

    async def _open(
        self, name: str, session: str | None, follower: OutputFollower
    ) -> RemoteCommand:
        """Open a session for a command; an error says that the command was not run."""
        try:
            return await self._sessions.open(name, session, follower)
        except NOTHING_DONE:
            raise
        except SandboxError as error:
            if _NOT_RUN in error.message:
                raise
            raise error.but(not_done=f"T{_NOT_RUN[1:]}.") from error.__cause__

    def _new_follower(self, limit: float | None, listener: OutputListener) -> OutputFollower:
        return OutputFollower(
            self.timing,
            limit,
            listener,
            secret=self._secret,
            secrets=self.sandboxes.proxy.config.secrets,
        )

    async def _run_or_fail(self, name: str, command: str) -> None:
        """Run an internal command that has to succeed.

        Raises:
            FileRefused: the command failed.
        """
        result = await self.run_internal(name, command)
        if (result.status.state, result.status.exit_code) != ("completed", 0):
            config = self.sandboxes.proxy.config
            printed = masked(result.printed, config.api_key, *config.secrets)
            reason = last_line(printed) or f"it {result.status.state}"
            raise FileRefused(
                f"Sandbox '{name}' has no place for the command's files: {reason}",
                advice="Look with {run} at the home directory there and the room on its disk.",
            )

    async def _start(
        self, remote: RemoteCommand, task: Task, deadline: float = FIRST_LOOK_DEADLINE
    ) -> None:
        """Start a command; a cancellation is delayed until it is known whether it was started.

        An internal command ends with its session, so that its cancellation is not delayed.
        """
        with anyio.CancelScope(shield=not task.is_internal):
            try:
                await remote.start(task, deadline)
            except NOTHING_DONE:
                if task.payload is not None:
                    await payload.remove(
                        task.payload, lambda command: self._run_or_fail(remote.name, command)
                    )
                raise

    async def _follow(
        self,
        remote: RemoteCommand,
        follower: OutputFollower,
        is_done: Callable[[RemoteCommand], bool],
    ) -> CommandResult:
        """Look until `is_done` or until the time is over; a transient error only delays a look.

        It also ends when no look has succeeded for GIVE_UP_AFTER seconds.
        """
        for pause in backoff(FIRST_LOOK, LONGEST_PAUSE):
            if is_done(remote) or follower.remaining < MIN_WAIT:
                break
            try:
                await remote.wait(pause)
            except SandboxError as error:
                if not error.retryable:
                    printed = result_of(remote, follower).printed
                    if isinstance(error, SandboxNotFound):
                        raise SandboxDeleted.during(
                            remote.name, "the command ran", printed=printed
                        ) from None
                    if isinstance(error, SessionNotFound):
                        is_internal = remote.session.startswith(INTERNAL_PREFIX)
                        session = "" if is_internal else f" ({remote.session})"
                        raise SessionLost(
                            f"Sandbox '{remote.name}' has lost the session of the command{session},"
                            " which ended with it",
                            printed=printed,
                        ) from None
                    raise error.but(session=remote.session, printed=printed) from None
                follower.read_error = error.reason
                if not await follower.may_retry(error):
                    break
            else:
                follower.read_error = ""
        return result_of(remote, follower)

    async def _last_result(self, name: str, session: str, *, has_pipes: bool) -> CommandResult:
        """Return the status of the command of a session, with the end of its output."""
        follower = self._new_follower(0.0, OutputListener(ignore_progress))
        if not has_pipes:
            remote: RemoteCommand = TerminalCommand(self.sandboxes, name, session, follower)
            await remote.look()
            return result_of(remote, follower)
        piped = PipeCommand(self.sandboxes, name, session, follower)
        await piped.skip_to_end(LAST_LINES)
        await piped.look()
        return result_of(piped, follower)


def _check_positions(after: int, stderr_after: int) -> None:
    advice = "Give 0 or more."
    if after < 0:
        raise InvalidInput(f"after has value {after}", advice=advice)
    if stderr_after < 0:
        raise InvalidInput(f"stderr_after has value {stderr_after}", advice=advice)


async def _close(remote: RemoteCommand, deadline: float = CLOSE_DEADLINE) -> None:
    """End a session and its processes; errors are ignored."""
    with anyio.move_on_after(deadline, shield=True), contextlib.suppress(SandboxError):
        await remote.close()


def _has_ended(remote: RemoteCommand) -> bool:
    return remote.status.has_ended
