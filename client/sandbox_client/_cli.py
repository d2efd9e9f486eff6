"""The terminal commands: arguments and printing, nothing else."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

import anyio
from rich.text import Text

from . import _config
from ._content import (
    ending,
    list_content,
    prompt_content,
    readiness_content,
    status_content,
    unready,
)
from ._errors import ConfigError, InvalidInput, SandboxError, mask_keys, spell_verbs
from ._face import COLOURS, Face, OutputLost, forget_output, moment, open_streams, write
from ._lifecycle import Readiness, State, reason_of, state_of
from ._proxy import Proxy
from ._sandboxes import Sandboxes

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, FAILED, USAGE, NOT_READY, NO_RESULT, INTERRUPTED = 0, 1, 2, 3, 125, 130

_EPILOG = f"""\
exit codes:
  {OK}    done
  {FAILED}    the proxy refused, failed or could not be reached
  {USAGE}    wrong usage, or a configuration that cannot be used
  {NOT_READY}    created or resumed, but not ready
  {INTERRUPTED}  interrupted with Ctrl-C
prompt ends with the command's own exit code, or {NO_RESULT}
where there is none.

The configuration (proxyUrl, apiKey) is
{_config.DEFAULT_PATH};
REMOTE_SANDBOX_CONFIG names another file.
"""


class _Parser(argparse.ArgumentParser):
    """Leave the command's own exit codes to the command: a wrong `prompt` ends with 125."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        face = Face(as_json=False, name="")
        face.say(f"error: {mask_keys(message)}")
        face.say(f"next:  `{self.prog} --help` tells how it is used")
        self.exit(NO_RESULT if self.prog.endswith(" prompt") else USAGE)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    common = _Parser(add_help=False)
    common.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,  # so that a verb's parser does not undo it before the verb
        help="print the result as one JSON object",
    )
    top = _Parser(
        prog="remote-sandbox",
        description="Run commands in remote sandboxes, with a URL and a key.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--version", action="version", version=f"%(prog)s {version('async-remote-agent')}"
    )
    verbs = top.add_subparsers(dest="verb", metavar="COMMAND", required=True)

    def add(verb: str, words: str, usage: str | None = None) -> argparse.ArgumentParser:
        return verbs.add_parser(
            verb, help=words, description=f"{words}.", usage=usage, parents=[common]
        )

    create = add("create", "Create a sandbox and wait until it is ready")
    create.add_argument(
        "name", metavar="NAME", help="lower-case letters, digits and hyphens, a letter first"
    )
    create.add_argument("--image", help="container image (default: as configured)")
    create.add_argument("--port", type=int, help="the runtime's port (default: as configured)")
    for verb, words in (
        ("status", "Tell the state of a sandbox"),
        ("delete", "Delete a sandbox and its files"),
        ("pause", "Stop a sandbox and keep its files"),
        ("resume", "Start a paused sandbox and wait until it is ready"),
    ):
        add(verb, words).add_argument("name", metavar="NAME", help="the sandbox's name")
    add("list", "List your sandboxes, newest first")
    prompt = add(
        "prompt",
        "Run a shell command in a sandbox, print its output and end with its exit code",
        usage="remote-sandbox prompt [-h] [--json] NAME COMMAND\n"
        "                             [ARGUMENT ...]",
    )
    prompt.add_argument("name", metavar="NAME", help="the sandbox's name")
    prompt.add_argument(
        "command",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="one argument is a shell command ('ls | wc'); several are a program and its arguments",
    )
    words = "Serve MCP on standard input and output"
    verbs.add_parser(
        "mcp",
        help=f"{words}, for Gemini CLI",
        description=f"{words} until the input ends. Gemini CLI and other clients start it.",
    )
    return top


def run(argv: Sequence[str]) -> int:
    """Do what `argv` says and return the exit code."""
    code = FAILED
    try:
        open_streams()
        arguments = _parsed(argv)
        code = NO_RESULT if arguments.verb == "prompt" else FAILED
        return _do(arguments)
    except BrokenPipeError:
        # The reader has gone (`… | head`); nor is there anybody to tell when Python flushes.
        forget_output()
        return FAILED
    except OutputLost as exc:
        forget_output()
        print(f"error: Standard output cannot be written: {exc}", file=sys.stderr)
        return code


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    try:
        return parser().parse_args(argv)
    except SystemExit:
        write("")  # the help, which argparse leaves in a buffer
        raise


def _do(arguments: argparse.Namespace) -> int:
    if arguments.verb == "mcp":  # with options that argparse took care of
        from ._server import serve

        serve()
        return OK
    face = Face(as_json="json" in arguments, name=getattr(arguments, "name", ""))
    try:
        return anyio.run(_main, arguments, face)
    except SandboxError as error:
        face.error(error)
        if arguments.verb == "prompt":
            return NO_RESULT
        return USAGE if isinstance(error, ConfigError | InvalidInput) else FAILED
    except KeyboardInterrupt:
        face.say(spell_verbs(_interrupted(arguments.verb), face.spell))
        return INTERRUPTED


async def _main(arguments: argparse.Namespace, face: Face) -> int:
    async with Proxy(_config.load(os.environ)) as proxy:
        return await _COMMANDS[arguments.verb](Sandboxes(proxy), arguments, face)


async def _create(sandboxes: Sandboxes, arguments: argparse.Namespace, face: Face) -> int:
    with face.waiting(f"creating {arguments.name}"):
        image, outcome = await sandboxes.create(
            arguments.name, image=arguments.image, port=arguments.port, report=face.report
        )
    return _show_readiness(face, outcome, f"created from {image}" if image else "created")


async def _resume(sandboxes: Sandboxes, arguments: argparse.Namespace, face: Face) -> int:
    with face.waiting(f"resuming {arguments.name}"):
        outcome = await sandboxes.resume(arguments.name, report=face.report)
    return _show_readiness(face, outcome, "resumed")


def _show_readiness(face: Face, outcome: Readiness, done: str) -> int:
    content = readiness_content(face.name, outcome)
    if outcome.ready:
        face.result(f"{face.name} was {done} and is ready after {outcome.waited:.1f} s", content)
        return OK
    if face.as_json:
        face.result("", content)
    else:
        face.error(unready(f"{face.name} was {done}", outcome))
    return NOT_READY


async def _status(sandboxes: Sandboxes, arguments: argparse.Namespace, face: Face) -> int:
    sandbox = await sandboxes.status(arguments.name)
    state = state_of(sandbox)
    text = Text.assemble(
        f"{sandbox.name} is ",
        (state.value, COLOURS.get(state, "cyan")),
        f" ({reason_of(sandbox)}), created {moment(sandbox.created_at)}",
    )
    face.result(text, status_content(sandbox))
    return OK


async def _prompt(sandboxes: Sandboxes, arguments: argparse.Namespace, face: Face) -> int:
    with face.waiting("the command is running"):
        result, seconds = await sandboxes.prompt(
            arguments.name, _command(arguments.command), report=face.report, whole=True
        )
    if face.as_json:
        face.result("", prompt_content(face.name, result, seconds))
    else:
        write(result.output)
    if result.status == "completed" and result.exit_code is not None:
        # No process ends with another number, and cutting one down might make it a success.
        return result.exit_code if 0 <= result.exit_code <= 255 else NO_RESULT
    face.say(ending(result.status, result.exit_code, seconds))
    return NO_RESULT


def _command(words: Sequence[str]) -> str:
    """Return the shell command: one word as it is, several quoted so that none is split."""
    given = words[1:] if words[:1] == ["--"] else words
    return given[0] if len(given) == 1 else shlex.join(given)


async def _list(sandboxes: Sandboxes, _: argparse.Namespace, face: Face) -> int:
    rows = await sandboxes.list()
    content = list_content(rows)
    if not rows:
        face.result(f"No sandboxes. {face.spell('create')} makes one.", content)
        return OK
    face.table(rows, content)
    return OK


async def _delete(sandboxes: Sandboxes, arguments: argparse.Namespace, face: Face) -> int:
    await sandboxes.delete(arguments.name)
    face.result(f"{face.name} and its files were deleted", {"name": face.name, "deleted": True})
    return OK


async def _pause(sandboxes: Sandboxes, arguments: argparse.Namespace, face: Face) -> int:
    await sandboxes.pause(arguments.name)
    text = f"{face.name} was paused: its files stay. {face.spell('resume')} starts it again."
    face.result(text, {"name": face.name, "state": State.PAUSED.value})
    return OK


def _interrupted(verb: str) -> str:
    if verb == "prompt":
        return "interrupted: the command goes on in the sandbox, unless {pause} stops it"
    if verb in {"create", "resume"}:
        return "interrupted: the sandbox goes on starting; {status} tells how far it is"
    return "interrupted"


_COMMANDS = {
    "create": _create,
    "status": _status,
    "prompt": _prompt,
    "list": _list,
    "delete": _delete,
    "pause": _pause,
    "resume": _resume,
}
