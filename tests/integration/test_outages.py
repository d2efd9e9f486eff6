"""An outage of the proxy in the middle of each kind of wait: the wait goes on when it is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_fakeproxy import FakeProxyServer

from tests.integration.mcp_client import in_process_client

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from mcp.types import CallToolResult

BOX, PAUSED, NEW = "box", "asleep", "new"
SEED: dict[str, Any] = {
    "users": [
        {
            "username": "alice",
            "keys": [{}],
            "sandboxes": [{"name": BOX}, {"name": PAUSED, "state": "paused"}],
        }
    ]
}
COMMAND = "until [ -e go ]; do sleep 0.1; done; echo done"


@pytest.fixture
def server(tmp_path: Path) -> Generator[FakeProxyServer]:
    """Return a fake on a port, in which a change shows when the test advances the clock."""
    with FakeProxyServer(tmp_path) as server:
        yield server


async def call_during_an_outage(
    server: FakeProxyServer, end: Callable[[], None], *calls: tuple[str, dict[str, Any]]
) -> CallToolResult:
    """Call tools; stop the server when the last call waits, start it again, and call `end`.

    Return the result of the last call.
    """
    key = server.seed(SEED)["users"][0]["keys"][0]["api_key"]
    waiting = asyncio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        waiting.set()

    async with in_process_client(server.url, key) as client:
        for tool, arguments in calls[:-1]:
            assert not (await client.call_tool(tool, arguments)).is_error
        tool, arguments = calls[-1]
        call = asyncio.ensure_future(client.call_tool(tool, arguments, progress_callback=progress))
        await asyncio.wait_for(waiting.wait(), 20)
        await asyncio.to_thread(server.stop)
        waiting.clear()
        await asyncio.wait_for(waiting.wait(), 20)  # it waits on, although nothing answers
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(end)
        return await asyncio.wait_for(call, 40)


@pytest.mark.parametrize(
    ("tool", "name", "route", "state"),
    [
        ("create_sandbox", NEW, "/api/sandboxes", "ready"),
        ("resume_sandbox", PAUSED, f"/api/sandboxes/{PAUSED}/resume", "ready"),
        ("pause_sandbox", BOX, f"/api/sandboxes/{BOX}/pause", "paused"),
    ],
)
async def test_a_wait_for_a_state_survives_an_outage(
    server: FakeProxyServer, tool: str, name: str, route: str, state: str
) -> None:
    result = await call_during_an_outage(server, lambda: server.advance(10), (tool, {"name": name}))
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["state"] == state
    server.assert_requested("POST", route, times=1)


@pytest.mark.parametrize("tool", ["send_prompt_to_sandbox", "get_prompt_output"])
async def test_a_wait_for_a_command_survives_an_outage(
    server: FakeProxyServer, tmp_path: Path, tool: str
) -> None:
    started = {"name": BOX, "command": COMMAND}
    calls: list[tuple[str, dict[str, Any]]] = [("send_prompt_to_sandbox", started)]
    if tool == "get_prompt_output":
        calls[0] = ("send_prompt_to_sandbox", {**started, "wait_seconds": 0, "session": "main"})
        calls.append((tool, {"name": BOX, "session": "main"}))

    def end() -> None:
        (work,) = (each for each in tmp_path.glob("*/sandbox") if each.exists())
        (work / "go").touch()

    result = await call_during_an_outage(server, end, *calls)
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["output"] == "done\n"
    assert result.structured_content["exit_code"] == 0
