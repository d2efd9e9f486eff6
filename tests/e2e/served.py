"""The MCP server over HTTP on a free port of this machine, for programs that speak nothing else.

    python -m tests.e2e.served

It prints its address, and Ctrl-C ends it.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING
from unittest import mock

import uvicorn
from sandbox_client import _tools
from sandbox_client._backend import Backend
from sandbox_client._client import connect
from sandbox_client._server import create_server
from sandbox_client._tools.tool import Arguments, Result, Tool

if TYPE_CHECKING:
    from sandbox_client._access import Access
    from sandbox_client._waiting import Report

GRACE = 5  # seconds for open streams, once Ctrl-C has come


async def _count(_: Access, __: Arguments, report: Report) -> Result:
    for percent in (0, 50, 100):
        await report(percent, 100, "counting")
    return Result("Counted to 100.", {"count": 100, "sandboxes": []})


def suite_tools() -> list[Tool]:
    """Return tools of the names that the official suite calls: ours, or what runs as ours do."""
    ours = {tool.name: tool for tool in _tools.TOOLS}
    return [
        replace(ours["list_sandboxes"], name="test_simple_text"),
        replace(ours["get_sandbox_status"], name="test_error_handling"),  # called without a name
        replace(ours["list_sandboxes"], name="test_tool_with_progress", run=_count),
    ]


def main() -> None:
    backend = Backend(os.environ, connect)
    with mock.patch.object(_tools, "TOOLS", (*_tools.TOOLS, *suite_tools())):
        server = create_server(backend, version=version("async-remote-agent"))
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    app = server.streamable_http_app()
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=GRACE)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
