"""Call a tool over a stub proxy, with the checks that hold for every result."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
from sandbox_client.mcp_server import tools
from sandbox_client.mcp_server.tools import TOOLS

from tests.client.stubs import RecordedProgress, RouteStub, client_over

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from sandbox_client import Client, Config
    from sandbox_client.mcp_server.tool import Result, Tool

    from tests.client.stubs import Answers, FakeClock

TOOLS_BY_NAME: dict[str, Tool[...]] = {tool.name: tool for tool in TOOLS}
every_tool = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: str(tool.name))


def assert_matches(schema: Mapping[str, object], value: object) -> None:
    """Assert that `value` conforms to `schema`."""
    jsonschema.validate(value, dict(schema))  # pyright: ignore[reportUnknownMemberType]  # untyped


def assert_is_schema(schema: Mapping[str, object]) -> None:
    """Assert that `schema` is a valid JSON schema."""
    jsonschema.Draft202012Validator.check_schema(dict(schema))  # pyright: ignore[reportUnknownMemberType]  # untyped


def is_json(text: str) -> bool:
    """Return whether the text parses as JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class SharedClient:
    """A client provider that always provides the same client."""

    def __init__(self, client: Client) -> None:
        self.environ: Mapping[str, str] = {}
        self._client = client

    def connect(self, config: Config) -> Client:
        return self._client

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        yield self._client


async def call_tool(
    name: str,
    arguments: Mapping[str, object],
    answers: Answers,
    clock: FakeClock | None = None,
    *,
    pipes: bool = False,
) -> Result:
    """Return the result that a model gets, checked against the tool's output schema."""
    async with client_over(RouteStub(answers), clock, pipes=pipes) as client:
        return await call_with_client(client, name, arguments)


async def call_with_client(client: Client, name: str, arguments: Mapping[str, object]) -> Result:
    """Return the result of a tool with this client, checked against the tool's output schema."""
    tool = TOOLS_BY_NAME[name]
    result = await tools.call_tool(tool, arguments, SharedClient(client), RecordedProgress())
    assert not result.text.startswith("Internal error")
    assert not is_json(result.text)
    if not result.is_error:
        assert_matches(tool.output_schema(), result.content)
        json.dumps(result.content)
    return result
