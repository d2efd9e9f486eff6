"""Define an MCP tool: its schemas, and how its arguments are checked."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_client.errors import InvalidInput
from sandbox_client.text import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_client.polling import ProgressCallback
    from sandbox_client.provider import ClientProvider


@dataclass(frozen=True)
class Result:
    """What a tool answers: text for a model, and the same as an object for a program."""

    text: str
    content: Mapping[str, object] | None = None
    is_error: bool = False


@dataclass(frozen=True)
class Parameter:
    """One argument of a tool: `kind` is a JSON type: string, integer or boolean.

    `bounds` are the least and the greatest of an integer, where there are such.
    """

    name: str
    kind: str
    description: str
    required: bool = True
    bounds: tuple[int, int | None] | None = None

    def schema(self) -> dict[str, object]:
        """Return its JSON schema: one explicit type, since unions have broken clients."""
        schema: dict[str, object] = {"type": self.kind, "description": self.description}
        if self.bounds is not None:
            least, greatest = self.bounds
            schema["minimum"] = least
            if greatest is not None:
                schema["maximum"] = greatest
        return schema

    def is_within(self, number: int) -> bool:
        """Tell whether a number is within the bounds."""
        least, greatest = self.bounds or (number, None)
        return least <= number and (greatest is None or number <= greatest)

    def extent(self) -> str:
        """Return the words for the bounds."""
        least, greatest = self.bounds or (None, None)
        return f"{least} or more" if greatest is None else f"from {least} to {greatest}"


@dataclass(frozen=True)
class Arguments:
    """A call's arguments, checked against the tool's parameters."""

    values: Mapping[str, object]

    def text(self, name: str) -> str:
        """Return a string argument; empty where an optional one was left out."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int | None:
        """Return an integer argument; None where an optional one was left out."""
        value = self.values.get(name)
        return value if isinstance(value, int) else None

    def flag(self, name: str) -> bool:
        """Return a boolean argument; false where an optional one was left out."""
        return self.values.get(name) is True


_INTEGER = re.compile("-?(0|[1-9][0-9]{0,99})")
_KINDS: dict[str, tuple[type, str]] = {
    "string": (str, "a string"),
    "integer": (int, "an integer"),
    "boolean": (bool, "a boolean"),
}

Run = Callable[["ClientProvider", Arguments, "ProgressCallback"], Awaitable[Result]]


@dataclass(frozen=True)
class Tool:
    """A tool as MCP lists it, and what it does."""

    name: str
    description: str
    run: Run
    parameters: tuple[Parameter, ...]
    output: Mapping[str, str]
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False

    def input_schema(self) -> dict[str, object]:
        """Return the JSON schema of the arguments."""
        properties = {each.name: each.schema() for each in self.parameters}
        required = [each.name for each in self.parameters if each.required]
        schema: dict[str, object] = {"type": "object", "properties": properties}
        return {**schema, "required": required} if required else schema

    def output_schema(self) -> dict[str, object]:
        """Return the JSON schema of the structured result; a trailing ? marks what may lack."""
        return {
            "type": "object",
            "properties": {name.rstrip("?"): {"type": kind} for name, kind in self.output.items()},
            "required": [name for name in self.output if not name.endswith("?")],
        }

    def check(self, arguments: Mapping[str, object]) -> Arguments:
        """Return the arguments in the types that the parameters have.

        Clients send null and empty strings for what was left out, and numbers and booleans as
        strings; to a tool without parameters, some send an argument all the same.

        Raises:
            InvalidInput: one is missing, unknown or of another type.
        """
        if not self.parameters:
            return Arguments({})
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
        return Arguments(values)


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
            advice=f"Give a whole number {parameter.extent()}.",
        )
    return value


def _converted(kind: str, value: object) -> object:
    """Return a value as the JSON type `kind` where it is exactly one in another form."""
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON has one kind of number
    if isinstance(value, str) and kind == "integer" and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, str) and kind == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return value
