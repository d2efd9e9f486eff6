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
from unittest import mock

import uvicorn
from sandbox_client.client import Client
from sandbox_client.client_cache import ClientCache
from sandbox_client.mcp_server import server as tools_module
from sandbox_client.mcp_server.server import create_server
from sandbox_client.mcp_server.tool import Result, Tool

if TYPE_CHECKING:
    from sandbox_client.polling import ProgressCallback

GRACE = 5  # seconds that open streams may last after Ctrl-C


async def _count(on_progress: ProgressCallback) -> Result:
    for percent in (0, 50, 100):
        await on_progress(percent, 100, "counting")
    return Result("Counted to 100.", {"count": 100, "sandboxes": []})


def suite_tools() -> list[Tool]:
    """Return tools with the names that the conformance suite calls, derived from the product's."""
    tools = {tool.name: tool for tool in tools_module.TOOLS}
    return [
        replace(tools["list_sandboxes"], name="test_simple_text"),
        replace(
            tools["get_sandbox_status"], name="test_error_handling"
        ),  # the suite calls it without the required name
        replace(tools["list_sandboxes"], name="test_tool_with_progress", function=_count),
    ]


def main() -> None:
    backend = ClientCache(os.environ, Client.connect)
    with mock.patch.object(tools_module, "TOOLS", (*tools_module.TOOLS, *suite_tools())):
        server = create_server(backend, version=version("async-remote-agent"))
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    app = server.streamable_http_app()
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=GRACE)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
