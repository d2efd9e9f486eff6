"""Define a terminal command as a typed function: its parameters are the arguments."""

from __future__ import annotations

import argparse
import inspect
import math
import re
import sys
from dataclasses import dataclass, is_dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    Final,
    ParamSpec,
    TypeVar,
    get_args,
    get_type_hints,
)

from sandbox_client.client import Client

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from sandbox_client.provider import ClientProvider

    from .console import Console

OK, FAILED, USAGE, NOT_READY, NO_RESULT, INTERRUPTED = 0, 1, 2, 3, 125, 130
TIMED_OUT, READER_GONE = 124, 141  # as timeout(1) and a shell give them
KILLED = 137

COMMANDS: Final[dict[str, Command]] = {}  # by verb; a module's commands are added on its import

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([dhms]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

P = ParamSpec("P")
Connection = TypeVar("Connection", Client, "ClientProvider")


def duration(text: str) -> float:
    """Return the seconds of a text such as 30, 30s, 10m, 2h or 1h30m."""
    parts = list(_DURATION.finditer(text))
    is_whole = "".join(part[0] for part in parts) == text
    is_valid = is_whole and (len(parts) == 1 or (parts and all(part[2] for part in parts)))
    seconds = sum(float(part[1]) * _UNITS[part[2]] for part in parts) if is_valid else math.inf
    if seconds == math.inf:  # also if it has too many digits
        raise argparse.ArgumentTypeError(f"invalid duration (30s, 10m, 1h30m) value: {text!r}")
    return seconds


def row_limit(text: str) -> int:
    """Return a number of rows, 1 or more; `all` is more than any list has."""
    limit = int(text) if text.isascii() and text.isdigit() else 0
    if text == "all":
        return sys.maxsize
    if not limit:
        raise argparse.ArgumentTypeError(f"invalid number of rows (1 or more, or all): {text!r}")
    return limit


class Argument:
    """The argparse arguments of a parameter: `flags`, and keywords of `add_argument`.

    Without flags, it is a positional argument.
    """

    def __init__(self, *flags: str, **options: Any) -> None:
        self.flags = flags
        self.options = options

    def add_to(self, parser: ArgumentParser, parameter: inspect.Parameter, kind: Any) -> None:
        """Add it to `parser` under the parameter's name; `kind` is the parameter's type."""
        options = dict(self.options)
        if kind is bool:
            options.setdefault("action", "store_true")
        elif int in (kind, *get_args(kind)):  # int, or int | None
            options.setdefault("type", int)
        is_required = parameter.default is parameter.empty
        if not is_required:
            options["default"] = parameter.default
        if self.flags:
            parser.add_argument(*self.flags, dest=parameter.name, required=is_required, **options)
            return
        if not is_required:
            options.setdefault("nargs", "?")
        parser.add_argument(parameter.name, **options)


class OptionAsTyped(argparse.Action):
    """Store the flag of an option, which has `nargs=0`, as it was typed."""

    def __call__(
        self, _parser: ArgumentParser, namespace: Namespace, _values: Any, flag: str | None = None
    ) -> None:
        """Store it."""
        setattr(namespace, self.dest, flag)


@dataclass(frozen=True)
class Command:
    """A command that `command` has registered under its verb."""

    verb: str
    summary: str
    function: Callable[..., Coroutine[Any, Any, int]]
    failed: int
    interrupted: str
    interrupted_early: str
    usage: str | None

    @property
    def flags(self) -> set[str]:
        """The flags of all its options."""
        return {flag for argument, _, _ in _arguments(self.function) for flag in argument.flags}

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add its arguments to `parser`."""
        for argument, parameter, kind in _arguments(self.function):
            argument.add_to(parser, parameter, kind)

    async def run(self, provider: ClientProvider, arguments: Namespace, console: Console) -> int:
        """Call the function with the parsed arguments and return the exit code."""
        values = _keywords(self.function, vars(arguments))
        first = next(iter(inspect.signature(self.function).parameters))
        if get_type_hints(self.function)[first] is not Client:
            return await self.function(provider, console, **values)
        async with provider.client() as client:
            return await self.function(client, console, **values)


def command(
    *,
    failed: int = FAILED,
    interrupted: str = "interrupted",
    interrupted_early: str = "",
    usage: str | None = None,
) -> Callable[
    [Callable[Concatenate[Connection, Console, P], Coroutine[Any, Any, int]]],
    Callable[Concatenate[Connection, Console, P], Coroutine[Any, Any, int]],
]:
    """Register a coroutine function as the command of the same name, without a trailing `_`.

    It returns the exit code, and its docstring's first line is the help. Its two positional
    parameters are a Client, or a ClientProvider where the annotation says so, and the Console.
    Each keyword-only parameter is an argument of the command line::

        @command()
        async def create(
            client: Client,
            console: Console,
            *,
            name: Annotated[str, Argument(metavar="NAME", help="the sandbox's name")],
            port: Annotated[int | None, Argument("--port", help="the runtime's port")] = None,
        ) -> int:
            ...

    - With flags it is an option, without flags positional. A parameter without a default is
      required.
    - `bool` makes a flag without a value, `int` converts the value; any other value is a string.
      `type`, `choices`, `nargs` and `action` of Argument are passed to argparse.
    - A data class with keyword-only fields, as the type of a parameter, stands for its fields.

    `failed` is the exit code without a result. `interrupted` is printed after Ctrl-C, and
    `interrupted_early` instead while the console has no session; verbs in braces become command
    lines. `usage` replaces argparse's usage line.
    """

    def register(
        function: Callable[Concatenate[Connection, Console, P], Coroutine[Any, Any, int]],
    ) -> Callable[Concatenate[Connection, Console, P], Coroutine[Any, Any, int]]:
        verb = function.__name__.removesuffix("_")
        summary = (inspect.getdoc(function) or "").partition("\n")[0].removesuffix(".")
        COMMANDS[verb] = Command(
            verb, summary, function, failed, interrupted, interrupted_early, usage
        )
        return function

    return register


def _parameters(source: Callable[..., object]) -> Iterator[tuple[inspect.Parameter, Any]]:
    """Yield the keyword-only parameters of a function or data class, with their annotations."""
    hints = get_type_hints(source, include_extras=True)
    for parameter in inspect.signature(source).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            yield parameter, hints[parameter.name]


def _is_group(hint: Any) -> bool:
    """Return whether a parameter stands for the fields of a data class."""
    return is_dataclass(hint)


def _arguments(
    source: Callable[..., object],
) -> Iterator[tuple[Argument, inspect.Parameter, Any]]:
    """Yield each argument with its parameter and its type, also those of data classes."""
    for parameter, hint in _parameters(source):
        if _is_group(hint):
            yield from _arguments(hint)
        else:
            kind, argument = get_args(hint)
            yield argument, parameter, kind


def _keywords(source: Callable[..., object], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments for `source`, with its data classes built."""
    return {
        parameter.name: hint(**_keywords(hint, values))
        if _is_group(hint)
        else values[parameter.name]
        for parameter, hint in _parameters(source)
    }


Limit = Annotated[
    int | None,
    Argument(
        "--limit",
        type=row_limit,
        metavar="N",
        help="list the newest N, or all (default: 100 sandboxes, 50 commands), also with --json",
    ),
]
SandboxName = Annotated[str, Argument(metavar="NAME", help="the sandbox's name")]
