"""Parse the command line, run the command and return its exit code."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio

from sandbox_client.client import Client
from sandbox_client.config import DEFAULT_PATH, load_config
from sandbox_client.errors import ConfigError, InvalidInput, SandboxError
from sandbox_client.presentation.errors import format_verbs
from sandbox_client.text import mask_keys

from .command import (
    COMMANDS,
    FAILED,
    INTERRUPTED,
    NO_RESULT,
    NOT_READY,
    OK,
    READER_GONE,
    TIMED_OUT,
    USAGE,
)
from .console import Console, drop_unusable_sizes
from .process import Interruption, OutputLost, discard, interruptible, open_streams, write

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from sandbox_client.config import Config

    from .command import Command

# Only the module of the verb is imported: the others need packages that the command does not use.
MODULES: Final = {
    "sandboxes": ("create", "status", "delete", "resume", "list"),
    "activity": ("ps", "pause"),
    "prompts": ("prompt", "output", "cancel"),
    "agent": ("agent",),
    "repositories": ("push", "pull"),
    "copy": ("cp",),
    "doctor": ("doctor",),
    "login": ("login",),
}
VERBS: Final = tuple(verb for verbs in MODULES.values() for verb in verbs)


def command_of(verb: str) -> Command:
    """Return the command of one of the VERBS."""
    module = next(module for module, verbs in MODULES.items() if verb in verbs)
    import_module(f"sandbox_client.cli.{module}")
    return COMMANDS[verb]


_EPILOG = f"""\
exit codes:
  {OK}    done
  {FAILED}    the proxy refused, failed or could not be reached
  {USAGE}    wrong usage, or a configuration that cannot be used
  {NOT_READY}    accepted, but not ready, or not paused, yet
  {INTERRUPTED}  interrupted with Ctrl-C (SIGTERM: 143, SIGHUP: 129)
  {READER_GONE}  the output's reader has gone, as in `… | head`
prompt, agent and output end with the command's own exit
code (128 + n after signal n), with {TIMED_OUT} after its time
limit, or with {NO_RESULT} if it has none, also after wrong usage.
output ends with {OK} if the command still runs, cancel with
{NO_RESULT}, and cp with {FAILED} if it skipped a file.

login writes the configuration (proxyUrl, apiKey) to
{DEFAULT_PATH};
REMOTE_SANDBOX_CONFIG names another file.
"""


class _Parser(argparse.ArgumentParser):
    """A parser that ends with the exit code of the command: 125 for a wrong `prompt`."""

    def parse_known_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Reject unknown arguments with the usage of the command, not of the program."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            why = _why_unknown(list(args or ()), known, unknown)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{why}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        console = Console(as_json=False, name="")
        console.say(f"error: {mask_keys(message)}")
        console.say(f"next:  `{self.prog} --help` shows how to use it")
        verb = self.prog.rpartition(" ")[2]
        self.exit(USAGE if verb not in VERBS else _misused(command_of(verb)))


def _why_unknown(words: list[str], known: argparse.Namespace, unknown: list[str]) -> str:
    """Say why words of a command line that are no options were not expected."""
    name = getattr(known, "name", "")
    if name not in words or any(each.startswith("-") for each in unknown):
        return ""
    if any(each.startswith("-") for each in words[words.index(name) :]):
        return "; options go before NAME"
    return "" if "session" in known else "; one sandbox is expected"


class _Version(argparse.Action):
    """Print the version; it is read only then, since that takes a tenth of the start time."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        from importlib.metadata import version

        write(f"{parser.prog} {version('async-remote-agent')}\n")
        parser.exit()


def parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser for `argv`: of its command, or of all if it does not begin with one."""
    common = _Parser(add_help=False)
    common.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,  # or the command's parser would reset a --json before the verb
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
    first = next((word for word in argv if word != "--json"), "")
    for verb in [first] if first in VERBS else VERBS:
        command = command_of(verb)
        command_parser = verbs.add_parser(
            verb,
            help=command.summary,
            description=f"{command.summary}.",
            usage=command.usage,
            parents=[common],
            allow_abbrev=False,  # `--key` does not stand for `--key-stdin`
        )
        command.add_arguments(command_parser)
    summary = "Serve MCP on standard input and output"
    verbs.add_parser(
        "mcp",
        help=f"{summary}, for Gemini CLI",
        description=f"{summary} until the input ends. Gemini CLI and other clients start it.",
    )
    return top


def run(argv: Sequence[str]) -> int:
    """Run the command of `argv` and return the exit code."""
    code = FAILED
    try:
        drop_unusable_sizes(os.environ)
        open_streams()
        arguments = _parsed(argv)
        if arguments.verb == "mcp":  # with options; without, __main__ serves
            return _serve()
        command = command_of(arguments.verb)
        code = command.failed
        return _run(command, arguments)
    except BrokenPipeError:
        discard(sys.stdout)  # as in `… | head`
        return READER_GONE
    except OutputLost as exc:
        discard(sys.stdout)
        print(f"error: Standard output cannot be written: {exc}", file=sys.stderr)
        return code


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    try:
        return parser(argv).parse_args(argv)
    except SystemExit:
        write("")  # flush the help
        raise


def _serve() -> int:
    from sandbox_client.mcp_server.handshake import serve

    serve()
    return OK


def _run(command: Command, arguments: argparse.Namespace) -> int:
    console = Console(as_json="json" in arguments, name=getattr(arguments, "name", ""))
    interruption = Interruption()
    try:
        with interruptible(), interruption.by_other_signals():
            provider = _SingleClient(os.environ, console.say)
            return anyio.run(command.run, provider, arguments, console)
    except SandboxError as error:
        console.error(error)
        is_misuse = isinstance(error, ConfigError | InvalidInput)
        return _misused(command) if is_misuse else command.failed
    except KeyboardInterrupt:
        console.end_output()
        words = command.interrupted if console.session else command.interrupted_early
        words = console.interrupted or words or command.interrupted
        console.note(format_verbs(words, console.format_verb))
        return 128 + interruption.signal


def _misused(command: Command) -> int:
    """Return the exit code for wrong usage: USAGE, or 125 if the code may be a remote command's."""
    return USAGE if command.failed == FAILED else command.failed


class _SingleClient:
    """The client of a process that runs one command."""

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
