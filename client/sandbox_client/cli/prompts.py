"""The commands that run something in a sandbox: prompt, output, cancel."""

from __future__ import annotations

import argparse
import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Annotated, Protocol

from sandbox_client.api.runtime import SIGNALS, Signal
from sandbox_client.client import Client
from sandbox_client.errors import InvalidInput, SandboxError, SessionBusy
from sandbox_client.presentation.commands import (
    MAX_LISTED,
    WITHOUT_SESSIONS,
    describe_ending,
    describe_unreachable,
    format_sessions,
    prompt_content,
    sessions_content,
)
from sandbox_client.text import format_left_out
from sandbox_client.truncation import page

from .command import KILLED, NO_RESULT, OK, TIMED_OUT, Argument, SandboxName, command
from .console import Console
from .notification import check_notify, notify_if_lost, notify_of_end
from .process import has_unread_input, is_keyboard, read_input, write
from .prompt_options import (
    Raw,
    ReadOptions,
    RunOptions,
    check_run,
    shell_command,
    signal_name,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from sandbox_client.api.runtime import CommandStatus
    from sandbox_client.execution.follower import OnOutput, OnSession
    from sandbox_client.execution.payload import Read
    from sandbox_client.execution.result import CommandResult
    from sandbox_client.polling import ProgressCallback

_HIGHEST_CODE = 255
NOTHING_RUN = "interrupted: nothing was run"
# Each command line is on a line of its own, to be copied.
GOES_ON = (
    "interrupted: the command may keep running in the sandbox\n"
    "  {output} follows it again\n"
    "  {cancel} kills it"
)


@command(
    failed=NO_RESULT,
    interrupted=GOES_ON,
    interrupted_early=NOTHING_RUN,
    usage="remote-sandbox prompt [OPTION ...] NAME COMMAND\n"
    "                             [ARGUMENT ...]",
)
async def prompt(
    client: Client,
    console: Console,
    *,
    options: RunOptions,
    session: Annotated[
        str | None,
        Argument(
            "--session",
            metavar="ID",
            help="a shell in which cd and export last; it is a terminal, so that standard error is"
            " part of the output",
        ),
    ] = None,
    name: SandboxName,
    command: Annotated[
        list[str],
        Argument(
            metavar="COMMAND",
            nargs=argparse.REMAINDER,
            help="one argument is a shell command ('ls | wc'); several are a program and its"
            " arguments",
        ),
    ],
) -> int:
    """Run a shell command in a sandbox, print its output and end with its exit code."""
    run = partial(client.run, name, shell_command(command), session=session)
    return await run_command(client, console, run, options, session)


@command(failed=NO_RESULT, interrupted=GOES_ON, interrupted_early=NOTHING_RUN)
async def output(
    client: Client,
    console: Console,
    *,
    options: ReadOptions,
    name: SandboxName,
    session: Annotated[
        str | None, Argument(metavar="SESSION", help="the command's session")
    ] = None,
) -> int:
    """Print the output of a command so far, or list running and ended commands."""
    check_notify(
        options.notify,
        is_awaited=bool(options.follow),
        advice="Add --wait, which waits until the command ends.",
    )
    if session is None:
        if options.follow:
            raise InvalidInput(
                f"{options.follow} was given without a session",
                advice="Name one of those that {sessions} lists.",
            )
        return await _list_sessions(client, console, name, options.limit or MAX_LISTED)
    if options.limit is not None:
        raise InvalidInput(
            "--limit was given with a session", advice="Leave one of them out: it is for the list."
        )
    console.show_output(is_raw=options.raw)
    console.opened(session, after=options.after, stderr_after=options.stderr_after)
    async with _report_lost_reader(client, console), notify_if_lost(console, options.notify):
        with console.waiting("reading the output"):
            result = await client.output(
                name,
                session,
                after=options.after,
                stderr_after=options.stderr_after,
                wait=None if options.follow else 0,
                to_end=True,
                on_output=console.on_output,
                on_progress=console.report,
            )
    code = _end_run(console, result, is_awaited=bool(options.follow))
    await notify_of_end(console, options.notify, result, code)
    return code


@command(
    failed=NO_RESULT,
    interrupted="interrupted: {output} shows whether it was killed",
)
async def cancel(
    client: Client,
    console: Console,
    *,
    signal: Annotated[
        Signal | None,
        Argument(
            "--signal",
            type=signal_name,
            choices=SIGNALS,
            metavar="SIGNAL",
            help="send only SIGINT, SIGTERM or SIGKILL, and wait 3, 5 or 7 s for the end (default:"
            " each in turn until the command ends); for a command on a terminal, SIGTERM and"
            " SIGKILL are the same",
        ),
    ] = None,
    raw: Raw = False,
    name: SandboxName,
    session: Annotated[str, Argument(metavar="SESSION", help="the command's session")],
) -> int:
    """Kill the command that runs in a session, and print its output."""
    console.show_output(is_raw=raw)
    console.opened(session)
    with console.waiting("killing the command"):
        result = await client.cancel(
            name,
            session,
            signals=[signal] if signal else SIGNALS,
            on_output=console.on_output,
            on_progress=console.report,
        )
    _end_output(console, result)
    console.note(describe_ending(result))
    return OK if result.status.has_ended else NO_RESULT


class Run(Protocol):
    """Start a command; see `Client.run`."""

    async def __call__(  # options, all by keyword
        self,
        *,
        env: Mapping[str, str] | None,
        stdin: Read | None,
        time_limit: float | None,
        wait: float | None,
        on_output: OnOutput | None,
        on_session: OnSession,
        on_progress: ProgressCallback,
    ) -> CommandResult:
        """Start it with these options."""
        ...


async def run_command(
    client: Client,
    console: Console,
    run: Run,
    options: RunOptions,
    session: str | None = None,
) -> int:
    """Run a command, print its output and return the exit code."""
    env = check_run(options, os.environ)
    _prepare(console, options, session)
    is_quiet = console.is_keyboard_read
    async with (
        _report_lost_reader(client, console),
        _name_busy_session(console, session),
        notify_if_lost(console, options.notify),
    ):
        with contextlib.nullcontext() if is_quiet else console.waiting("starting the command"):
            result = await run(
                env=env,
                stdin=read_input if options.stdin else None,
                time_limit=options.time_limit,
                wait=0 if options.detach else options.wait,
                on_output=None if options.detach else console.on_output,
                on_session=console.opened,
                on_progress=console.report,
            )
    if not options.stdin and has_unread_input():
        console.note("standard input was not sent: --stdin sends it, </dev/null gives none")
    if options.detach:
        return _end_detached(console, result)
    code = _end_run(console, result, is_awaited=True)
    await notify_of_end(console, options.notify, result, code)
    return code


def _prepare(console: Console, options: RunOptions, session: str | None) -> None:
    """Set the console up for the output, with a note about each terminal."""
    if session and console.is_live:
        console.note(f"session '{session}' is a terminal: standard error is part of the output")
    console.is_keyboard_read = options.stdin and is_keyboard()
    if console.is_keyboard_read:
        console.note("standard input is read from the keyboard; Ctrl-D on an empty line ends it")
    console.show_output(is_raw=options.raw)


def _end_detached(console: Console, result: CommandResult) -> int:
    if not console.as_json:
        write(f"{result.session}\n")
    _end_output(console, result)
    follow = console.format_verb("output")
    console.note(f"started in session '{result.session}'; {follow} follows it")
    return OK


async def _list_sessions(client: Client, console: Console, name: str, limit: int) -> int:
    rows = await client.sessions(name)
    text = "\n".join(format_sessions(rows, limit)) or f"{name} has no sessions: {WITHOUT_SESSIONS}."
    console.result(text, sessions_content(name, rows, limit))
    if more := format_left_out(len(rows) - limit, f"output {name}"):
        console.say(more)
    return OK


@contextlib.asynccontextmanager
async def _name_busy_session(console: Console, session: str | None) -> AsyncGenerator[None]:
    """Use the id of a busy session in the advice of the error."""
    try:
        yield
    except SessionBusy:
        console.opened(session or "")
        raise


@contextlib.asynccontextmanager
async def _report_lost_reader(client: Client, console: Console) -> AsyncGenerator[None]:
    """If the reader of standard output has gone, note that the command still runs."""
    try:
        yield
    except BrokenPipeError:
        after, stderr_after = console.positions
        with contextlib.suppress(SandboxError):
            result = await client.output(
                console.name,
                console.session,
                after=after,
                stderr_after=stderr_after,
                wait=0,
                on_progress=console.report,
            )
            if not result.status.has_ended:
                console.note(
                    f"the output has no reader any more, and the command keeps running:"
                    f" {console.format_verb('cancel')} kills it"
                )
        raise


def _end_run(console: Console, result: CommandResult, *, is_awaited: bool) -> int:
    """Print the end of the output, and return the exit code.

    A command that still runs has none: NO_RESULT if its end `is_awaited`, otherwise OK.
    """
    _end_output(console, result)
    status = result.status
    if not status.has_ended:
        console.note(f"{describe_ending(result)}; {console.format_verb('output')} follows it")
        return NO_RESULT if is_awaited else OK
    if status.state != "completed" or status.exit_code is None:
        console.note(describe_ending(result))
    return exit_status(status)


def exit_status(status: CommandStatus) -> int:
    """Return the exit code for a command that has ended: its own unless it was killed."""
    if status.state == "timed_out":
        return TIMED_OUT
    code = status.exit_code
    if status.state == "killed" and code is None:
        return KILLED  # a terminal does not report the signal
    # No process ends with another number, and truncation could turn it into 0.
    return code if code is not None and 0 <= code <= _HIGHEST_CODE else NO_RESULT


def _end_output(console: Console, result: CommandResult) -> None:
    """End the printed output, or print all of it as JSON; note an incomplete one."""
    console.end_output()
    if console.as_json:
        errors = None if result.errors is None else page(result.errors, limit=None)
        console.result("", prompt_content(result, page(result.output, limit=None), errors))
    if unread := describe_unreachable(result):
        console.note(unread)
