"""The baseline of the MCP server: one without tools, on the same package, over stdio."""

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
    """Return an empty list of tools."""
    return types.ListToolsResult(tools=[])


async def main() -> None:
    """Serve until the end of the input."""
    server = Server("empty", on_list_tools=list_tools)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(main)
