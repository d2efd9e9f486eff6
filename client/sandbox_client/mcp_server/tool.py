"""Define an MCP tool: a typed function with its input schema in its signature.

Example:
    ```python
    @tool("read", output={"name": "string", "content": "string"}, read_only=True)
    async def read_sandbox_file(
        client: "Client",
        *,
        name: Annotated[str, Parameter("The sandbox's name.")],
        start_line: Annotated[int, Parameter("From 1.", minimum=1)] = 1,
    ) -> Result:
        \"\"\"Read a text file in a sandbox. Returns its lines.\"\"\"
    ```
"""

from __future__ import annotations

import inspect
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Generic, ParamSpec, get_args, get_origin

from sandbox_client.errors import InvalidInput
from sandbox_client.text import kind_of

from .workspaces import no_roots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sandbox_client.polling import ProgressCallback
    from sandbox_client.presentation.errors import Verb
    from sandbox_client.provider import ClientProvider

    from .workspaces import ListRoots

P = ParamSpec("P")

INJECTED = ("client", "provider", "on_progress", "list_roots")
_JSON_TYPES: dict[object, str] = {str: "string", int: "integer", bool: "boolean"}
_WITH_ARTICLE = {"string": "a string", "integer": "an integer", "boolean": "a boolean"}
_INTEGER = re.compile("-?(0|[1-9][0-9]{0,99})")
_tool_names: dict[Verb, str] = {}


@dataclass(frozen=True)
class Result:
    """The result of a tool: text for a model, and the same as an object for a program."""

    text: str
    content: Mapping[str, object] | None = None
    is_error: bool = False


@dataclass(frozen=True)
class Parameter:
    """The part of an argument's schema that its Python type lacks.

    `minimum` and `maximum` are for integers, both inclusive; a maximum needs a minimum.
    """

    description: str
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Argument:
    """One argument of a tool; `json_type` is string, integer or boolean."""

    name: str
    json_type: str
    is_required: bool
    parameter: Parameter

    @property
    def description(self) -> str:
        """The description that a model reads."""
        return self.parameter.description

    def schema(self) -> dict[str, object]:
        """Return the JSON schema: one explicit type, since unions have broken clients."""
        limits = {"minimum": self.parameter.minimum, "maximum": self.parameter.maximum}
        return {
            "type": self.json_type,
            "description": self.description,
            **{name: limit for name, limit in limits.items() if limit is not None},
        }

    def check(self, value: object) -> object:
        """Return a value in the type of the argument.

        Raises:
            InvalidInput: it has another type or is out of range.
        """
        value = _convert(value, self.json_type)
        if _JSON_TYPES.get(type(value)) != self.json_type:  # exactly: true is an int in Python
            raise InvalidInput(
                f"Argument {self.name!r} is {kind_of(value)}, not {_WITH_ARTICLE[self.json_type]}",
                advice=f"{self.name}: {self.description}",
            )
        if isinstance(value, int):
            self._check_range(value)
        return value

    def _check_range(self, number: int) -> None:
        minimum, maximum = self.parameter.minimum, self.parameter.maximum
        if minimum is None or (minimum <= number and (maximum is None or number <= maximum)):
            return
        limits = f"{minimum} or more" if maximum is None else f"from {minimum} to {maximum}"
        raise InvalidInput(
            f"Argument {self.name!r} has value {number}", advice=f"Give a whole number {limits}."
        )


def _convert(value: object, json_type: str) -> object:
    """Convert a value that another JSON type represents exactly; return any other unchanged."""
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON has one type of numbers
    if isinstance(value, str) and json_type == "integer" and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, str) and json_type == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return value


@dataclass(frozen=True)
class Tool(Generic[P]):
    """A function that the server offers as a tool. Calling it calls the function."""

    function: Callable[..., Awaitable[Result]]
    name: str
    description: str
    injected: tuple[str, ...]
    arguments: tuple[Argument, ...]
    output: Mapping[str, str]
    read_only: bool
    destructive: bool
    idempotent: bool

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[Result]:
        """Call the function, with arguments that a type checker has checked."""
        return self.function(*args, **kwargs)

    async def run(
        self,
        provider: ClientProvider,
        arguments: Mapping[str, object],
        on_progress: ProgressCallback,
        list_roots: ListRoots = no_roots,
    ) -> Result:
        """Call the function with the arguments of a request, checked.

        Raises:
            InvalidInput: an argument is missing, unknown or of another type.
            SandboxError: the function raised it, or the configuration is not usable.
        """
        values = self.check(arguments)
        available: dict[str, object] = {
            "provider": provider,
            "on_progress": on_progress,
            "list_roots": list_roots,
        }
        async with AsyncExitStack() as stack:
            if "client" in self.injected:
                available["client"] = await stack.enter_async_context(provider.client())
            return await self.function(*(available[name] for name in self.injected), **values)

    def input_schema(self) -> dict[str, object]:
        """Return the JSON schema of the arguments."""
        properties = {argument.name: argument.schema() for argument in self.arguments}
        required = [argument.name for argument in self.arguments if argument.is_required]
        schema: dict[str, object] = {"type": "object", "properties": properties}
        return {**schema, "required": required} if required else schema

    def output_schema(self) -> dict[str, object]:
        """Return the JSON schema of the result's content."""
        return {
            "type": "object",
            "properties": {
                name.rstrip("?"): {"type": json_type} for name, json_type in self.output.items()
            },
            "required": [name for name in self.output if not name.endswith("?")],
        }

    def check(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments of a request in the types of the function's parameters.

        Clients send null and empty strings for omitted arguments, and numbers and booleans as
        strings; some send an argument even to a tool that has none.

        Raises:
            InvalidInput: an argument is missing, unknown or of another type.
        """
        if not self.arguments:
            return {}
        # Gemini CLI adds this one to every tool's schema and forwards it.
        sent = {k: v for k, v in arguments.items() if v is not None and k != "wait_for_previous"}
        known = [argument.name for argument in self.arguments]
        advice = f"{self.name} takes {', '.join(known)}."
        for name in sent:
            if name not in known:
                raise InvalidInput(f"Unknown argument {name[:80]!r}", advice=advice)
        values: dict[str, object] = {}
        for argument in self.arguments:
            value = sent.get(argument.name)
            if argument.is_required and value is None:
                raise InvalidInput(f"Argument {argument.name!r} is missing", advice=advice)
            if value is not None and (argument.is_required or value != ""):
                values[argument.name] = argument.check(value)
        return values


def tool(
    *verbs: Verb,
    output: Mapping[str, str],
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
) -> Callable[[Callable[P, Awaitable[Result]]], Tool[P]]:
    """Make a tool of a typed function, with the function's name.

    Keyword-only parameters are the tool's arguments, in this order. Each is annotated with
    `Annotated[type, Parameter(...)]`, where the type is `str`, `int` or `bool`, or one of them
    `| None`. An argument without a default is required.

    Positional parameters get values from the server, by their names: `client` is a client for the
    current configuration, `provider` makes one, `on_progress` reports the progress of a wait,
    `list_roots` asks the MCP client for its workspace.

    The docstring, with its whitespace joined, is the description that a model reads.

    The annotations are read when the function is defined. So its module has no `from __future__
    import annotations`, and quotes the names that it imports for type checking only.

    Args:
        verbs: the placeholders in advice, such as `{read}`, that stand for this tool.
        output: the JSON types of the result's content by name; a name that ends in `?` is optional.
        read_only: it changes nothing.
        destructive: it may remove or overwrite something.
        idempotent: calling it again with the same arguments changes nothing more.

    Raises:
        TypeError: the signature breaks these rules.
    """

    def decorate(function: Callable[P, Awaitable[Result]]) -> Tool[P]:
        parameters = inspect.signature(function).parameters.values()
        keyword_only = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
        injected = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
        if unknown := set(injected) - set(INJECTED):
            raise TypeError(f"{function.__name__}: no value for {unknown}, only for {INJECTED}")
        for verb in verbs:
            _tool_names[verb] = function.__name__
        return Tool(
            function=function,
            name=function.__name__,
            description=" ".join((function.__doc__ or "").split()),
            injected=tuple(injected),
            arguments=tuple(_argument(each) for each in keyword_only),
            output=output,
            read_only=read_only,
            destructive=destructive,
            idempotent=idempotent,
        )

    return decorate


def _argument(parameter: inspect.Parameter) -> Argument:
    """Return the argument that a keyword-only parameter declares."""
    annotation = parameter.annotation
    if get_origin(annotation) is Annotated:
        python_type, metadata, *_ = get_args(annotation)
        json_types = {
            _JSON_TYPES.get(each)
            for each in get_args(python_type) or (python_type,)
            if each is not NoneType
        }
        json_type = json_types.pop()
        if json_type is not None and not json_types and isinstance(metadata, Parameter):
            is_required = parameter.default is parameter.empty
            return Argument(parameter.name, json_type, is_required, metadata)
    raise TypeError(
        f"Annotate {parameter.name} with Annotated[str, int or bool, Parameter(...)], not with"
        f" {annotation!r}; the module must not have `from __future__ import annotations`"
    )


def format_verb(verb: Verb, options: str = "") -> str:
    """Return the name of the tool for a verb in advice, or the user's command line with options."""
    if options:
        return f"`remote-sandbox {verb} {options} NAME`, which the user runs in a terminal"
    return _tool_names[verb]
