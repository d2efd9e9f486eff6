"""The command line: from arguments to a terminal command, and from its outcome to an exit code."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio

from sandbox_client.client import Client
from sandbox_client.config import DEFAULT_PATH, load_config
from sandbox_client.errors import ConfigError, InvalidInput, SandboxError, format_verbs
from sandbox_client.text import mask_keys

from .command import (
    FAILED,
    INTERRUPTED,
    NO_RESULT,
    NOT_READY,
    OK,
    READER_GONE,
    TIMED_OUT,
    USAGE,
    Interruption,
    interruptible,
)
from .console import Console, OutputLost, drop_unusable_sizes, forget_output, open_streams, write

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from sandbox_client.config import Config

    from .command import Command

_SANDBOXES: Final = ("create", "status", "delete", "pause", "resume", "list")
_PROMPTS: Final = ("prompt", "agent", "output", "cancel")
VERBS: Final = (*_SANDBOXES, *_PROMPTS, "cp", "doctor", "login")


def commands(verb: str) -> tuple[Command, ...]:
    """Return the commands of the module that has `verb`, or of all modules for another word.

    The other modules are not imported: they need packages that this command does not.
    """
    if verb in _SANDBOXES:
        from sandbox_client.cli import sandboxes

        return sandboxes.COMMANDS
    if verb in _PROMPTS:
        from sandbox_client.cli import prompts

        return prompts.COMMANDS
    from sandbox_client.cli import connection, copy, login, prompts, sandboxes

    return (
        *sandboxes.COMMANDS,
        *prompts.COMMANDS,
        *copy.COMMANDS,
        *connection.COMMANDS,
        *login.COMMANDS,
    )


def command_of(verb: str) -> Command:
    """Return the command of one of the VERBS."""
    return next(each for each in commands(verb) if each.verb == verb)


_EPILOG = f"""\
exit codes:
  {OK}    done
  {FAILED}    the proxy refused, failed or could not be reached
  {USAGE}    wrong usage, or a configuration that cannot be used
  {NOT_READY}    accepted, but not ready, or not paused, yet
  {INTERRUPTED}  interrupted with Ctrl-C (SIGTERM: 143, SIGHUP: 129)
  {READER_GONE}  nobody reads the output any more, as in `… | head`
prompt, agent and output end with the command's own exit
code (128 + n after signal n), {TIMED_OUT} after its time limit,
or {NO_RESULT} where there is none, also after wrong usage; output
of a command that runs ends with {OK}. cancel ends with {NO_RESULT}
unless the command has ended, cp with {FAILED} where it skipped
something.

The configuration (proxyUrl, apiKey), which login writes, is
{DEFAULT_PATH};
REMOTE_SANDBOX_CONFIG names another file.
"""


class _Parser(argparse.ArgumentParser):
    """Leave the command's own exit codes to the command: a wrong `prompt` ends with 125."""

    def parse_known_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse what a verb does not know with the verb's usage, not with that of all verbs."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [each for each in unknown if each.startswith("-")]
            where = "" if options else "; options go before NAME"
            self.error(f"unrecognized arguments: {' '.join(unknown)}{where}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        console = Console(as_json=False, name="")
        console.say(f"error: {mask_keys(message)}")
        console.say(f"next:  `{self.prog} --help` tells how it is used")
        verb = self.prog.rpartition(" ")[2]
        self.exit(USAGE if verb not in VERBS else _misused(command_of(verb)))


class _Version(argparse.Action):
    """Print the version, which is read only then: it takes a tenth of a start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        from importlib.metadata import version

        write(f"{parser.prog} {version('async-remote-agent')}\n")
        parser.exit()


def parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the command that `argv` names, among others, or of all commands."""
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
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--version", action=_Version, nargs=0, help="show the version of the client and exit"
    )
    verbs = top.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    verb = next((word for word in argv if not word.startswith("-")), "")
    for command in commands(verb):
        its = verbs.add_parser(
            command.verb,
            help=command.words,
            description=f"{command.words}.",
            usage=command.usage,
            parents=[common],
            allow_abbrev=False,  # `--key` is not to be taken for `--key-stdin`
        )
        for each in command.arguments:
            each.add_to(its)
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
        drop_unusable_sizes(os.environ)
        open_streams()
        arguments = _parsed(argv)
        if arguments.verb == "mcp":  # with options that argparse took care of
            return _serve()
        command = command_of(arguments.verb)
        code = command.failed
        return _do(command, arguments)
    except BrokenPipeError:
        # As in `… | head`. Nor is there anybody to tell when Python flushes.
        forget_output()
        return READER_GONE
    except OutputLost as exc:
        forget_output()
        print(f"error: Standard output cannot be written: {exc}", file=sys.stderr)
        return code


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    try:
        return parser(argv).parse_args(argv)
    except SystemExit:
        write("")  # the help, which argparse leaves in a buffer
        raise


def _serve() -> int:
    from sandbox_client.mcp_server.handshake import serve

    serve()
    return OK


def _do(command: Command, arguments: argparse.Namespace) -> int:
    console = Console(as_json="json" in arguments, name=getattr(arguments, "name", ""))
    interruption = Interruption()
    try:
        with interruptible(), interruption.by_other_signals():
            return anyio.run(command.run, _OneClient(os.environ, console.say), arguments, console)
    except SandboxError as error:
        console.error(error)
        is_misuse = isinstance(error, ConfigError | InvalidInput)
        return _misused(command) if is_misuse else command.failed
    except KeyboardInterrupt:
        console.end_output()
        console.note(format_verbs(command.interrupted(console), console.spell))
        return 128 + interruption.signal


def _misused(command: Command) -> int:
    """Return the exit code of wrong usage, which is none of a command's that runs remotely."""
    return USAGE if command.failed == FAILED else command.failed


class _OneClient:
    """A client for the one command that this process does."""

    def __init__(self, environ: Mapping[str, str], warn: Callable[[str], None]) -> None:
        self.environ = environ
        self._warn = warn

    def connect(self, config: Config) -> Client:
        return Client.connect(config)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        client = self.connect(load_config(self.environ, warn=self._warn))
        async with client.proxy:
            yield client
