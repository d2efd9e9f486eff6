"""A command of ten virtual minutes outlives the MCP server that started it, in each era."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest
from mcp import MCPError
from sandbox_fakeproxy import FakeProxyServer, Outcome, ScriptedRuntime

from tests.integration.mcp_client import Era, mcp_client
from tests.integration.programs import processes_with_home, write_config

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from mcp import Client
    from mcp.types import CallToolResult
    from sandbox_fakeproxy import Clock, Command

BOX = "my-sandbox"
WORK = "work for ten minutes"
MINUTES = 10


def script(command: Command) -> Outcome:
    """Print a line at the start of each minute and end with exit code 7."""
    assert command.text == WORK
    prints = [(60.0 * minute, f"minute {minute}\n") for minute in range(MINUTES)]
    return Outcome(prints=prints, seconds=60.0 * MINUTES, exit_code=7)


@pytest.fixture
def proxy(tmp_path: Path) -> Generator[FakeProxyServer]:
    """A fake proxy on a free port; only the test advances its clock."""
    folder = tmp_path / "fake"
    folder.mkdir()

    def runtime(clock: Clock) -> ScriptedRuntime:
        return ScriptedRuntime(script, clock=clock)

    with FakeProxyServer(folder, runtime=runtime, ready_after=0) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, proxy: FakeProxyServer) -> Path:
    """A home directory with the configuration of a new user of the fake proxy."""
    write_config(tmp_path / "home", proxy.url, proxy.user())
    return tmp_path / "home"


async def call_tool(client: Client, tool: str, **arguments: object) -> CallToolResult:
    """Call a tool for the sandbox; it has to succeed."""
    result = await client.call_tool(tool, {"name": BOX, **arguments})
    assert not result.is_error, result.content
    return result


def field(result: CallToolResult, name: str) -> object:
    """Return a field of the structured result."""
    assert result.structured_content is not None
    return result.structured_content[name]


def kill_server(home: Path) -> None:
    """Kill the MCP server, as the kernel does when memory runs out."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.environ().get("HOME") == str(home):
                process.kill()


def session_ids(result: CallToolResult) -> list[str]:
    rows = field(result, "sessions")
    assert isinstance(rows, list)
    return [row["session"] for row in rows]  # pyright: ignore[reportUnknownVariableType]  # any JSON


def output_lines(first: int, end: int) -> str:
    """Return the output from minute `first` to before minute `end`."""
    return "".join(f"minute {minute}\n" for minute in range(first, end))


@pytest.mark.parametrize(("first", "second"), [("legacy", "auto"), ("auto", "legacy")])
async def test_a_second_client_collects_the_output_after_the_first_server_was_killed(
    home: Path, proxy: FakeProxyServer, first: Era, second: Era
) -> None:
    started = anyio.Event()
    half_done = anyio.Event()

    async def follower(progress: float, total: float | None, message: str | None) -> None:
        # "minute 0" may be reported more than once: progress comes between two looks too.
        if "minute 0" in (message or "") and not started.is_set():
            started.set()
            proxy.advance(60 * MINUTES / 2 - 1)
        elif "minute 4" in (message or ""):
            half_done.set()

    async def wait(client: Client) -> None:
        prompt = {"name": BOX, "command": WORK, "wait_seconds": 240}
        with pytest.raises(MCPError, match=r"[Cc]onnection closed"):
            await client.call_tool("send_prompt_to_sandbox", prompt, progress_callback=follower)

    async with mcp_client(home, first) as client:
        await call_tool(client, "create_sandbox")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, client)
            await half_done.wait()
            kill_server(home)
    assert processes_with_home(home) == []

    async with mcp_client(home, second) as client:
        (session,) = session_ids(await call_tool(client, "get_prompt_output"))
        half = await call_tool(client, "get_prompt_output", session=session)
        assert (field(half, "status"), field(half, "output")) == ("running", output_lines(0, 5))
        proxy.advance(60 * MINUTES / 2 + 1)
        rest = await call_tool(
            client, "get_prompt_output", session=session, after=field(half, "next_after")
        )
        assert (field(rest, "status"), field(rest, "output")) == (
            "completed",
            output_lines(5, MINUTES),
        )
        assert field(rest, "exit_code") == 7
    assert isinstance(proxy.runtime, ScriptedRuntime)
    assert [command.text for command in proxy.runtime.commands] == [WORK]
