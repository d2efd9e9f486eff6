"""The commands about all sandboxes: ps lists their commands, pause also pauses idle ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, NamedTuple

import anyio
from rich.cells import cell_len
from rich.text import Text

from sandbox_client.activity import SANDBOXES_AT_ONCE
from sandbox_client.client import Client
from sandbox_client.errors import NOTHING_DONE, InvalidInput, SandboxError
from sandbox_client.listing import format_age
from sandbox_client.presentation.commands import activity_content, idle_content
from sandbox_client.presentation.sandboxes import (
    MAX_SANDBOXES,
    describe_unseen_pause,
    pause_content,
    pause_error,
)
from sandbox_client.text import as_word, format_left_out, join_names, one_line

from .command import FAILED, NOT_READY, OK, Argument, Limit, command, duration
from .console import Console
from .prompting import terminal_prompter
from .sandboxes import MAX_NAMES, OTHER_COLOUR, STATE_COLOURS, show_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client.activity import IdleSandbox, SandboxCommand, SandboxCommands
    from sandbox_client.readiness import WaitResult

MAX_SHOWN = 10  # commands of a sandbox
MIN_COMMAND = 20  # columns: with less room, the command is on a line of its own
_STATES = {"killed": "killed", "timed_out": "time limit", "ended": "ended"}
_PAUSING = "interrupted: the pause may still happen; {status} shows the state"
_PAUSING_ALL = "interrupted: a pause may still happen; {list} shows the states"
_WITHOUT_TERMINAL = "Give --yes to pause without a question, or run it in a terminal."
_AFTER_PAUSE = "/sandbox stays, /home/gem and /tmp are emptied"


@command()
async def ps(client: Client, console: Console, *, limit: Limit = None) -> int:
    """List the commands that run and that have ended in all your sandboxes."""
    with console.waiting("listing the sandboxes"):
        found = await client.commands(on_progress=console.report)
    shown, most = found[: limit or MAX_SANDBOXES], limit or MAX_SHOWN
    content = activity_content(found, limit or MAX_SANDBOXES, most)
    if not found:
        console.result(f"No sandboxes. {console.format_verb('create')} creates one.", content)
        return OK
    console.result(_table(shown, most, console.width), content, wrap=False)
    if more := format_left_out(len(found) - len(shown), "ps"):
        console.say(more)
    if not console.as_json:
        _add_notes(console, found, most)
    return OK


def _add_notes(console: Console, found: Sequence[SandboxCommands], most: int) -> None:
    """Print the number of omitted rows, the idle sandboxes, and why commands are unknown."""
    for each in found:
        name = as_word(each.row.sandbox.name)
        if more := format_left_out(len(each.commands) - most, f"output {name}"):
            console.say(f"{name} {more}")
    if idle := [each.row.sandbox.name for each in found if each.is_idle]:
        console.say(
            f"no command runs in {join_names(idle, MAX_NAMES)}; `remote-sandbox pause --idle 2h`"
            " pauses those that were not used for 2 hours"
        )
    for reason in dict.fromkeys(each.reason for each in found if each.reason):
        names = [each.row.sandbox.name for each in found if each.reason == reason]
        console.say(f"unknown commands of {join_names(names, MAX_NAMES)}: {reason}")


class _Line(NamedTuple):
    """A line of the table, and a line below it."""

    sandbox: str
    session: str
    state: Text
    age: str
    time: str
    command: str = ""
    last_line: str = ""


def _table(found: Sequence[SandboxCommands], most: int, width: int | None) -> Text:
    """Return the table of commands, those that run first, then in the order of `found`.

    In a terminal, commands are cut to `width` columns.
    """
    running: list[_Line] = []
    others: list[_Line] = []
    for each in found:
        name = as_word(each.row.sandbox.name)
        for shown in each.commands[:most]:
            lines = running if shown.state == "running" else others
            lines.append(_line_of(name, shown))
        if not each.commands:
            others.append(_line_without_commands(name, each))
    heading = _Line("SANDBOX", "SESSION", Text("STATE"), "AGE", "TIME", "COMMAND")
    return _laid_out([heading, *running, *others], width)


def _line_of(name: str, command: SandboxCommand) -> _Line:
    state = Text(_STATES.get(command.state, command.state))
    if command.state == "completed":
        code = "?" if command.exit_code is None else command.exit_code
        state = Text(f"exit {code}", "" if code == 0 else "red")
    elif command.state == "running":
        state.stylize("green")
    age, time, line = format_age(command.age), _format_time(command.ran), one_line(command.command)
    return _Line(name, as_word(command.session), state, age, time, line, command.last_line)


def _format_time(ran: timedelta | None) -> str:
    if ran is None:
        return "-"
    seconds = int(ran.total_seconds())
    return f"{seconds} s" if seconds < 60 else format_age(ran)


def _line_without_commands(name: str, found: SandboxCommands) -> _Line:
    """Return the line of a sandbox in which nothing has run, or nothing can, with its own age."""
    state = Text(found.row.state.value, STATE_COLOURS.get(found.row.state, OTHER_COLOUR))
    if found.is_idle:
        state = Text("idle")
    elif found.reason:
        state = Text("unknown", OTHER_COLOUR)
    return _Line(name, "-", state, format_age(found.row.age), "-")


def _laid_out(lines: Sequence[_Line], width: int | None) -> Text:
    """Return the lines in columns, as wide as the terminal.

    Commands are cut. If the other columns do not fit, each sandbox is on a line of its own, so that
    its name can be copied, and longer sessions are cut.
    """
    names, sessions, states, ages, times = (
        max(cell_len(str(each[column])) for each in lines) for column in range(5)
    )
    room = None if width is None else width - names - sessions - states - ages - times - 10
    is_below = room is not None and room < MIN_COMMAND
    is_apart = room is not None and room < -len("  ")
    if width is not None and is_apart:
        sessions = min(sessions, max(width - states - ages - times - 8, MIN_COMMAND))

    def text_of(line: _Line) -> Text:
        name, session, state = Text(line.sandbox), _cut(line.session, sessions), line.state.copy()
        for text, columns in ((name, names), (session, sessions), (state, states)):
            text.pad_right(columns - text.cell_len)
        command = Text("") if is_below else _cut(line.command, room)
        first = Text("") if is_apart else name
        age, time = line.age.ljust(ages), line.time.ljust(times)
        rest = (session, "  ", state, "  ", age, "  ", time, "  ", command)
        text = Text.assemble(first, "  ", *rest)
        text.rstrip()
        above = [Text(line.sandbox)] if is_apart else []
        below = [line.command if is_below else "", line.last_line]
        indented = [Text(f"    {each}") for each in below if each]
        return Text("\n").join(_cut(each, width) for each in [*above, text, *indented])

    heading, *others = map(text_of, lines)
    heading.stylize("bold")
    return Text("\n").join([heading, *others])


def _cut(line: str | Text, columns: int | None) -> Text:
    text = Text(line) if isinstance(line, str) else line
    if columns is not None:
        text.truncate(max(columns, 0), overflow="ellipsis")
    return text


@command(interrupted=_PAUSING)
async def pause(
    client: Client,
    console: Console,
    *,
    idle: Annotated[
        float | None,
        Argument(
            "--idle",
            type=duration,
            metavar="TIME",
            help="instead of NAME: pause all sandboxes that were not used for this long, such as"
            " 30m or 2h; asks before",
        ),
    ] = None,
    yes: Annotated[bool, Argument("--yes", help="with --idle: do not ask")] = False,
    name: Annotated[str | None, Argument(metavar="NAME", help="the sandbox's name")] = None,
) -> int:
    """Stop a sandbox: /sandbox stays, /home/gem and /tmp are emptied."""
    if (name is None) == (idle is None):
        raise InvalidInput(
            "NAME or --idle is missing" if name is None else "NAME and --idle were both given",
            advice="Give one of them: `remote-sandbox pause NAME` pauses one sandbox,"
            " `remote-sandbox pause --idle 2h` all that were not used for 2 hours.",
        )
    if idle is not None:
        return await _pause_idle(client, console, timedelta(seconds=idle), asks=not yes)
    assert name is not None  # noqa: S101  # as checked above
    with console.waiting(f"pausing {name}"):
        outcome = await client.pause(name, on_progress=console.report)
    content = pause_content(name, outcome)
    if error := pause_error(name, outcome):
        show_error(console, error, content)
        return FAILED
    console.result(_describe_pause(console, name, outcome), content)
    return OK if outcome.reached else NOT_READY


def _describe_pause(console: Console, name: str, outcome: WaitResult) -> str:
    if not outcome.reached:
        return describe_unseen_pause(name, outcome, console.format_verb)
    return f"{name} is paused: {_AFTER_PAUSE}. {console.format_verb('resume')} starts it again."


async def _pause_idle(
    client: Client, console: Console, longer_than: timedelta, *, asks: bool
) -> int:
    """Pause the idle sandboxes, if the person agrees."""
    confirm = terminal_prompter(_WITHOUT_TERMINAL).confirm if asks else None
    console.interrupted = "interrupted: no sandbox was paused"
    with console.waiting("looking at what runs"):
        found = await client.idle(longer_than, on_progress=console.report)
    chosen = [each for each in found if not each.reason]
    _say_choice(console, found)
    if not chosen:
        console.result("No sandbox was paused.", {"paused": [], "kept": _contents(found)})
        return OK
    question = f"Pause {join_names(_names(chosen), MAX_NAMES)}?"
    if confirm is not None and not confirm(question, default=False):
        console.result("No sandbox was paused.", {"paused": [], "kept": _contents(found)})
        return OK
    console.interrupted = _PAUSING_ALL
    return await _pause_all(client, console, longer_than, found)


def _say_choice(console: Console, found: Sequence[IdleSandbox]) -> None:
    """Print which sandboxes will be paused, and why others will not."""
    for each in found:
        name = as_word(each.row.sandbox.name)
        if each.reason:
            console.say(f"{name} is not paused: {each.reason}")
        else:
            console.say(f"{name} is to be paused: {each.last_use}, and no later use is known")
    if any(not each.reason for each in found):
        console.say(
            f"A pause ends what runs, also jobs that a command has left in the background (&),"
            f" which are not seen. {_AFTER_PAUSE.capitalize()}."
        )


class _Paused(NamedTuple):
    """The exit code of a pause; without OK, `is_open` says that it may still happen."""

    code: int
    is_open: bool = False


async def _pause_all(
    client: Client, console: Console, longer_than: timedelta, found: Sequence[IdleSandbox]
) -> int:
    """Pause those that are still idle; return the exit code."""
    limiter, ends = anyio.CapacityLimiter(SANDBOXES_AT_ONCE), dict[str, _Paused]()
    kept = [each for each in found if each.reason]

    async def pause_one(name: str) -> None:
        async with limiter:
            try:
                # A command may have been started since.
                again = await client.idle(longer_than, names=[name])
            except SandboxError as error:
                console.say(f"{as_word(name)} was not paused: {error.message}")
                ends[name] = _Paused(FAILED)
                return
            if busy := [each for each in again if each.reason]:
                kept.extend(busy)
                _say_choice(console, busy)
                return
            ends[name] = await _pause_one(client, console, name)

    with console.waiting("pausing"):
        async with anyio.create_task_group() as tasks:
            for name in _names([each for each in found if not each.reason]):
                tasks.start_soon(pause_one, name)
    paused = sorted(name for name, end in ends.items() if end.code == OK)
    is_open = any(end.is_open for end in ends.values())
    text = "No pause shows yet." if is_open else "No sandbox was paused."
    if paused:
        resume = console.format_verb("resume")
        text = f"Paused: {join_names(paused, MAX_NAMES)}. {resume} starts one again."
    console.result(text, {"paused": paused, "kept": _contents(kept)})
    codes = [end.code for end in ends.values()]
    return max(codes, key=[OK, NOT_READY, FAILED].index, default=OK)


async def _pause_one(client: Client, console: Console, name: str) -> _Paused:
    """Pause a sandbox, and print why that is not known to have happened."""
    try:
        outcome = await client.pause(name)
    except NOTHING_DONE as error:
        console.say(f"{as_word(name)} was not paused: {error.message}")
        return _Paused(FAILED)
    except SandboxError as error:
        console.say(f"{as_word(name)} is not known to be paused: {error.message}")
        return _Paused(FAILED, is_open=True)
    if unreadable := pause_error(name, outcome):
        console.say(unreadable.message)
        return _Paused(FAILED, is_open=True)
    if not outcome.reached:
        console.say(describe_unseen_pause(name, outcome, console.format_verb))
        return _Paused(NOT_READY, is_open=True)
    return _Paused(OK)


def _names(found: Sequence[IdleSandbox]) -> list[str]:
    return [each.row.sandbox.name for each in found]


def _contents(found: Sequence[IdleSandbox]) -> list[dict[str, object]]:
    return [idle_content(each) for each in found]
