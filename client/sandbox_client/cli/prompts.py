"""The commands that run something: prompt, agent, output, cancel."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import math
import os
import re
import shlex
import stat
import sys
import termios
from signal import Signals
from typing import TYPE_CHECKING, Final

import anyio

from sandbox_client.agent import agent_command_line
from sandbox_client.api.runtime import SIGNALS
from sandbox_client.errors import InputUnreadable, InvalidInput, SandboxError, SessionBusy
from sandbox_client.presentation import (
    NOT_FOUND,
    describe_ending,
    describe_missing_agent,
    describe_unreachable,
    format_sessions,
    prompt_content,
    sessions_content,
)
from sandbox_client.provider import with_client
from sandbox_client.truncation import page

from .command import KILLED, NAME, NO_RESULT, OK, TIMED_OUT, Command, argument
from .console import write

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from sandbox_client.api.runtime import CommandStatus
    from sandbox_client.client import Client
    from sandbox_client.prompts import CommandResult

    from .console import Console

_HIGHEST_CODE = 255
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


async def _prompt(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    command = command_of(arguments.command)
    return await _send(client, arguments, console, command, arguments.session)


async def _agent_run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    template = client.proxy.config.agent_command
    command = agent_command_line(template, " ".join(_words(arguments.prompt)))
    code = await _send(client, arguments, console, command, None)
    if code == NOT_FOUND:
        console.note(describe_missing_agent(template))
    return code


async def _send(
    client: Client,
    arguments: argparse.Namespace,
    console: Console,
    command: str,
    session: str | None,
) -> int:
    if arguments.detach and arguments.wait is not None:
        raise InvalidInput(
            "--detach and --wait were both given",
            advice="Leave one of them out: -d does not wait.",
        )
    if session and console.is_live:
        console.note(f"session '{session}' is a terminal: standard error is part of the output")
    console.is_typed_on = arguments.stdin and _is_typed()
    if console.is_typed_on:
        console.note("standard input is read from the keyboard; Ctrl-D on an empty line ends it")
    console.show_output(is_raw=arguments.raw)
    async with _told_if_reader_goes(client, console), _known_if_busy(console, session):
        is_still = console.is_typed_on
        with contextlib.nullcontext() if is_still else console.waiting("starting the command"):
            prompt = await client.run(
                arguments.name,
                command,
                wait=0 if arguments.detach else arguments.wait,
                session=session,
                env=variables(arguments.env, os.environ),
                stdin=read_input if arguments.stdin else None,
                time_limit=arguments.time_limit,
                on_output=None if arguments.detach else console.on_output,
                on_session=console.opened,
                on_progress=console.report,
            )
    if not arguments.stdin and has_unread_input():
        console.note("standard input was not sent: --stdin sends it, </dev/null gives none")
    if not arguments.detach:
        return _show(console, prompt, is_asked_to_stay=True)
    if not console.as_json:
        write(f"{prompt.session}\n")
    _end(console, prompt)
    console.note(f"started in session '{prompt.session}'; {console.spell('output')} follows it")
    return OK


async def _output(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    if arguments.session is None:
        if arguments.follow:
            raise InvalidInput(
                "-f was given without a session", advice="Name one of those that {sessions} lists."
            )
        return await _sessions(client, arguments.name, console)
    after, stderr_after = arguments.after, arguments.stderr_after
    console.show_output(is_raw=arguments.raw)
    console.opened(arguments.session, after=after, stderr_after=stderr_after)
    async with _told_if_reader_goes(client, console):
        with console.waiting("looking"):
            prompt = await client.output(
                arguments.name,
                arguments.session,
                after=after,
                stderr_after=stderr_after,
                wait=None if arguments.follow else 0,
                to_end=True,
                on_output=console.on_output,
                on_progress=console.report,
            )
    return _show(console, prompt, is_asked_to_stay=arguments.follow)


async def _sessions(client: Client, name: str, console: Console) -> int:
    rows = await client.sessions(name)
    text = "\n".join(format_sessions(rows)) or f"Nothing has run in {name} since its start."
    console.result(text, sessions_content(name, rows))
    return OK


async def _cancel(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    console.show_output(is_raw=arguments.raw)
    console.opened(arguments.session)
    with console.waiting("killing it"):
        prompt = await client.cancel(
            arguments.name,
            arguments.session,
            signals=[arguments.signal] if arguments.signal else SIGNALS,
            on_output=console.on_output,
            on_progress=console.report,
        )
    _end(console, prompt)
    console.note(describe_ending(prompt))
    return OK if prompt.status.has_ended else NO_RESULT


@contextlib.asynccontextmanager
async def _known_if_busy(console: Console, session: str | None) -> AsyncGenerator[None]:
    """Use the id of a busy session in the advice of the error."""
    try:
        yield
    except SessionBusy:
        console.opened(session or "")
        raise


@contextlib.asynccontextmanager
async def _told_if_reader_goes(client: Client, console: Console) -> AsyncGenerator[None]:
    """If standard output has no reader any more, say whether the command goes on."""
    try:
        yield
    except BrokenPipeError:
        after, stderr_after = console.known
        with contextlib.suppress(SandboxError):
            prompt = await client.output(
                console.name,
                console.session,
                after=after,
                stderr_after=stderr_after,
                wait=0,
                on_progress=console.report,
            )
            if not prompt.status.has_ended:
                console.note(
                    f"nobody reads the output any more, and the command goes on:"
                    f" {console.spell('cancel')} ends it"
                )
        raise


def _show(console: Console, prompt: CommandResult, *, is_asked_to_stay: bool) -> int:
    """Print the end of the output; return the command's own exit code where there is one."""
    _end(console, prompt)
    status = prompt.status
    if not status.has_ended:
        console.note(f"{describe_ending(prompt)}; {console.spell('output')} follows it")
        return NO_RESULT if is_asked_to_stay else OK
    if status.state != "completed" or status.exit_code is None:
        console.note(describe_ending(prompt))
    return exit_status(status)


def exit_status(status: CommandStatus) -> int:
    """Return the exit code for a command that has ended: its own unless it was killed."""
    if status.state == "timed_out":
        return TIMED_OUT
    code = status.exit_code
    if status.state == "killed" and code is None:
        return KILLED  # a terminal has no signal's number
    # No process ends with another number, and cutting one down might make it a success.
    return code if code is not None and 0 <= code <= _HIGHEST_CODE else NO_RESULT


def _end(console: Console, prompt: CommandResult) -> None:
    """End an output that was printed, or print it whole as JSON; note an incomplete one."""
    console.end_output()
    if console.as_json:
        errors = None if prompt.errors is None else page(prompt.errors, limit=None)
        console.result("", prompt_content(prompt, page(prompt.output, limit=None), errors))
    if unread := describe_unreachable(prompt):
        console.note(unread)


def variables(given: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the options `NAME=value`, and `NAME` with its value here.

    Raises:
        InvalidInput: there is none of that name.
    """
    values: dict[str, str] = {}
    for each in given:
        name, is_set, value = each.partition("=")
        if not is_set:
            if name not in environ:
                raise InvalidInput(
                    f"The variable {name[:80]!r} is not set here",
                    advice="Set it, or give -e NAME=value.",
                )
            value = environ[name]
        values[name] = value
    return values


async def read_input(size: int) -> bytes:
    """Read so many bytes of standard input, or fewer at its end; Ctrl-C ends the wait for them.

    Raises:
        InputUnreadable: it is closed, or cannot be read.
    """
    data = bytearray()
    try:
        number = sys.stdin.fileno()
        while len(data) < size:
            with contextlib.suppress(PermissionError):  # a file, which can always be read
                await anyio.wait_readable(number)
            piece = os.read(number, size - len(data))
            if not piece:
                break
            data += piece
    except (AttributeError, OSError, ValueError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or "it is closed"
        raise InputUnreadable(f"Standard input cannot be read: {reason}") from None
    return bytes(data)


def _is_typed() -> bool:
    """Tell whether standard input is a terminal."""
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # closed
        return False


def has_unread_input() -> bool:
    """Tell whether standard input is a pipe or a file with something in it that was not read."""
    try:
        number = sys.stdin.fileno()
        status = os.fstat(number)
        if stat.S_ISREG(status.st_mode):
            return status.st_size > os.lseek(number, 0, os.SEEK_CUR)
        if not stat.S_ISFIFO(status.st_mode):
            return False
        size = fcntl.ioctl(number, termios.FIONREAD, bytes(4))
        return int.from_bytes(size, sys.byteorder) > 0
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        return False


def command_of(words: Sequence[str]) -> str:
    """Return the shell command: one word as it is, several quoted so that none is split.

    Raises:
        InvalidInput: it begins with an option, which would have to stand before the name.
    """
    given = _words(words)
    if not given:
        raise InvalidInput(
            "COMMAND is missing",
            advice="Put it behind the sandbox's name: `remote-sandbox prompt NAME COMMAND`.",
        )
    if given[0] in _OPTIONS:
        raise InvalidInput(
            f"The command begins with '{given[0]}', which is an option of remote-sandbox",
            advice="Put options before the sandbox's name.",
        )
    return given[0] if len(given) == 1 else shlex.join(given)


def _words(given: Sequence[str]) -> Sequence[str]:
    return given[1:] if given[:1] == ["--"] else given


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds == math.inf:  # of many digits, or of a product
        raise ValueError
    return seconds


def _position(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


_position.__name__ = "position"  # in errors
_duration.__name__ = "duration (30s, 10m, 2h)"


def _signal_name(text: str) -> str:
    name = text.upper().removeprefix("SIG")
    for each in SIGNALS:
        if name in {each.removeprefix("SIG"), f"{Signals[each]:d}"}:
            return each
    return text


def _goes_on(console: Console) -> str:
    if not console.session:
        return "interrupted: nothing was run"
    # Each command on a line of its own, to be taken from there.
    return (
        "interrupted: the command goes on in the sandbox\n"
        "  {output} follows it again\n"
        "  {cancel} ends it"
    )


def _may_be_killed(_: Console) -> str:
    return "interrupted: {output} tells whether it was killed"


_DETACH = argument(
    "-d", "--detach", action="store_true", help="start it, print its session and wait no longer"
)
_RAW = argument(
    "--raw", action="store_true", help="pass control sequences of the output on to the terminal"
)
_WAIT = argument(
    "--wait",
    type=_duration,
    metavar="TIME",
    help="wait so long at most, such as 30, 30s or 10m (default: until it ends)",
)
_STDIN = argument(
    "--stdin",
    action="store_true",
    help="send standard input, up to its end, to the command (default: it gets none)",
)
_TIME_LIMIT = argument(
    "--time-limit",
    type=_duration,
    metavar="TIME",
    help="end it after so long, such as 30, 30s, 10m or 2h, and end with 124",
)
_ENV = argument(
    "-e",
    "--env",
    action="append",
    default=[],
    metavar="NAME[=VALUE]",
    help="set a variable for it; without a value, to the one that it has here",
)

_HOW_TO_RUN = (_DETACH, _WAIT, _TIME_LIMIT, _STDIN, _ENV, _RAW)
_SESSION = argument(
    "--session",
    metavar="ID",
    help="a shell to run in, where cd and export last: a terminal, on which standard error is part"
    " of the output",
)
_OPTIONS = {"--json", "--help", "-h"}.union(*(each.names for each in (*_HOW_TO_RUN, _SESSION)))

COMMANDS: Final = (
    Command(
        "prompt",
        "Run a shell command in a sandbox, print its output and end with its exit code",
        with_client(_prompt),
        (
            *_HOW_TO_RUN,
            _SESSION,
            NAME,
            argument(
                "command",
                metavar="COMMAND",
                nargs=argparse.REMAINDER,
                help="one argument is a shell command ('ls | wc'); several are a program and its"
                " arguments",
            ),
        ),
        usage="remote-sandbox prompt [OPTION ...] NAME COMMAND\n"
        "                             [ARGUMENT ...]",
        failed=NO_RESULT,
        interrupted=_goes_on,
    ),
    Command(
        "agent",
        "Run a coding agent in a sandbox with a prompt in plain words",
        with_client(_agent_run),
        (
            *_HOW_TO_RUN,
            NAME,
            argument("prompt", metavar="PROMPT", nargs=argparse.REMAINDER, help="what it shall do"),
        ),
        usage="remote-sandbox agent [OPTION ...] NAME PROMPT\n"
        "                            [WORD ...]",
        failed=NO_RESULT,
        interrupted=_goes_on,
    ),
    Command(
        "output",
        "Print what a command has printed so far, or list what runs and what ended",
        with_client(_output),
        (
            argument("-f", "--follow", action="store_true", help="go on until it ends"),
            argument(
                "--after",
                type=_position,
                default=0,
                metavar="N",
                help="leave out what the command printed up to position N",
            ),
            argument(
                "--stderr-after",
                type=_position,
                default=0,
                metavar="N",
                help="the same for standard error, where it is apart",
            ),
            _RAW,
            NAME,
            argument("session", metavar="SESSION", nargs="?", help="where the command runs"),
        ),
        failed=NO_RESULT,
        interrupted=_goes_on,
    ),
    Command(
        "cancel",
        "Kill the command that runs in a session, and print what it had printed",
        with_client(_cancel),
        (
            argument(
                "--signal",
                type=_signal_name,
                choices=SIGNALS,
                metavar="SIGNAL",
                help="send SIGINT, SIGTERM or SIGKILL alone, and wait 3, 5 or 7 s for its end"
                " (default: all three in turn, until it ends); to a command on a terminal, the last"
                " two are the same kill",
            ),
            _RAW,
            NAME,
            argument("session", metavar="SESSION", help="where the command runs"),
        ),
        failed=NO_RESULT,
        interrupted=_may_be_killed,
    ),
)
