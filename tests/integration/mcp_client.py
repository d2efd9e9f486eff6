"""An MCP client of the server that `gemini-extension.json` starts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import anyio
from mcp import Client, stdio_client

from tests.integration.programs import DEADLINE, clean_environment, processes_with_home
from tools.manifest import server_parameters

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

Era = Literal["legacy", "auto"]


@asynccontextmanager
async def mcp_client(home: Path, era: Era = "legacy", **variables: str) -> AsyncGenerator[Client]:
    """Start the server over stdio; at the end check that it printed no error and has ended."""
    _, parameters = server_parameters(variables)
    parameters.env = clean_environment(home) | (parameters.env or {})
    # A real file: pytest replaces sys.stderr, which the transport would take otherwise.
    with (home / "stderr").open("w") as errors, anyio.fail_after(DEADLINE):
        async with Client(stdio_client(parameters, errlog=errors), mode=era) as client:
            yield client
    assert (home / "stderr").read_text() == ""
    assert processes_with_home(home) == []
