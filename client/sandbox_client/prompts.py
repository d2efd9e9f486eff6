"""Commands that outlive the call: started once in a session, followed, collected, cancelled.

A command is started with requests that are answered at once, and followed until it ends: no request
lasts as long as a load balancer's patience, and no silence is taken for an end. It runs with the
runtime's pipe API where the runtime has it, in a session of its own; otherwise, and in a session
that a person names, on the runtime's terminal.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import anyio

from sandbox_client.text import last_line, mask_keys

from .api import pipes, shell
from .api.files import MAX_BODY
from .api.runtime import SIGNALS, CommandStatus, Task, check_session, check_task
from .errors import (
    NOTHING_DONE,
    FileRefused,
    InvalidInput,
    NoSuchAPI,
    SandboxError,
    SessionNotFound,
)
from .execution import payload
from .execution.cancellation import Cancellation
from .execution.follower import FIRST_LOOK, LONGEST_PAUSE, MIN_WAIT, OutputFollower, OutputListener
from .execution.pipes import PipeCommand
from .execution.terminal import TerminalCommand, busy
from .masking import masked
from .output import Output
from .polling import Timing, backoff, periodic_progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
    from typing import Literal

    from .api.message import Reply, Request
    from .api.runtime import SessionRow, Signal
    from .execution.payload import Read
    from .execution.remote_command import RemoteCommand
    from .sandboxes import Sandboxes

DEFAULT_WAIT = 45.0  # seconds
MAX_WAIT = 240.0
LINGER = 2.0  # seconds after the first new output in which more of it is waited for
INTERNAL_DEADLINE = 600.0  # seconds: to hash the files that a person would copy takes less
CLOSE_DEADLINE = 5.0
MAX_SESSIONS_READ = 20  # sessions that a list looks into
SESSIONS_AT_ONCE = 4
PIPES_RETRY_DELAY = 300.0  # seconds after which a runtime without pipes is asked for them again
LAST_LINES = 4_000  # bytes of an ended command's output, for its last line in a list
_OWN_PREFIX = "files-"
_PIPE_PREFIXES = ("command-", _OWN_PREFIX)


@dataclass(frozen=True)
class CommandResult:
    """A command in a session, as it stood when it was looked at last.

    `output` and `errors` are the part that this call has read; on a terminal, standard error is in
    the output. `seconds` is how long this call waited, which is how long the command took where the
    call `started` it; `read_error` says why it could not be looked at, or killed, in the end.
    `was_over` tells of a cancellation that there was nothing left to kill, `signals` which were
    sent.
    """

    name: str
    session: str
    status: CommandStatus
    output: Output = field(default_factory=Output)
    errors: Output | None = None
    api: Literal["pipes", "terminal"] = "pipes"
    seconds: float = 0.0
    read_error: str = ""
    started: bool = False
    was_over: bool = False
    signals: tuple[Signal, ...] = ()
    time_limit: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the command has ended."""
        return self.status.has_ended

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None if the command runs or its end is unknown."""
        return self.status.exit_code

    @property
    def stdout(self) -> str:
        """Standard output as read by this call; on a terminal, with standard error in it."""
        return self.output.text

    @property
    def stderr(self) -> str:
        """Standard error as read by this call."""
        return self.errors.text if self.errors else ""

    @property
    def printed(self) -> str:
        """The output that was read, standard error after standard output."""
        return self.stdout + self.stderr


class Session(NamedTuple):
    """A session of a sandbox, and how its last command stands, if that could be read."""

    row: SessionRow
    last: CommandResult | None


def _new_session(kind: Literal["command", "prompt"]) -> str:
    return f"{kind}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Prompts:
    """Run commands in the sessions of `sandboxes`, with new ids for sessions and marks for runs.

    The kind of an id is `command` for the pipe API and `prompt` for the terminal.
    """

    sandboxes: Sandboxes
    timing: Timing = field(default_factory=Timing)
    new_id: Callable[[Literal["command", "prompt"]], str] = _new_session
    new_mark: Callable[[], str] = lambda: f"run-{secrets.token_hex(4)}"
    _starting: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]], repr=False)

    @property
    def _secret(self) -> str:
        return self.sandboxes.proxy.config.api_key

    async def send(
        self,
        name: str,
        command: str,
        *,
        session: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Read | None = None,
        time_limit: float | None = None,
        wait_seconds: float | None = DEFAULT_WAIT,
        listener: OutputListener,
    ) -> CommandResult:
        """Start a shell command once and wait for its end, for ever where there is no limit.

        It runs in a new session, or in the terminal session of that id, which is made if need be.
        `stdin` is read to its end before the command starts; without it, standard input is empty.
        After `time_limit` seconds the command is killed.

        Raises:
            SessionBusy: the session runs another command.
            CommandStateUnknown: nothing says whether it was started; the message names the session.
        """
        task = Task(command, env=env or {}, time_limit=time_limit)
        check_task(task)
        if session is not None:
            _check_own_session(session, time_limit)
        follower = self._new_follower(wait_seconds, listener)
        follower.activity = "starting the command"
        async with periodic_progress(follower.report):
            with self._alone(name, session):
                remote = await self._opened(name, session, follower)
                try:
                    task = await self._prepared(remote, task, stdin, follower)
                except BaseException:
                    if session is None:
                        await _close(remote)  # nothing has run in it
                    raise
                follower.on_session(remote.session)
                await self._start(remote, task)
            prompt = await self._follow(remote, follower, _has_ended)
        return replace(prompt, started=True, time_limit=time_limit)

    async def run_internal(
        self, name: str, command: str, *, directory: str | None = None
    ) -> CommandResult:
        """Run a command of the client's own once, and end its session; mask nothing."""
        session = f"{_OWN_PREFIX}{secrets.token_hex(4)}"
        follower = OutputFollower(self.timing, INTERNAL_DEADLINE, OutputListener(_tell_nobody))
        remote: RemoteCommand | None = None
        try:
            async with periodic_progress(follower.report):
                remote = await self._opened(name, None, follower, new_id=session)
                await self._start(remote, Task(command, directory, is_internal=True))
                return await self._follow(remote, follower, _has_ended)
        finally:
            if remote is not None:
                await _close(remote)  # with the command, if it still runs: the caller may clean up

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
        """Wait until there is more output than up to these positions, or until the end.

        Where it was waited for, wait for what follows it within LINGER, too.

        Raises:
            SessionNotFound: the sandbox has no such session, or has it no more.
        """
        for position in (after, stderr_after):
            if position < 0:
                raise InvalidInput(
                    f"after has value {position}", advice="Give 0 or more characters."
                )
        follower = self._new_follower(wait_seconds, listener)

        def is_enough(remote: RemoteCommand) -> bool:
            return _has_ended(remote) or (not to_end and follower.has_output)

        async with periodic_progress(follower.report):
            remote = await self._found(
                name,
                session,
                follower,
                after=after,
                stderr_after=stderr_after,
                look=lambda remote: remote.look(remote.first_deadline),
            )
            was_heard = follower.has_output
            prompt = await self._follow(remote, follower, is_enough)
            if not to_end and not was_heard and follower.has_output:
                follower.wait_for(min(LINGER, follower.remaining))
                prompt = await self._follow(remote, follower, _has_ended)
        return prompt

    async def sessions(self, name: str) -> list[Session]:
        """Return the sessions of a sandbox, the last used first, with how their commands stand."""
        piped = await self._piped_sessions(name)
        reply = await self._ask(shell.list_sessions(name))
        rows = [(row, True) for row in piped]
        rows += [(row, False) for row in shell.read_sessions(reply)]
        rows.sort(key=lambda each: each[0].used_at, reverse=True)
        seen: dict[str, CommandResult] = {}
        few = anyio.CapacityLimiter(SESSIONS_AT_ONCE)  # each may be a whole output

        async def look(row: SessionRow, has_pipes: bool) -> None:
            # Ended since, or one that cannot be asked for.
            async with few:
                with contextlib.suppress(SandboxError):
                    last = await self._last_of(name, row.id, has_pipes=has_pipes)
                    seen[row.id] = self._masked(last)

        async with anyio.create_task_group() as tasks:
            for row, has_pipes in rows[:MAX_SESSIONS_READ]:
                tasks.start_soon(look, row, has_pipes)
        return [
            Session(replace(row, command=mask_keys(row.command)), seen.get(row.id))
            for row, _ in rows
        ]

    async def cancel(
        self,
        name: str,
        session: str,
        *,
        signals: Sequence[Signal] = SIGNALS,
        listener: OutputListener,
    ) -> CommandResult:
        """Send signals in turn to the command that runs in a session, until one has ended it.

        Raises:
            SessionNotFound: the sandbox has no such session, or has it no more.
            SandboxError: no signal was answered, and the command was not seen to end.
        """
        follower = self._new_follower(0.0, listener)
        async with periodic_progress(follower.report):
            remote = await self._found(
                name, session, follower, look=lambda remote: Cancellation(remote, follower).look()
            )
            cancellation = Cancellation(remote, follower)
            try:
                await cancellation.run(signals)
            except SandboxError as error:
                printed = self._prompt(remote, follower).printed
                raise error.but(session=session, printed=printed) from None
        sent = tuple(cancellation.sent)
        prompt = replace(self._prompt(remote, follower), read_error=cancellation.read_error)
        return replace(prompt, signals=sent, was_over=not sent)

    def _new_follower(self, limit: float | None, listener: OutputListener) -> OutputFollower:
        return OutputFollower(self.timing, limit, listener, secret=self._secret)

    def _may_have_pipes(self, name: str) -> bool:
        """Tell whether to ask for pipes: their lack is known for a while, as images change."""
        asked_at = self.sandboxes.without_pipes.get(name)
        return asked_at is None or self.timing.clock() - asked_at >= PIPES_RETRY_DELAY

    def _note_without_pipes(self, name: str) -> None:
        self.sandboxes.without_pipes[name] = self.timing.clock()

    @contextlib.contextmanager
    def _alone(self, name: str, session: str | None) -> Generator[None]:
        """Keep this client's other commands out, from looking whether it is free until it is not.

        Raises:
            SessionBusy: one of them is being started there.
        """
        if not session:
            yield
            return
        place = name, session
        if place in self._starting:
            raise busy(name, session, "another command")
        self._starting.add(place)
        try:
            yield
        finally:
            self._starting.remove(place)

    async def _opened(
        self, name: str, session: str | None, follower: OutputFollower, *, new_id: str = ""
    ) -> RemoteCommand:
        """Return a command that can be started: with pipes, if that can be and no one named it."""
        if not session and self._may_have_pipes(name):
            piped = PipeCommand(self.sandboxes, name, new_id or self.new_id("command"), follower)
            try:
                await piped.open()
            except NoSuchAPI:
                self._note_without_pipes(name)
            else:
                return piped
        remote = TerminalCommand(
            self.sandboxes,
            name,
            session or new_id or self.new_id("prompt"),
            follower,
            mark=self.new_mark() if session else "",
        )
        await remote.open()
        return remote

    async def _prepared(
        self, remote: RemoteCommand, task: Task, stdin: Read | None, follower: OutputFollower
    ) -> Task:
        """Return the task after sending its standard input, if any, and a long command ahead of it.

        Its variables go with them: on a terminal, so that they are on no command line; with pipes,
        since the shell that reads a payload has to have its own.
        """
        is_long = len(json.dumps(remote.execute_request(task).body)) > MAX_BODY
        exports = bool(task.env) and (remote.api == "terminal" or is_long or stdin is not None)
        if stdin is None and not exports and not is_long:
            return task

        sent = await payload.upload(
            self.sandboxes.proxy,
            remote.name,
            task,
            stdin=stdin,
            exports=exports,
            run=lambda it: self._run_quietly(remote.name, it),
            follower=follower,
        )
        return replace(task, payload=sent, env={} if exports else task.env)

    async def _run_quietly(self, name: str, command: str) -> None:
        """Run a command of the client's own that has to succeed.

        Raises:
            FileRefused: it does not.
        """
        prompt = await self.run_internal(name, command)
        if (prompt.status.state, prompt.status.exit_code) != ("completed", 0):
            printed = masked(prompt.printed, self._secret)
            said = last_line(printed) or f"it {prompt.status.state}"
            raise FileRefused(
                f"Sandbox '{name}' has no place for the command's files: {said}",
                advice="Look with {run} at the home directory there and the room on its disk.",
            )

    async def _start(self, remote: RemoteCommand, task: Task) -> None:
        """Start a command; once it is on its way, nothing else has a turn until it is known."""
        with anyio.CancelScope(shield=True):
            try:
                await remote.start(task)
            except NOTHING_DONE:
                if task.payload is not None:
                    await payload.remove(
                        task.payload, lambda it: self._run_quietly(remote.name, it)
                    )
                raise

    async def _found(
        self,
        name: str,
        session: str,
        follower: OutputFollower,
        *,
        after: int = 0,
        stderr_after: int = 0,
        look: Callable[[RemoteCommand], Awaitable[None]],
    ) -> RemoteCommand:
        """Return the command of a session, which may belong to either API, after a first `look`."""
        piped = PipeCommand(
            self.sandboxes, name, session, follower, after=after, stderr_after=stderr_after
        )
        candidates: list[RemoteCommand] = [
            TerminalCommand(self.sandboxes, name, session, follower, after=after)
        ]
        is_of_pipes = session.startswith(_PIPE_PREFIXES)
        has_pipes = self._may_have_pipes(name)
        if is_of_pipes or has_pipes:
            candidates.insert(0 if is_of_pipes and has_pipes else 1, piped)
        gone: SandboxError | None = None
        for remote in candidates:
            try:
                await look(remote)
            except SessionNotFound as error:
                gone = gone or error
            except NoSuchAPI as error:
                if remote is not piped:
                    raise
                self._note_without_pipes(name)
                gone = gone or error
            else:
                return remote
        raise (
            gone
            if isinstance(gone, SessionNotFound)
            else SessionNotFound(f"Sandbox '{name}' has no such session: {session}")
        )

    async def _follow(
        self,
        remote: RemoteCommand,
        follower: OutputFollower,
        is_enough: Callable[[RemoteCommand], bool],
    ) -> CommandResult:
        """Wait until it is enough or the time is over; a passing fault only delays the news."""
        for pause in backoff(FIRST_LOOK, LONGEST_PAUSE):
            if is_enough(remote) or follower.remaining < MIN_WAIT:
                break
            try:
                await remote.wait(pause)
            except SandboxError as error:
                if not error.retryable:
                    printed = self._prompt(remote, follower).printed
                    raise error.but(session=remote.session, printed=printed) from None
                follower.read_error = error.message
            else:
                follower.read_error = ""
        return self._prompt(remote, follower)

    def _prompt(self, remote: RemoteCommand, follower: OutputFollower) -> CommandResult:
        return CommandResult(
            remote.name,
            remote.session,
            remote.status,
            remote.output,
            remote.errors,
            remote.api,
            follower.elapsed,
            follower.read_error,
        )

    def _masked(self, prompt: CommandResult) -> CommandResult:
        """Return a command without the key in its command line."""
        command = mask_keys(prompt.status.command)  # which may be cut within the key
        return replace(prompt, status=replace(prompt.status, command=command))

    async def _piped_sessions(self, name: str) -> list[SessionRow]:
        if not self._may_have_pipes(name):
            return []
        try:
            reply = await self._ask(pipes.list_sessions(name))
        except NoSuchAPI:
            self._note_without_pipes(name)
            return []
        return pipes.read_sessions(reply)

    async def _last_of(self, name: str, session: str, *, has_pipes: bool) -> CommandResult:
        """Return how the command of a session stands, with the end of its output."""
        follower = self._new_follower(0.0, OutputListener(_tell_nobody))
        if not has_pipes:
            remote: RemoteCommand = TerminalCommand(self.sandboxes, name, session, follower)
            await remote.look()
            return self._prompt(remote, follower)
        piped = PipeCommand(self.sandboxes, name, session, follower)
        await piped.skip_to_end(LAST_LINES)
        await piped.look()
        return self._prompt(piped, follower)

    async def _ask(self, request: Request) -> Reply:
        try:
            return await self.sandboxes.proxy.send(request)
        except SandboxError as error:
            raise await self.sandboxes.explain_failure(
                request.sandbox, error, not_done="its commands cannot be read"
            ) from None


async def _tell_nobody(elapsed: float, limit: float | None, reason: str) -> None:
    """Do nothing."""


def _check_own_session(session: str, time_limit: float | None) -> None:
    """Refuse what a session of a person's own cannot be.

    Raises:
        InvalidInput: its id cannot be one, or it was given with a time limit.
    """
    check_session(session)
    if session.startswith(_PIPE_PREFIXES):
        raise InvalidInput(
            f"'{session}' is the id of a session that runs one command alone",
            advice="Give an id that does not begin with command- or files-, or leave it out.",
        )
    if time_limit is not None:
        raise InvalidInput(
            f"A time limit was given with session '{session}'",
            advice="Leave one of them out: a shell that stays has no time limit.",
        )


async def _close(remote: RemoteCommand) -> None:
    """End a session of the client's own, if that can be."""
    with anyio.move_on_after(CLOSE_DEADLINE, shield=True), contextlib.suppress(SandboxError):
        await remote.close()


def _has_ended(remote: RemoteCommand) -> bool:
    return remote.status.has_ended
