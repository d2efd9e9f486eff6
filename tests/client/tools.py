"""The tools over a proxy that is played, and what every result has to keep."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
from sandbox_client._errors import SandboxError
from sandbox_client._tools import TOOLS
from sandbox_client._tools.speech import render_error

from tests.client.doubles import Reports, Routes, client_over

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from sandbox_client._client import Client
    from sandbox_client._config import Config
    from sandbox_client._tools.tool import Result, Tool

    from tests.client.doubles import Answers, Clock

BY_NAME: dict[str, Tool] = {tool.name: tool for tool in TOOLS}
every_tool = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: str(tool.name))


def check_against(schema: Mapping[str, object], value: object) -> None:
    """Fail where `value` is not what `schema` says."""
    jsonschema.validate(value, dict(schema))  # pyright: ignore[reportUnknownMemberType]  # untyped


def check_schema(schema: Mapping[str, object]) -> None:
    """Fail where `schema` is no JSON schema."""
    jsonschema.Draft202012Validator.check_schema(dict(schema))  # pyright: ignore[reportUnknownMemberType]  # untyped


def is_json(text: str) -> bool:
    """Whether a client that looks for JSON would take the text for it."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class Lent:
    """Access to one client, whatever the configuration is."""

    def __init__(self, client: Client) -> None:
        self.environ: Mapping[str, str] = {}
        self._client = client

    def connect(self, config: Config) -> Client:
        return self._client

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        yield self._client


async def use(
    name: str,
    arguments: Mapping[str, object],
    answers: Answers,
    clock: Clock | None = None,
) -> Result:
    """The result of a call as a model gets it, checked for what all results keep."""
    tool = BY_NAME[name]
    async with client_over(Routes(answers), clock) as client:
        try:
            result = await tool.run(Lent(client), tool.check(arguments), Reports())
        except SandboxError as error:
            result = render_error(error)
    assert not is_json(result.text)
    if not result.is_error:
        check_against(tool.output_schema(), result.content)
        json.dumps(result.content)
    return result
