"""What runs in the sandboxes of the user, and which of them are idle.

The runtime reports when a session was opened and last used, and which command runs, but not when a
command has ended: that is noted in the sandbox (`note_end`). A session of the pipe API is forgotten
an hour after that; one of a terminal is kept until the sandbox is paused.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import anyio

from .api.accounts import parse_time
from .api.sandboxes import WORK, State
from .errors import SandboxError
from .execution.remote_command import INTERNAL_PREFIX
from .listing import CLOCK_TOLERANCE, Row, format_age, time_since
from .polling import periodic_progress
from .text import as_word, join_names, last_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from typing import TypeVar

    from .api.ends import CommandEnd
    from .api.runtime import SessionRow
    from .execution.result import Session
    from .polling import ProgressCallback
    from .prompts import Prompts
    from .sandboxes import Sandboxes

    T = TypeVar("T")

SANDBOXES_AT_ONCE = 8
READ_DEADLINE = 20.0  # seconds for the commands of one sandbox
LOOK_FOR = 10.0  # of them, for the commands of its sessions
ENDS_DEADLINE = 5.0  # seconds to read when commands have ended
MAX_NAMES = 3  # of sandboxes in a progress report
MAX_COMMANDS = 10  # of a sandbox, for which the end and the last line are read
PIPES_KEPT = timedelta(hours=1)  # after the last use of a session and the end of its command
START_MARKS = ("/etc/hosts", '"$HOME"')  # are written when a pod starts
FIND_LIMIT = 10  # seconds to look for changed files
_OWN_SESSION = re.compile(r"(command|prompt)-[0-9a-f]+")
_STARTED = re.compile(r"^started (-?\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class SandboxCommand:
    """The last command of a session.

    `state` is `running`, `completed`, `killed`, `timed_out`, or `ended` if more is not known.
    `started_at` is empty, and `age`, the time since then, None if the session may have run another
    command before. `ran` is how long it has run, None if that is not known.
    """

    session: str
    state: str
    command: str
    exit_code: int | None
    started_at: str
    age: timedelta | None
    ran: timedelta | None
    last_line: str


@dataclass(frozen=True)
class SandboxCommands:
    """The commands of a sandbox, those that run first; `reason` says why they are not known."""

    row: Row
    commands: tuple[SandboxCommand, ...] = ()
    reason: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether the sandbox is ready and no command runs in it."""
        is_running = any(each.state == "running" for each in self.commands)
        return self.row.state is State.READY and not self.reason and not is_running


@dataclass(frozen=True)
class IdleSandbox:
    """A ready sandbox; with a `reason`, it is not to be paused.

    Without one, `idle` is the time since the last use that is known, which `last_use` names.
    """

    row: Row
    idle: timedelta | None = None
    reason: str = ""
    last_use: str = ""


@dataclass(frozen=True)
class Activity:
    """The commands in all sandboxes."""

    sandboxes: Sandboxes
    prompts: Prompts

    async def commands(self, *, report: ProgressCallback) -> list[SandboxCommands]:
        """Return the commands of each sandbox, the newest sandbox first.

        A sandbox whose commands cannot be read within READ_DEADLINE has a `reason`.
        """

        async def read(row: Row, now: datetime | None) -> SandboxCommands:
            if row.state is State.UNKNOWN:
                return SandboxCommands(row, reason=row.reason)
            if row.state is not State.READY:
                return SandboxCommands(row)
            try:
                with anyio.fail_after(READ_DEADLINE):
                    sessions = await self.prompts.sessions(
                        row.sandbox.name, most=MAX_COMMANDS, look_for=LOOK_FOR
                    )
            except (SandboxError, TimeoutError) as error:
                return SandboxCommands(row, reason=_why_unread(error))
            ends = await self._ends(row.sandbox.name, [each.row for each in sessions], now)
            listed = [_command_of(each, now, ends) for each in sessions]
            commands = [each for each in listed if each.state != "empty"]
            commands.sort(key=lambda each: each.state != "running")
            return SandboxCommands(row, tuple(commands))

        return await self._read_each(read, report)

    async def _ends(
        self, name: str, rows: Sequence[SessionRow], now: datetime | None
    ) -> dict[str, CommandEnd]:
        """Return the ends of the commands of sessions that run none, as far as they are known.

        The sandbox is not trusted: ends that cannot be true are left out.
        """
        ended = {each.id: each for each in rows if not each.running and _has_one_command(each)}
        if not ended or now is None:
            return {}
        with contextlib.suppress(SandboxError), anyio.move_on_after(ENDS_DEADLINE):
            ends = await self.prompts.ends(name)
            return {
                session: end
                for session, end in ends.items()
                if session in ended and _is_possible(end, ended[session], now)
            }
        return {}

    async def idle(
        self, longer_than: timedelta, *, names: Sequence[str] = (), report: ProgressCallback
    ) -> list[IdleSandbox]:
        """Return the ready sandboxes, or those with these names, and how long each is idle.

        Those that are not known to be idle for `longer_than` have a `reason`.
        """

        async def look(row: Row, now: datetime | None) -> IdleSandbox | None:
            if row.state not in {State.READY, State.UNKNOWN}:
                return None
            try:
                with anyio.fail_after(READ_DEADLINE):
                    return await self._idle_of(row, now, longer_than)
            except (SandboxError, TimeoutError) as error:
                why = _why_unread(error)
                return IdleSandbox(row, reason=f"its commands or files cannot be read: {why}")

        found = await self._read_each(look, report, names)
        return [each for each in found if each is not None]

    async def _read_each(
        self,
        read: Callable[[Row, datetime | None], Awaitable[T]],
        report: ProgressCallback,
        names: Sequence[str] = (),
    ) -> list[T]:
        """Return the result of `read` for each sandbox; SANDBOXES_AT_ONCE are read at a time."""
        clock = self.sandboxes.timing.clock
        start, rows, now = clock(), list[Row](), None
        found: dict[int, T] = {}
        limiter = anyio.CapacityLimiter(SANDBOXES_AT_ONCE)

        async def read_one(number: int, row: Row, now: datetime | None) -> None:
            async with limiter:
                found[number] = await read(row, now)

        async def report_progress() -> None:
            left = [row.sandbox.name for number, row in enumerate(rows) if number not in found]
            awaited = join_names(left, MAX_NAMES)
            activity = f"reading the commands of {awaited}" if left else "listing the sandboxes"
            await report(clock() - start, None, activity)

        async with periodic_progress(report_progress):
            rows, now = await self.sandboxes.list_at(names)
            async with anyio.create_task_group() as tasks:
                for number, row in enumerate(rows):
                    tasks.start_soon(read_one, number, row, now)
        return [found[number] for number in range(len(rows))]

    async def _idle_of(self, row: Row, now: datetime | None, longer_than: timedelta) -> IdleSandbox:
        if row.state is State.UNKNOWN:
            return IdleSandbox(row, reason=f"its state is not known: {row.reason}")
        rows = await self.prompts.rows(row.sandbox.name)
        if running := [each.id for each in rows if each.running]:
            return IdleSandbox(row, reason=_describe_running(running))
        ends = await self._ends(row.sandbox.name, rows, now)
        used = _last_use(row, rows, ends)
        if now is None or used is None:
            return IdleSandbox(row, reason="it is not known when it was last used")
        idle = max(now - used.at, timedelta())
        if any(_has_ended_unseen(each, now) for each in rows if each.id not in ends):
            return IdleSandbox(row, reason="a long command has ended there within the last hour")
        last_use = f"{used.kind} {format_age(idle)} ago"
        if idle < longer_than:
            return IdleSandbox(row, reason=last_use)
        return await self._idle_by_files(IdleSandbox(row, idle, last_use=last_use), longer_than)

    async def _idle_by_files(self, found: IdleSandbox, longer_than: timedelta) -> IdleSandbox:
        """Look at the files: a resume, a copy and an agent at work leave no session."""
        row, minutes = found.row, _minutes(longer_than)
        result = await self.prompts.run_internal(
            row.sandbox.name, files_script(minutes), directory=WORK
        )
        started_at, words = _STARTED.search(result.printed), result.printed.splitlines()
        if result.exit_code != 0 or started_at is None:
            return IdleSandbox(row, reason="it is not known when it was started")
        started = timedelta(seconds=max(int(started_at[1]), 0))
        start = f"it was started, or its home was changed, {format_age(started)} ago"
        if started < longer_than:
            return IdleSandbox(row, reason=start)
        if "changed" in words:
            why = f"files in {WORK} were changed within the last {minutes} min"
            return IdleSandbox(row, reason=why)
        if "unread" in words:
            why = f"the files in {WORK} could not all be looked at within {FIND_LIMIT} s"
            return IdleSandbox(row, reason=why)
        is_later = found.idle is not None and started < found.idle
        return IdleSandbox(row, started, last_use=start) if is_later else found


def _minutes(time: timedelta) -> int:
    return int(time.total_seconds() // 60)


def files_script(minutes: int) -> str:
    """Return a script for WORK: it prints the seconds since the start, and if files were changed.

    It prints `unread` if the look at the files was ended by its limit, or could not begin.
    """
    marks = " ".join(START_MARKS)
    find = f"timeout {FIND_LIMIT} find . -type f -mmin -{minutes} -print -quit"
    return (
        f"s=0; for f in {marks}; do t=$(stat -c %Y $f) && [ $t -gt $s ] && s=$t; done 2>/dev/null;"
        f" [ $s -gt 0 ] && echo started $(($(date +%s) - s)); f=$({find} 2>/dev/null);"
        ' [ $? -lt 124 ] || echo unread; [ "$f" ] && echo changed; true'
    )


def _why_unread(error: SandboxError | TimeoutError) -> str:
    if isinstance(error, SandboxError):
        return error.message
    return f"it did not answer within {READ_DEADLINE:.0f} s"


def _describe_running(sessions: Sequence[str]) -> str:
    own = [each for each in sessions if not each.startswith(INTERNAL_PREFIX)]
    if own:
        return f"a command runs there: {as_word(own[0])}"
    return "a script of remote-sandbox runs there, such as that of a copy"


class _Use(NamedTuple):
    """A use of a sandbox that is known: its time, and the words for it."""

    at: datetime
    kind: str


def _last_use(row: Row, rows: Sequence[SessionRow], ends: Mapping[str, CommandEnd]) -> _Use | None:
    """Return the last of these: the creation of the sandbox, a use of a session, a command's end.

    It is None if one of the first two is unknown. The runtime forgets sessions, in a pause all of
    them.
    """
    times = [("it was created", row.sandbox.created_at)]
    times += [("a session was last used", each.used_at or each.created_at) for each in rows]
    uses: list[_Use] = []
    for kind, text in times:
        if (at := parse_time(text)) is None:
            return None
        uses.append(_Use(at, kind))
    uses += [_Use(end.at, "a command ended") for end in ends.values()]
    return max(uses)


def _has_ended_unseen(row: SessionRow, now: datetime) -> bool:
    """Return whether the command of a session has ended long after the session was last used.

    The runtime forgets a session of the pipe API PIPES_KEPT after both.
    """
    used_at = parse_time(row.used_at)
    is_of_pipes = row.id.startswith("command-")
    return is_of_pipes and used_at is not None and now - used_at > PIPES_KEPT


def _has_one_command(row: SessionRow) -> bool:
    return _OWN_SESSION.fullmatch(row.id) is not None


def _is_possible(end: CommandEnd, row: SessionRow, now: datetime) -> bool:
    age = time_since(row.created_at, now)
    return (
        age is not None
        and end.ran <= age + CLOCK_TOLERANCE
        and -CLOCK_TOLERANCE <= now - end.at <= age + CLOCK_TOLERANCE
    )


def _command_of(
    session: Session, now: datetime | None, ends: Mapping[str, CommandEnd]
) -> SandboxCommand:
    row, last = session
    state = last.status.state if last else "running" if row.running else "ended"
    is_only = _has_one_command(row)
    age = time_since(row.created_at, now) if is_only else None
    if age is not None:  # the clock of the sandbox may be ahead
        age = max(age, timedelta())
    end = ends.get(row.id)
    ended_after = end.ran if end is not None else None
    return SandboxCommand(
        session=row.id,
        state="ended" if state == "unknown" else state,
        command=last.status.command if last and last.status.command else row.command,
        exit_code=last.status.exit_code if last else None,
        started_at=row.created_at if is_only else "",
        age=age,
        ran=age if state == "running" else ended_after,
        last_line=last_line(last.printed) if last else "",
    )
