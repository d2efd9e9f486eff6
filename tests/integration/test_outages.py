"""An outage of the proxy in the middle of each kind of wait: the wait goes on when it is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_fakeproxy import FakeProxyServer

from tests.fakeproxy.processes import wait_until
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
SESSION = {"name": BOX, "session": "main"}
START: tuple[str, dict[str, Any]] = (
    "send_prompt_to_sandbox",
    {**SESSION, "command": COMMAND, "wait_seconds": 0},
)


@pytest.fixture
def server(tmp_path: Path) -> Generator[FakeProxyServer]:
    """Return a fake on a port, in which a change shows when the test advances the clock."""
    with FakeProxyServer(tmp_path) as server:
        yield server


async def call_during_an_outage(
    server: FakeProxyServer,
    end: Callable[[], None],
    *calls: tuple[str, dict[str, Any]],
    fault: dict[str, Any] | None = None,
    **variables: str,
) -> CallToolResult:
    """Call tools; stop the server when the last call waits, start it again, and call `end`.

    `fault` is armed before, and `variables` are environment variables of the client. Return
    the result of the last call.
    """
    key = server.seed(SEED)["users"][0]["keys"][0]["api_key"]
    if fault is not None:
        server.faults.add(**fault)
    waiting = asyncio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        waiting.set()

    async with in_process_client(server.url, key, None, **variables) as client:
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


def work_directory(folder: Path) -> Path:
    """Return the directory in which the commands of the only sandbox that has run any work."""
    (work,) = (each for each in folder.glob("*/sandbox") if each.exists())
    return work


def let_go(folder: Path) -> None:
    """Let COMMAND end."""
    (work_directory(folder) / "go").touch()


@pytest.mark.parametrize("tool", ["send_prompt_to_sandbox", "get_prompt_output"])
async def test_a_wait_for_a_command_survives_an_outage(
    server: FakeProxyServer, tmp_path: Path, tool: str
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [(tool, {"name": BOX, "command": COMMAND})]
    if tool == "get_prompt_output":
        calls = [START, (tool, SESSION)]

    result = await call_during_an_outage(server, lambda: let_go(tmp_path), *calls)
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["output"] == "done\n"
    assert result.structured_content["exit_code"] == 0


async def test_a_wait_for_the_end_of_a_killed_command_survives_an_outage(
    server: FakeProxyServer, tmp_path: Path
) -> None:
    # The kill is answered as done and the command runs on, until the outage is over.
    body = {"success": True, "data": {"status": "terminated"}}
    ineffective = {"operation": "killCommand", "answer": {"body": body}}

    result = await call_during_an_outage(
        server,
        lambda: let_go(tmp_path),
        START,
        ("cancel_prompt", SESSION),
        fault=ineffective,
    )
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["output"] == "done\n"
    server.assert_requested("POST", f"/proxy/{BOX}/v1/shell/kill", times=1)


async def test_a_kill_survives_an_outage_while_it_is_under_way(server: FakeProxyServer) -> None:
    # The clock stands still, so that no byte of the answer's body comes.
    slow = {"operation": "killCommand", "do": "trickle", "times": 1}

    result = await call_during_an_outage(
        server, lambda: None, START, ("cancel_prompt", SESSION), fault=slow
    )
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["status"] == "killed"


@pytest.mark.parametrize(
    "fault",
    [
        {"operation": "createSession", "delay": 1000, "times": 1},
        {"operation": "executeCommand", "do": "trickle", "times": 1},
    ],
    ids=["its session is opened", "its command runs"],
)
async def test_the_start_of_an_agent_survives_an_outage(
    server: FakeProxyServer, tmp_path: Path, fault: dict[str, Any]
) -> None:
    result = await call_during_an_outage(
        server,
        lambda: None,
        ("run_agent", {"name": BOX, "prompt": "work"}),
        fault=fault,
        REMOTE_SANDBOX_AGENT_COMMAND="echo x >>runs; sleep 1000; : {prompt}",
    )
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["status"] == "running"
    runs = work_directory(tmp_path) / "runs"
    await wait_until(lambda: runs.exists() and runs.read_text() != "")
    assert runs.read_text() == "x\n"
    server.assert_requested("POST", f"/proxy/{BOX}/v1/shell/exec", times=1)
