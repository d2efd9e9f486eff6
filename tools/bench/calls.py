"""The latency of a tool call, compared with the HTTP request that it sends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tools.bench.measurement import Row
from tools.bench.servers import ServerFailed, fake
from tools.bench.stdio import Session, session
from tools.manifest import server_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tools.bench.effort import Effort

NAME = "box"
WARM_UP = 2


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Get a sandbox's status by a tool call and by a bare request, alternately."""
    progress("tool calls")
    calls: list[float] = []
    requests: list[float] = []
    async with fake() as proxy:
        key = await proxy.new_sandbox(NAME)
        _, server = server_parameters(
            {"REMOTE_SANDBOX_PROXY_URL": proxy.url, "REMOTE_SANDBOX_API_KEY": key}
        )
        command = [server.command, *server.args]
        async with session(command, server.env or {}) as tools, proxy.client(key) as http:
            await tools.initialize()
            for _ in range(WARM_UP + effort.calls):
                calls.append(await _call(tools))
                requests.append(await _request(http))
    calls, requests = calls[WARM_UP:], requests[WARM_UP:]
    overhead = [call - request for call, request in zip(calls, requests, strict=True)]
    return [
        Row("Tool call get_sandbox_status", "ms", calls, requests),
        Row("  beyond its HTTP request", "ms", overhead),
    ]


async def _call(tools: Session) -> float:
    start = time.perf_counter()
    result = await tools.request(
        "tools/call", {"name": "get_sandbox_status", "arguments": {"name": NAME}}
    )
    took = (time.perf_counter() - start) * 1e3
    if result.get("isError"):
        raise ServerFailed(f"The tool returned {result}")
    return took


async def _request(http: httpx.AsyncClient) -> float:
    start = time.perf_counter()
    reply = await http.get(f"/api/sandboxes/{NAME}")
    reply.raise_for_status().json()
    return (time.perf_counter() - start) * 1e3
