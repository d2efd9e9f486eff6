"""A tool of the MCP server: a typed function, from whose signature its schema is made.

    @tool("List a directory. Returns names.", output={"entries": "array"}, verb="files")
    async def list_files(client: Client, *, name: Name, path: Path = ".") -> Result: ...

The keyword-only parameters are the tool's arguments: each is a `str`, an `int`, a `bool` or an
`int | None`, annotated with an `Argument`; one with a default is optional. A positional parameter
gets, by its name, the `client`, the `provider` of clients, or the callback `on_progress`.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from sandbox_client.errors import InvalidInput
from sandbox_client.masking import visible
from sandbox_client.output import Output
from sandbox_client.text import kind_of, pluralize
from sandbox_client.truncation import tail

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sandbox_client.errors import SandboxError, Verb
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.provider import ClientProvider


@dataclass(frozen=True)
class Result:
    """The result of a tool: text for a model, and the same as an object for a program."""

    text: str
    content: Mapping[str, object] | None = None
    is_error: bool = False


@dataclass(frozen=True)
class Argument:
    """The description of a tool's argument, and the bounds of an integer."""

    description: str
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Parameter:
    """An argument of a tool; `kind` is its JSON type: string, integer or boolean."""

    name: str
    kind: str
    argument: Argument
    required: bool

    @property
    def description(self) -> str:
        """The description that a model reads."""
        return self.argument.description

    def schema(self) -> dict[str, object]:
        """Return its JSON schema: one explicit type, since unions have broken clients."""
        schema: dict[str, object] = {"type": self.kind, "description": self.description}
        bounds = {"minimum": self.argument.minimum, "maximum": self.argument.maximum}
        return schema | {name: bound for name, bound in bounds.items() if bound is not None}

    def is_within(self, number: int) -> bool:
        """Whether a number is within the bounds."""
        least, greatest = self.argument.minimum, self.argument.maximum
        return (least is None or least <= number) and (greatest is None or number <= greatest)

    def describe_bounds(self) -> str:
        """Return the bounds in words."""
        least, greatest = self.argument.minimum, self.argument.maximum
        return f"{least} or more" if greatest is None else f"from {least} to {greatest}"


_INTEGER = re.compile("-?(0|[1-9][0-9]{0,99})")
_KINDS: dict[str, tuple[type, str]] = {
    "string": (str, "a string"),
    "integer": (int, "an integer"),
    "boolean": (bool, "a boolean"),
}

_JSON_TYPES: dict[object, str] = {str: "string", int: "integer", bool: "boolean"}
_INJECTED = ("client", "provider", "on_progress")
_TOOL_OF_VERB: dict[Verb, str] = {}


@dataclass(frozen=True)
class Tool:
    """A tool as MCP lists it, and the function that runs it."""

    name: str
    description: str
    function: Callable[..., Awaitable[Result]]
    parameters: tuple[Parameter, ...]
    output: Mapping[str, str]
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False

    async def run(
        self,
        provider: ClientProvider,
        arguments: Mapping[str, object],
        on_progress: ProgressCallback,
    ) -> Result:
        """Run the tool with arguments that `check` returned."""
        wanted = [name for name in inspect.signature(self.function).parameters if name in _INJECTED]
        given: dict[str, object] = {"provider": provider, "on_progress": on_progress}
        if "client" not in wanted:
            return await self.function(*(given[name] for name in wanted), **arguments)
        async with provider.client() as client:
            given["client"] = client
            return await self.function(*(given[name] for name in wanted), **arguments)

    def input_schema(self) -> dict[str, object]:
        """Return the JSON schema of the arguments."""
        properties = {each.name: each.schema() for each in self.parameters}
        required = [each.name for each in self.parameters if each.required]
        schema: dict[str, object] = {"type": "object", "properties": properties}
        return {**schema, "required": required} if required else schema

    def output_schema(self) -> dict[str, object]:
        """Return the JSON schema of the structured result, in which ? ends an optional name."""
        return {
            "type": "object",
            "properties": {name.rstrip("?"): {"type": kind} for name, kind in self.output.items()},
            "required": [name for name in self.output if not name.endswith("?")],
        }

    def check(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments in the types of the parameters.

        Clients send null and empty strings for omitted arguments, and numbers and booleans as
        strings; some send an argument to a tool without parameters.

        Raises:
            InvalidInput: an argument is missing, unknown or of another type.
        """
        if not self.parameters:
            return {}
        # Gemini CLI adds this one to every tool's schema and forwards it.
        given = {k: v for k, v in arguments.items() if v is not None and k != "wait_for_previous"}
        known = {each.name: each for each in self.parameters}
        advice = f"{self.name} takes {', '.join(known)}."
        for name in given:
            if name not in known:
                raise InvalidInput(f"Unknown argument {name[:80]!r}", advice=advice)
        values: dict[str, object] = {}
        for name, parameter in known.items():
            value = given.get(name)
            if value is None or (value == "" and not parameter.required):
                if parameter.required:
                    raise InvalidInput(f"Argument {name!r} is missing", advice=advice)
                continue
            values[name] = _typed(parameter, value)
        return values


def _typed(parameter: Parameter, value: object) -> object:
    value = _converted(parameter.kind, value)
    kind, expected = _KINDS[parameter.kind]
    if type(value) is not kind:  # exactly: true is an int to Python
        raise InvalidInput(
            f"Argument {parameter.name!r} is {kind_of(value)}, not {expected}",
            advice=f"{parameter.name}: {parameter.description}",
        )
    if kind is int and isinstance(value, int) and not parameter.is_within(value):
        raise InvalidInput(
            f"Argument {parameter.name!r} has value {value}",
            advice=f"Give a whole number {parameter.describe_bounds()}.",
        )
    return value


def _converted(kind: str, value: object) -> object:
    """Return a value as the JSON type `kind` if it is one in another form."""
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON has one kind of number
    if isinstance(value, str) and kind == "integer" and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, str) and kind == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return value


def tool(
    description: str,
    *,
    output: Mapping[str, str],
    verb: Verb | tuple[Verb, ...] = (),
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
) -> Callable[[Callable[..., Awaitable[Result]]], Tool]:
    """Return a decorator that makes a tool of a function, as the head of this module says.

    `output` maps the members of the structured result to their JSON types. Advice that names
    `verb` in braces, such as `{resume}`, shows the tool's name to a model.
    """

    def decorate(function: Callable[..., Awaitable[Result]]) -> Tool:
        name = function.__name__
        for each in (verb,) if isinstance(verb, str) else verb:
            _TOOL_OF_VERB[each] = name
        parameters = tuple(_parameters(function))
        return Tool(
            name, description, function, parameters, output, read_only, destructive, idempotent
        )

    return decorate


def _parameters(function: Callable[..., Awaitable[Result]]) -> list[Parameter]:
    # The types of injected parameters may be imported for type checkers only.
    unused: dict[str, Any] = {
        "Client": object,
        "ClientProvider": object,
        "ProgressCallback": object,
    }
    hints: dict[str, Any] = get_type_hints(function, localns=unused, include_extras=True)
    found: list[Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        annotated, argument = get_args(hints[name])
        kind = next(each for each in (*get_args(annotated), annotated) if each in _JSON_TYPES)
        is_required = parameter.default is parameter.empty
        found.append(Parameter(name, _JSON_TYPES[kind], argument, is_required))
    return found


def format_verb(verb: Verb) -> str:
    """Return the name of the tool for a verb."""
    return _TOOL_OF_VERB[verb]


def error_result(error: SandboxError) -> Result:
    """Return an error as text: what happened, the cause, and what to do next.

    The output of a command before the error comes last, with its length.
    """
    text = error.explain(format_verb)
    if error.printed.strip():
        printed = visible(tail(Output.of(error.printed)).text).rstrip()
        text += f"\n[What follows is {pluralize(len(printed), 'character')} of output.]\n{printed}"
    return Result(text, is_error=True)
