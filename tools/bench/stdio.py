"""Start an MCP server and exchange JSON lines with it, without the overhead of an MCP client."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tools.bench.servers import ServerFailed, stop
from tools.manifest import ROOT

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Mapping, Sequence

ANSWER_DEADLINE = 60.0  # seconds
LINE_LIMIT = 1024 * 1024
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


class Session:
    """A client's side of one MCP session."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._ids = itertools.count()

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        return self._process.pid

    async def initialize(self) -> None:
        """Do the initialization handshake."""
        await self.request("initialize", INITIALIZE)
        self._write({"method": "notifications/initialized"})

    async def request(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return its result.

        Raises:
            ServerFailed: the server responded with an error, or ended.
        """
        request_id = next(self._ids)
        self._write({"id": request_id, "method": method, "params": params or {}})
        async with asyncio.timeout(ANSWER_DEADLINE):
            while (message := await self._read()).get("id") != request_id:
                pass  # a notification
        if "result" not in message:
            raise ServerFailed(f"{method} got the response {message}")
        result: dict[str, Any] = message["result"]
        return result

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise ServerFailed("The MCP server ended without a response")
        message: dict[str, Any] = json.loads(line)
        return message


@asynccontextmanager
async def session(
    command: Sequence[str], environment: Mapping[str, str]
) -> AsyncGenerator[Session]:
    """Start an MCP server; at the end close its input, as clients do, and wait for its exit."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LINE_LIMIT,
        start_new_session=True,
    )
    try:
        yield Session(process)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(ANSWER_DEADLINE):
            await process.wait()
    finally:
        await stop(process)
