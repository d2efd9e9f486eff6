"""The commands that run something: prompt, agent, output, cancel."""

from __future__ import annotations

import argparse
import math
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sandbox_client import _agent
from sandbox_client._access import with_client
from sandbox_client._content import (
    ending,
    prompt_content,
    sessions_content,
    told_sessions,
)
from sandbox_client._errors import InvalidInput
from sandbox_client._excerpt import page
from sandbox_client._face import write
from sandbox_client._shown import mask
from sandbox_client._watch import Audience

from .command import NAME, NO_RESULT, OK, Command, argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client._client import Client
    from sandbox_client._face import Face
    from sandbox_client._prompts import Prompt

_HIGHEST_CODE = 255
_NOT_FOUND = 127  # a shell's word for a program that is not there


async def _prompt(client: Client, arguments: argparse.Namespace, face: Face) -> int:
    command = command_of(arguments.command)
    return await _send(client, arguments, face, command, arguments.session)


async def _agent_run(client: Client, arguments: argparse.Namespace, face: Face) -> int:
    template = client.proxy.config.agent_command
    command = _agent.command_line(template, " ".join(_words(arguments.prompt)))
    code = await _send(client, arguments, face, command, None)
    if code == _NOT_FOUND:
        face.say(
            f"next:  the sandbox has not all that this takes: {template}. Install the agent there,"
            " or name another one in agentCommand."
        )
    return code


async def _send(
    client: Client, arguments: argparse.Namespace, face: Face, command: str, session: str | None
) -> int:
    if arguments.detach and arguments.wait is not None:
        raise InvalidInput(
            "--detach and --wait were both given",
            advice="Leave one of them out: -d does not wait.",
        )
    face.show_output(client.proxy.config.api_key, is_raw=arguments.raw)
    with face.waiting("starting the command"):
        prompt = await client.prompts.send(
            arguments.name,
            command,
            session=session,
            wait_seconds=0 if arguments.detach else arguments.wait,
            audience=Audience(face.report, opened=face.opened)
            if arguments.detach
            else _audience(face),
        )
    if arguments.detach and not face.as_json:
        write(f"{prompt.session}\n")
    return _show(client, face, prompt, is_asked_to_stay=not arguments.detach)


async def _output(client: Client, arguments: argparse.Namespace, face: Face) -> int:
    if arguments.session is None:
        if arguments.follow:
            raise InvalidInput(
                "-f was given without a session", advice="Name one of those that {sessions} lists."
            )
        return await _sessions(client, arguments.name, face)
    face.show_output(client.proxy.config.api_key, is_raw=arguments.raw)
    face.opened(arguments.session, known=arguments.after)
    with face.waiting("looking"):
        prompt = await client.prompts.output(
            arguments.name,
            arguments.session,
            after=arguments.after,
            wait_seconds=None if arguments.follow else 0,
            to_end=True,
            audience=_audience(face),
        )
    return _show(client, face, prompt, after=arguments.after, is_asked_to_stay=arguments.follow)


async def _sessions(client: Client, name: str, face: Face) -> int:
    rows = await client.prompts.sessions(name)
    text = "\n".join(told_sessions(rows)) or f"Nothing has run in {name} since its start."
    face.result(text, sessions_content(name, rows))
    return OK


async def _cancel(client: Client, arguments: argparse.Namespace, face: Face) -> int:
    face.show_output(client.proxy.config.api_key, is_raw=arguments.raw)
    face.opened(arguments.session)
    with face.waiting("killing it"):
        prompt = await client.prompts.cancel(arguments.name, arguments.session, report=face.report)
    face.hear(prompt.seen.output)
    _end(client, face, prompt, 0)
    face.say(ending(prompt))
    return OK if prompt.seen.state != "running" else NO_RESULT


def _audience(face: Face) -> Audience:
    return Audience(face.report, opened=face.opened, hear=face.hear, missed=face.missed)


def _show(
    client: Client, face: Face, prompt: Prompt, *, after: int = 0, is_asked_to_stay: bool
) -> int:
    """Print the end of the output; return the command's own exit code where there is one."""
    seen = prompt.seen
    _end(client, face, prompt, after)
    if seen.state == "running":
        is_new = prompt.started and not is_asked_to_stay
        words = f"started in session '{prompt.session}'" if is_new else ending(prompt)
        face.say(f"{words}; {face.spell('output')} follows it")
        return NO_RESULT if is_asked_to_stay else OK
    if seen.state == "completed" and seen.exit_code is not None:
        # No process ends with another number, and cutting one down might make it a success.
        return seen.exit_code if 0 <= seen.exit_code <= _HIGHEST_CODE else NO_RESULT
    face.say(ending(prompt))
    return NO_RESULT


def _end(client: Client, face: Face, prompt: Prompt, after: int) -> None:
    """End an output that was heard, or print it whole as JSON."""
    face.end_output()
    if face.as_json:
        whole = page(prompt.seen.output, after, limit=len(prompt.seen.output))
        shown = replace(whole, text=mask(whole.text, client.proxy.config.api_key))
        face.result("", prompt_content(prompt, shown))


def command_of(words: Sequence[str]) -> str:
    """Return the shell command: one word as it is, several quoted so that none is split."""
    given = _words(words)
    return given[0] if len(given) == 1 else shlex.join(given)


def _words(given: Sequence[str]) -> Sequence[str]:
    return given[1:] if given[:1] == ["--"] else given


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError
    return seconds


def _characters(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


_seconds.__name__, _characters.__name__ = "number of seconds", "number of characters"  # in errors


def _goes_on(face: Face) -> str:
    if not face.session:
        return "interrupted: nothing was run"
    # Each command on a line of its own, to be taken from there.
    return (
        "\ninterrupted: the command goes on in the sandbox\n"
        "  {output} follows it again\n"
        "  {cancel} ends it"
    )


def _may_be_killed(_: Face) -> str:
    return "interrupted: {output} tells whether it was killed"


_DETACH = argument(
    "-d", "--detach", action="store_true", help="start it, print its session and wait no longer"
)
_RAW = argument(
    "--raw", action="store_true", help="pass control sequences of the output on to the terminal"
)
_WAIT = argument(
    "--wait",
    type=_seconds,
    metavar="SECONDS",
    help="wait so long at most (default: until it ends)",
)

COMMANDS: Final = (
    Command(
        "prompt",
        "Run a shell command in a sandbox, print its output and end with its exit code",
        with_client(_prompt),
        (
            _DETACH,
            _WAIT,
            _RAW,
            argument("--session", metavar="ID", help="a shell to run in, where cd and export last"),
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
            _DETACH,
            _WAIT,
            _RAW,
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
                type=_characters,
                default=0,
                metavar="N",
                help="leave out the first N characters",
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
        (_RAW, NAME, argument("session", metavar="SESSION", help="where the command runs")),
        interrupted=_may_be_killed,
    ),
)
