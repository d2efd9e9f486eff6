"""The time from starting the MCP server until a client has the list of tools."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tools.bench.measurement import Row, Target
from tools.bench.stdio import session
from tools.manifest import server_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tools.bench.effort import Effort

EMPTY = (sys.executable, "-m", "tools.bench.empty_server")


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Start the extension's server and an empty one, alternately."""
    _, extension = server_parameters({})
    command = [extension.command, *extension.args]
    ours: list[float] = []
    empty: list[float] = []
    # Not measured: the first start fills the file caches.
    await _start(command, extension.env or {})
    for number in range(effort.starts):
        progress(f"MCP server start {number + 1} of {effort.starts}")
        ours.append(await _start(command, extension.env or {}))
        empty.append(await _start(EMPTY, {}))
    return [Row("MCP server: start to tools/list", "ms", ours, empty, Target("≤", 1.15))]


async def _start(command: Sequence[str], environment: Mapping[str, str]) -> float:
    start = time.perf_counter()
    async with session(command, environment) as server:
        await server.initialize()
        await server.request("tools/list")
        return (time.perf_counter() - start) * 1e3
