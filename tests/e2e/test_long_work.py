"""Ten minutes' work that outlives its client, through the MCP package's own client in each era."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Literal

import anyio
import psutil
import pytest
from mcp import Client, MCPError, stdio_client
from sandbox_fakeproxy import FakeProxyServer, Outcome, ScriptedRuntime

from tests.integration.programs import DEADLINE, clean_environment, processes_with_home
from tools.manifest import server_parameters

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from mcp.types import CallToolResult
    from sandbox_fakeproxy import Clock, Command

BOX = "my-sandbox"
WORK = "work for ten minutes"
MINUTES = 10
Era = Literal["legacy", "auto"]


def script(command: Command) -> Outcome:
    """A line at the start of each minute, and an exit code of its own at the end."""
    assert command.text == WORK
    prints = [(60.0 * minute, f"minute {minute}\n") for minute in range(MINUTES)]
    return Outcome(prints=prints, seconds=60.0 * MINUTES, exit_code=7)


@pytest.fixture
def proxy(tmp_path: Path) -> Generator[FakeProxyServer]:
    """A fake proxy whose clock stands still until it is moved, on a port."""
    folder = tmp_path / "fake"
    folder.mkdir()

    def runtime(clock: Clock) -> ScriptedRuntime:
        return ScriptedRuntime(script, clock=clock)

    with FakeProxyServer(folder, runtime=runtime, ready_after=0) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, proxy: FakeProxyServer) -> Path:
    file = tmp_path / "home" / ".config" / "gemini-remote-sandbox" / "config.json"
    file.parent.mkdir(parents=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps({"proxyUrl": proxy.url, "apiKey": proxy.user()}))
    return tmp_path / "home"


@contextlib.asynccontextmanager
async def a_client(home: Path, era: Era) -> AsyncGenerator[Client]:
    """A client of an MCP server of its own, started as Gemini CLI does it."""
    _, parameters = server_parameters({})
    parameters.env = clean_environment(home) | (parameters.env or {})
    with (home / "stderr").open("w") as errors, anyio.fail_after(DEADLINE):
        async with Client(stdio_client(parameters, errlog=errors), mode=era) as client:
            yield client


async def call(client: Client, tool: str, **arguments: object) -> CallToolResult:
    result = await client.call_tool(tool, {"name": BOX, **arguments})
    assert not result.is_error, result.content
    return result


def held(result: CallToolResult, name: str) -> object:
    assert result.structured_content is not None
    return result.structured_content[name]


def kill_the_server(home: Path) -> None:
    """End the MCP server as the machine does that runs out of memory."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.environ().get("HOME") == str(home):
                process.kill()


def sessions(result: CallToolResult) -> list[str]:
    rows = held(result, "sessions")
    assert isinstance(rows, list)
    return [row["session"] for row in rows]  # pyright: ignore[reportUnknownVariableType]  # any JSON


def lines(first: int, end: int) -> str:
    return "".join(f"minute {minute}\n" for minute in range(first, end))


@pytest.mark.parametrize(("first", "second"), [("legacy", "auto"), ("auto", "legacy")])
async def test_a_second_client_collects_what_the_first_one_did_not_live_to_see(
    home: Path, proxy: FakeProxyServer, first: Era, second: Era
) -> None:
    half_done = anyio.Event()

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        if "minute 0" in (message or ""):
            proxy.advance(60 * MINUTES / 2 - 1)
        elif "minute 4" in (message or ""):
            half_done.set()

    async def wait(client: Client) -> None:
        prompt = {"name": BOX, "command": WORK, "wait_seconds": 240}
        with pytest.raises(MCPError, match=r"[Cc]onnection closed"):
            await client.call_tool("send_prompt_to_sandbox", prompt, progress_callback=watch)

    async with a_client(home, first) as client:
        await call(client, "create_sandbox")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, client)
            await half_done.wait()
            kill_the_server(home)
    assert processes_with_home(home) == []

    async with a_client(home, second) as client:
        (session,) = sessions(await call(client, "get_prompt_output"))
        half = await call(client, "get_prompt_output", session=session)
        assert (held(half, "status"), held(half, "output")) == ("running", lines(0, 5))
        proxy.advance(60 * MINUTES / 2 + 1)
        rest = await call(
            client, "get_prompt_output", session=session, after=held(half, "next_after")
        )
        assert (held(rest, "status"), held(rest, "output")) == ("completed", lines(5, MINUTES))
        assert held(rest, "exit_code") == 7
    assert isinstance(proxy.runtime, ScriptedRuntime)
    assert [command.text for command in proxy.runtime.commands] == [WORK]
