"""Commands that outlive the call: started once in a session, followed, collected, cancelled.

The session has an id of the client's own and is there before the command is sent, so whatever
happens to a connection or to this process, the id leads to what the command does. A command is
started with requests that are answered at once, and looked at until it ends: no request lasts as
long as a load balancer's patience, and no silence is taken for an end.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio

from . import _shell_wire
from ._errors import (
    NOTHING_DONE,
    BrokenReply,
    CommandLost,
    InvalidInput,
    SandboxError,
    SessionBusy,
)
from ._excerpt import one_line
from ._shown import mask
from ._waiting import Timing, reporting
from ._watch import INSTANT, Audience, Watch, pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ._message import Reply, Request
    from ._sandboxes import Sandboxes
    from ._shell_wire import SessionRow, Snapshot
    from ._waiting import Report

DEFAULT_WAIT = 45.0  # seconds
MAX_WAIT = 240.0
ACCEPT_DEADLINE = 10.0  # seconds in which a runtime says that it has started a command
ARRIVAL_DEADLINE = 10.0  # seconds in which a command shows whose answer was lost
KILL_DEADLINE = 15.0
LOOK_DEADLINE = 5.0  # seconds beyond the end of a wait that a look may take
FIRST_LOOK_DEADLINE = 30.0  # seconds at least, for an output of megabytes on a slow line
MAX_VIEWED = 20  # sessions that a list looks into
VIEWED_AT_ONCE = 4
MAX_EFFORT = 5.0  # seconds between looks, however long one took
KILLS = 3
CUT_LENGTH = 20_000  # characters of an answer that may have been cut


@dataclass(frozen=True)
class Run:
    """A command in a session: by its `mark` in one that has others, else by being the only one."""

    name: str
    session: str
    mark: str = ""


@dataclass(frozen=True)
class Prompt:
    """A command in a session, as it stood when it was looked at last.

    `seconds` is how long this call waited, which is how long the command took where the call
    `started` it; `unseen` says why it could not be looked at, or killed, in the end. `was_over`
    tells of a cancellation that there was nothing left to kill.
    """

    name: str
    session: str
    seen: Snapshot
    seconds: float = 0.0
    unseen: str = ""
    started: bool = False
    was_over: bool = False


@dataclass(frozen=True)
class Prompts:
    """Run commands in the sessions of `sandboxes`, with new ids for sessions and marks for runs."""

    sandboxes: Sandboxes
    timing: Timing = field(default_factory=Timing)
    new_id: Callable[[], str] = lambda: f"prompt-{secrets.token_hex(4)}"
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
        directory: str | None = None,
        wait_seconds: float | None = DEFAULT_WAIT,
        audience: Audience,
    ) -> Prompt:
        """Start a shell command once and wait for its end, for ever where there is no limit.

        It runs in a new session, or in the one of that id, which is made if need be; and in the
        session's directory, or in the one that is named and has to be there.

        Raises:
            SessionBusy: the session runs another command.
            CommandLost: nothing says whether it was started; the message names the session.
        """
        run = Run(name, session or self.new_id(), self.new_mark() if session else "")
        request = _shell_wire.execute(
            name, run.session, command, mark=run.mark, directory=directory
        )
        watch = Watch(self.timing, wait_seconds, audience, secret=self._secret)
        async with reporting(watch.tell):
            with self._alone(run):
                await self._open(run)
                audience.opened(run.session)
                # Once it is on its way, it is known whether it runs before anybody else has a turn.
                with anyio.CancelScope(shield=True):
                    watch.see(await self._start(request, run))
            return replace(await self._follow(run, watch, _has_ended), started=True)

    async def output(
        self,
        name: str,
        session: str,
        *,
        after: int = 0,
        wait_seconds: float | None = DEFAULT_WAIT,
        to_end: bool = False,
        audience: Audience,
    ) -> Prompt:
        """Wait until there is more than `after` characters of output, or until the end.

        Raises:
            SessionGone: the sandbox has no such session, or has it no more.
        """
        if after < 0:
            raise InvalidInput(f"after has value {after}", advice="Give 0 or more characters.")
        watch = Watch(self.timing, wait_seconds, audience, secret=self._secret, heard=after)

        def is_enough(seen: Snapshot) -> bool:
            return _has_ended(seen) or (not to_end and len(seen.output) > after)

        run = Run(name, session)
        async with reporting(watch.tell):
            watch.see(await self._first_look(run, watch))
            return await self._follow(run, watch, is_enough)

    async def sessions(self, name: str) -> list[tuple[SessionRow, Snapshot | None]]:
        """Return what runs and what ended in a sandbox, the last used first, where it was seen."""
        reply = await self._ask(_shell_wire.list_sessions(name))
        rows = _shell_wire.read_sessions(reply)
        seen: dict[str, Snapshot] = {}
        few = anyio.CapacityLimiter(VIEWED_AT_ONCE)  # each is a whole output

        async def look(session: str) -> None:
            # Ended since, or one that cannot be asked for.
            async with few:
                with contextlib.suppress(SandboxError):
                    last = await self._look(Run(name, session))
                    seen[session] = replace(last, output=mask(last.output, self._secret))

        async with anyio.create_task_group() as tasks:
            for row in rows[:MAX_VIEWED]:
                tasks.start_soon(look, row.id)
        return [(row, seen.get(row.id)) for row in rows]

    async def cancel(self, name: str, session: str, *, report: Report) -> Prompt:
        """Kill the command that runs in a session and return what it had printed.

        Raises:
            SessionGone: the sandbox has no such session, or has it no more.
        """
        run = Run(name, session)
        watch = Watch(self.timing, KILL_DEADLINE, Audience(report), secret=self._secret)
        async with reporting(watch.tell):
            watch.see(await self._first_look(run, watch))
            if _has_ended(watch.seen):
                return Prompt(name, session, watch.seen, was_over=True)
            lost = await self._kill(run, watch)
            prompt = await self._follow(run, watch, _has_ended)
        is_alive = not _has_ended(prompt.seen)
        return replace(prompt, unseen=lost) if is_alive and lost else prompt

    async def end(self, name: str, session: str) -> None:
        """End a session with all that runs in it."""
        await self.sandboxes.proxy.send(_shell_wire.end_session(name, session))

    @contextlib.contextmanager
    def _alone(self, run: Run) -> Generator[None]:
        """Keep this client's other commands out, from looking whether it is free until it is not.

        Raises:
            SessionBusy: one of them is being started there.
        """
        place = run.name, run.session
        if place in self._starting:
            raise _busy(run, "another command")
        self._starting.add(place)
        try:
            yield
        finally:
            self._starting.remove(place)

    async def _open(self, run: Run) -> None:
        """Have a session in which nothing runs.

        Raises:
            SessionBusy: it runs a command.
        """
        opened = await self._ask(_shell_wire.open_session(run.name, run.session))
        _shell_wire.read_done(opened)
        if run.mark:  # it may have been there
            seen = await self._look(Run(run.name, run.session))
            if seen.state == "running":
                raise _busy(run, repr(one_line(seen.command)))

    async def _start(self, request: Request, run: Run) -> Snapshot:
        """Send the command once; where the answer is lost, look whether it was started."""
        try:
            reply = await self.sandboxes.proxy.send(request, deadline=ACCEPT_DEADLINE)
        except NOTHING_DONE as error:
            raise await self.sandboxes.diagnosis(
                request.sandbox, error, undone="the command was not run"
            ) from None
        except SandboxError as error:
            return await self._arrived(run, error)
        try:
            seen = _shell_wire.read_executed(reply)
        except BrokenReply as error:
            return await self._arrived(run, error)
        if len(seen.output) < CUT_LENGTH:
            return seen
        with contextlib.suppress(SandboxError):
            return await self._look(run)  # which cuts nothing
        return seen

    async def _arrived(self, run: Run, lost: SandboxError) -> Snapshot:
        """Return the command once the session shows it, whose answer was lost.

        Raises:
            CommandLost: it does not.
        """
        start = self.timing.clock()
        seen: Snapshot | None = None
        for pause in pauses():
            try:
                seen = await self._look(run, LOOK_DEADLINE, sent=True)
            except SandboxError as error:
                if not error.retryable:
                    raise _in_session(error, run) from None
            if seen is not None and seen.state != "empty":
                return seen
            if self.timing.clock() - start >= ARRIVAL_DEADLINE:
                break
            await self.timing.sleep(pause)
        found = "cannot be looked at" if seen is None else "shows no sign of it"
        raise CommandLost(
            f"The command was sent, its answer was lost ({lost.message}), and session"
            f" '{run.session}' {found}",
            advice=f"It may still be run: look with {{output}} for session '{run.session}' before"
            " you send it again.",
        )

    async def _follow(
        self, run: Run, watch: Watch, is_enough: Callable[[Snapshot], bool]
    ) -> Prompt:
        """Look until it is enough or the time is over; what passes only delays the next look."""
        effort = 0.0
        for pause in pauses():
            if is_enough(watch.seen) or watch.left < INSTANT:
                break
            await self.timing.sleep(min(max(pause, effort), watch.left))
            began = self.timing.clock()
            try:
                deadline = watch.left + LOOK_DEADLINE
                watch.see(await self._look(run, deadline, sent=True))
            except SandboxError as error:
                if not error.retryable:
                    error.printed = mask(watch.seen.output, self._secret)
                    raise _in_session(error, run) from None
                watch.unseen, effort = error.message, 0.0
            else:
                # A long output is a long reply: looking takes a tenth of the time, within reason.
                watch.unseen, effort = "", min(9 * (self.timing.clock() - began), MAX_EFFORT)
        return Prompt(run.name, run.session, watch.seen, watch.elapsed, watch.unseen)

    async def _first_look(self, run: Run, watch: Watch) -> Snapshot:
        return await self._look(run, max(watch.left + LOOK_DEADLINE, FIRST_LOOK_DEADLINE))

    async def _look(
        self, run: Run, deadline: float | None = None, *, sent: bool = False
    ) -> Snapshot:
        request = _shell_wire.view(run.name, run.session)
        reply = await self._ask(request, sent=sent, deadline=deadline)
        return _shell_wire.read_view(reply, run.mark)

    async def _kill(self, run: Run, watch: Watch) -> str:
        """Kill the command, again where that is lost; return why the last answer was, if it was."""
        lost = ""
        for _ in range(KILLS):
            try:
                await self.sandboxes.proxy.send(_shell_wire.kill(run.name, run.session))
                lost = ""
            except NOTHING_DONE:
                raise
            except SandboxError as error:
                lost = error.message
            before = watch.seen.command
            watch.see(await self._look(run))
            if not lost or _has_ended(watch.seen) or watch.seen.command != before:
                break
        return lost

    async def _ask(
        self, request: Request, *, sent: bool = False, deadline: float | None = None
    ) -> Reply:
        """Send what a session is asked; `sent` tells whether a command may have been started."""
        undone = "nothing can be looked at"
        if request.operation == "open session":
            undone = "the command was not run"
        try:
            return await self.sandboxes.proxy.send(request, deadline=deadline)
        except SandboxError as error:
            raise await self.sandboxes.diagnosis(
                request.sandbox, error, undone="" if sent else undone
            ) from None


def _has_ended(seen: Snapshot) -> bool:
    return seen.state != "running"


def _busy(run: Run, command: str) -> SessionBusy:
    return SessionBusy(
        f"Session '{run.session}' of sandbox '{run.name}' runs {command}; this one was not run"
    )


def _in_session(error: SandboxError, run: Run) -> SandboxError:
    """Return the error with the handle that the person may still need."""
    error.advice = f"{error.advice} The command's session is '{run.session}'."
    return error
