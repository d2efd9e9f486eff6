"""The rules by which a function's signature becomes the arguments of a command."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, get_args

import pytest
from sandbox_client import Client
from sandbox_client.cli.command import COMMANDS, Argument, Command, command
from sandbox_client.cli.console import Console
from sandbox_client.cli.main import MODULES, VERBS, command_of, parser
from sandbox_client.presentation.errors import Verb
from sandbox_client.provider import ClientProvider

from tests.client.interaction import StubProvider
from tests.client.stubs import KEY, URL, RouteStub

CALLS: list[dict[str, object]] = []


@dataclass(frozen=True, kw_only=True)
class Options:
    count: Annotated[int | None, Argument("--count", help="how many")] = None
    force: Annotated[bool, Argument("-f", "--force", help="even so")] = False


@command(failed=3)
async def move_(
    client: Client,
    console: Console,
    *,
    options: Options,
    to: Annotated[str, Argument("--to", help="the new place")],
    name: Annotated[str, Argument(metavar="NAME", help="the sandbox")],
    words: Annotated[list[str], Argument(metavar="WORD", nargs="*", help="the rest")],
) -> int:
    """Move it.

    Not part of the help.
    """
    CALLS.append({"first": client, "options": options, "to": to, "name": name, "words": words})
    return 5


@command()
async def check(
    provider: ClientProvider,
    console: Console,
    *,
    name: Annotated[str | None, Argument(metavar="NAME", help="the sandbox")] = None,
) -> int:
    """Check it."""
    CALLS.append({"first": provider, "name": name})
    return 0


# No test of the real commands sees these.
MOVE, CHECK = COMMANDS.pop("move"), COMMANDS.pop("check")


def parsed(tested: Command, *words: str) -> argparse.Namespace:
    arguments = argparse.ArgumentParser(prog="program", exit_on_error=False)
    tested.add_arguments(arguments)
    return arguments.parse_args(words)


async def run(tested: Command, *words: str) -> tuple[int, dict[str, object]]:
    """Return the exit code and the arguments of the call."""
    environ = {"REMOTE_SANDBOX_PROXY_URL": URL, "REMOTE_SANDBOX_API_KEY": KEY}
    provider = StubProvider(environ, RouteStub({}))
    console = Console(as_json=False, name="")
    code = await tested.run(provider, parsed(tested, *words), console)
    return code, CALLS.pop()


async def test_a_function_gets_a_client_and_its_arguments() -> None:
    code, call = await run(MOVE, "--count", "3", "-f", "--to", "there", "box", "a", "b")

    assert code == 5
    assert isinstance(call.pop("first"), Client)
    assert call == {
        "options": Options(count=3, force=True),
        "to": "there",
        "name": "box",
        "words": ["a", "b"],
    }


async def test_a_default_makes_an_argument_optional() -> None:
    _, call = await run(MOVE, "--to", "there", "box")
    assert (call["options"], call["words"]) == (Options(), [])
    _, call = await run(CHECK)
    assert call["name"] is None


async def test_a_function_that_asks_for_the_provider_gets_it() -> None:
    _, call = await run(CHECK, "box")

    assert isinstance(call["first"], StubProvider)


@pytest.mark.parametrize("words", [["box"], ["--to", "there"], ["--to", "x", "--count", "y", "b"]])
def test_a_missing_or_invalid_argument_is_rejected(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parsed(MOVE, *words)


def test_the_verb_and_the_summary_are_those_of_the_function() -> None:
    assert (MOVE.verb, MOVE.summary, MOVE.failed) == ("move", "Move it", 3)


def test_the_flags_include_those_of_a_data_class() -> None:
    assert MOVE.flags == {"--count", "-f", "--force", "--to"}


@pytest.mark.parametrize("module", MODULES)
def test_the_table_of_verbs_names_the_commands_of_each_module(module: str) -> None:
    name = import_module(f"sandbox_client.cli.{module}").__name__

    defined = [verb for verb, each in COMMANDS.items() if each.function.__module__ == name]
    assert sorted(defined) == sorted(MODULES[module])


@pytest.mark.parametrize("verb", VERBS)
def test_each_command_has_a_summary(verb: str) -> None:
    assert command_of(verb).summary


@pytest.mark.parametrize("verb", get_args(Verb))
def test_the_command_line_of_each_advice_is_valid(verb: Verb) -> None:
    program, *words = Console(as_json=False, name="box").format_verb(verb).strip("`").split()

    assert program == "remote-sandbox"
    assert parser(words).parse_args(words).verb in VERBS
