"""Starts: of the MCP server until its list of tools and a first call, and of `remote-sandbox`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

from tools.bench.measurement import Row, Target
from tools.bench.servers import fake
from tools.bench.stdio import session
from tools.manifest import ROOT, server_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tools.bench.effort import Effort

PYTHON = (sys.executable, "-c", "pass")
LIST = ("sh", str(ROOT / "client/launch"), "remote-sandbox", "list")
BARE_LIST = (sys.executable, "-m", "tools.bench.bare_list")
EMPTY = (sys.executable, "-m", "tools.bench.empty_server")
CALL: dict[str, object] = {"name": "list_sandboxes", "arguments": {}}
NO_PROXY = {"REMOTE_SANDBOX_CONFIG": "/nonexistent/config.json"}  # a call is answered at once


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Measure the starts of the server and of the command line."""
    return [*await _server(effort, progress), *await _command_line(effort, progress)]


async def _server(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Start the extension's server, Python alone and an empty server, alternately."""
    _, extension = server_parameters(NO_PROXY)
    command, environment = [extension.command, *extension.args], extension.env or {}
    listed: list[float] = []
    called: list[float] = []
    memory: list[float] = []
    python: list[float] = []
    empty: list[float] = []
    # Not measured: the first start fills the file caches.
    await _start(command, environment, calls=True)
    for number in range(effort.starts):
        progress(f"MCP server start {number + 1} of {effort.starts}")
        start, megabytes = await _start(command, environment)
        listed.append(start)
        memory.append(megabytes)
        python.append(_run(PYTHON))
        called.append((await _start(command, environment, calls=True))[0])
        empty.append((await _start(EMPTY, {}))[0])
    return [
        Row("MCP server: start to tools/list", "ms", listed, python, Target("≤", 3)),
        Row("MCP server: memory then", "MB", memory, (), Target("≤", 16, "median")),
        Row("MCP server: start to a first call", "ms", called, empty, Target("≤", 1.2)),
    ]


async def _command_line(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """List the sandboxes with the terminal command and with httpx alone, alternately."""
    listed: list[float] = []
    bare: list[float] = []
    async with fake() as proxy:
        environment = {
            "REMOTE_SANDBOX_PROXY_URL": proxy.url,
            "REMOTE_SANDBOX_API_KEY": await proxy.new_sandbox("box"),
        }
        _run(LIST, environment)  # not measured, as above
        for number in range(effort.starts):
            progress(f"remote-sandbox list {number + 1} of {effort.starts}")
            listed.append(_run(LIST, environment))
            bare.append(_run(BARE_LIST, environment))
    return [Row("remote-sandbox list", "ms", listed, bare, Target("≤", 1.2))]


async def _start(
    command: Sequence[str], environment: Mapping[str, str], *, calls: bool = False
) -> tuple[float, float]:
    """Return the milliseconds until the list of tools, or a call after it, and the memory in MB."""
    start = time.perf_counter()
    async with session(command, environment) as server:
        await server.initialize()
        await server.request("tools/list")
        if calls:
            await server.request("tools/call", CALL)
        elapsed = (time.perf_counter() - start) * 1e3
        return elapsed, psutil.Process(server.pid).memory_info().rss / 1e6


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    start = time.perf_counter()
    subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return (time.perf_counter() - start) * 1e3
