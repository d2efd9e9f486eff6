"""What an MCP tool is: its schemas, and how its arguments are checked. No tool is named here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._errors import InvalidInput, kind_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ._lifecycle import Report
    from ._sandboxes import Sandboxes


@dataclass(frozen=True)
class Result:
    """What a tool answers: text for a model, and the same as an object for a program."""

    text: str
    content: Mapping[str, object] | None = None
    is_error: bool = False


@dataclass(frozen=True)
class Parameter:
    """One argument of a tool: `kind` is a JSON type, string or integer."""

    name: str
    kind: str
    description: str
    required: bool = True

    def schema(self) -> dict[str, object]:
        """Return its JSON schema: one explicit type, since unions have broken clients."""
        schema: dict[str, object] = {"type": self.kind, "description": self.description}
        if self.kind == "integer":
            schema |= {"minimum": 1, "maximum": 65535}
        return schema


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


@dataclass(frozen=True)
class Tool:
    """A tool as MCP lists it, and what it does."""

    name: str
    title: str
    description: str
    run: Callable[[Sandboxes, Arguments, Report], Awaitable[Result]]
    parameters: tuple[Parameter, ...]
    output: Mapping[str, str]
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False

    def input_schema(self) -> dict[str, object]:
        """Return the JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {each.name: each.schema() for each in self.parameters},
            "required": [each.name for each in self.parameters if each.required],
        }

    def output_schema(self) -> dict[str, object]:
        """Return the JSON schema of the structured result; a trailing ? marks what may lack."""
        return {
            "type": "object",
            "properties": {name.rstrip("?"): {"type": kind} for name, kind in self.output.items()},
            "required": [name for name in self.output if not name.endswith("?")],
        }

    def check(self, arguments: Mapping[str, object]) -> Arguments:
        """Return the arguments; null counts as left out, as clients send it.

        Raises:
            InvalidInput: one is missing, unknown or of another type.
        """
        # Gemini CLI adds this one to every tool's schema and forwards it.
        given = {k: v for k, v in arguments.items() if v is not None and k != "wait_for_previous"}
        known = {each.name: each for each in self.parameters}
        advice = f"{self.name} takes {', '.join(known) or 'no arguments'}."
        for name in given:
            if name not in known:
                raise InvalidInput(f"Unknown argument {name[:80]!r}", advice=advice)
        for name, parameter in known.items():
            if name not in given:
                if parameter.required:
                    raise InvalidInput(f"Argument {name!r} is missing", advice=advice)
                continue
            given[name] = _typed(parameter, given[name])
        return Arguments(given)


def _typed(parameter: Parameter, value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number
    kind, expected = {"string": (str, "a string"), "integer": (int, "an integer")}[parameter.kind]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidInput(
            f"Argument {parameter.name!r} is {kind_of(value)}, not {expected}",
            advice=f"{parameter.name}: {parameter.description}",
        )
    return value
