"""MCP clients: of the server that `gemini-extension.json` starts, and of one in this process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import anyio
import httpx
from mcp import Client, stdio_client
from sandbox_client.client import Client as ProxyClient
from sandbox_client.http import Proxy
from sandbox_client.mcp_server.server import create_server
from sandbox_client.provider import ClientCache

from tests.integration.programs import DEADLINE, clean_environment, processes_with_home
from tools.manifest import server_parameters

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from sandbox_client import Config

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


class RecordingTransport(httpx.AsyncHTTPTransport):
    """Record each request as its method and path, such as `POST /api/sandboxes`."""

    def __init__(self, sent: list[str]) -> None:
        super().__init__(verify=False)  # the fake is on this machine, without TLS
        self._sent = sent

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._sent.append(f"{request.method} {request.url.path}")
        return await super().handle_async_request(request)


@asynccontextmanager
async def in_process_client(
    url: str, key: str, sent: list[str] | None = None, **variables: str
) -> AsyncGenerator[Client]:
    """Yield a client of a server in this process, which uses the proxy at `url`.

    `sent` collects the requests to the proxy; `variables` are further environment variables.
    """
    environ = {
        "HOME": "/nonexistent",
        "REMOTE_SANDBOX_PROXY_URL": url,
        "REMOTE_SANDBOX_API_KEY": key,
        **variables,
    }
    made: list[ProxyClient] = []

    def connect(config: Config) -> ProxyClient:
        made.append(
            ProxyClient(Proxy(config, transport=RecordingTransport([] if sent is None else sent)))
        )
        return made[-1]

    async with Client(create_server(ClientCache(environ, connect), version="0")) as client:
        yield client
    for each in made:
        await each.proxy.close()
