"""Serve the MCP server over HTTP, for programs that do not support stdio.

    python -m tests.e2e.http_server

It listens on a free port of this machine, prints its URL and runs until Ctrl-C.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import uvicorn
from sandbox_client import Client
from sandbox_client.mcp_server.sandboxes import get_sandbox_status, list_sandboxes
from sandbox_client.mcp_server.server import create_server
from sandbox_client.mcp_server.tool import Result, Tool, tool
from sandbox_client.mcp_server.tools import TOOLS
from sandbox_client.provider import ClientCache

if TYPE_CHECKING:
    from sandbox_client.polling import ProgressCallback

GRACE = 5  # seconds that open streams may last after Ctrl-C


@tool(output={"count": "integer"}, read_only=True)
async def test_tool_with_progress(on_progress: ProgressCallback) -> Result:
    """Count to 100. Returns the number."""
    for percent in (0, 50, 100):
        await on_progress(percent, 100, "counting")
    return Result("Counted to 100.", {"count": 100})


def suite_tools() -> list[Tool[...]]:
    """Return tools with the names that the conformance suite calls."""
    return [
        replace(list_sandboxes, name="test_simple_text"),
        # The suite calls it without the required name.
        replace(get_sandbox_status, name="test_error_handling"),
        test_tool_with_progress,
    ]


def main() -> None:
    provider = ClientCache(os.environ, Client.connect)
    tools = (*TOOLS, *suite_tools())
    server = create_server(provider, version=version("async-remote-agent"), tools=tools)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    app = server.streamable_http_app()
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=GRACE)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
