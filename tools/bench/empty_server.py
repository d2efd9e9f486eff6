"""The least that is an MCP server: no tools, over stdio, on the package that the product uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext


async def list_tools(
    _: ServerRequestContext[dict[str, object]], __: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    """List none."""
    return types.ListToolsResult(tools=[])


async def main() -> None:
    """Serve until the input ends."""
    server = Server("empty", on_list_tools=list_tools)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(main)
