"""MCP over stdio, with the server that `gemini-extension.json` starts."""

from __future__ import annotations

import json
import subprocess
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sandbox_client.mcp_server.tools import TOOLS

from tests.integration.mcp_client import Era, mcp_client
from tests.integration.programs import clean_environment
from tools.manifest import server_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from mcp.types import CallToolResult

    from tests.integration.programs import FakeProcess

BOX = "my-sandbox"
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert block.type == "text"
    return block.text


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_a_sandbox_is_created_used_paused_resumed_and_deleted(home: Path, era: Era) -> None:
    reasons: list[str] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        reasons.append(message or "")

    async with mcp_client(home, era) as client:

        async def call(tool: str, **arguments: Any) -> CallToolResult:
            return await client.call_tool(tool, arguments, progress_callback=progress)

        made = await call("create_sandbox", name=BOX)
        assert made.structured_content is not None
        assert made.structured_content["ready"] is True
        assert any(reason.startswith("pending: ") for reason in reasons)
        assert "is ready" in text(await call("get_sandbox_status", name=BOX))
        ran = await call("send_prompt_to_sandbox", name=BOX, command="echo hi > f; cat f; exit 4")
        assert text(ran).startswith("[exit code 4, after")
        assert text(ran).endswith("\nhi")
        assert "paused" in text(await call("pause_sandbox", name=BOX))
        refused = await call("send_prompt_to_sandbox", name=BOX, command="cat f")
        assert refused.is_error
        assert "resume_sandbox" in text(refused)
        assert f"- {BOX}: paused" in text(await call("list_sandboxes"))
        assert "is ready" in text(await call("resume_sandbox", name=BOX))
        ran = await call("send_prompt_to_sandbox", name=BOX, command="cat f")
        assert text(ran).startswith("[exit code 0, after")
        assert text(ran).endswith("\nhi")
        assert "deleted" in text(await call("delete_sandbox", name=BOX))


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_without_a_configuration_the_server_lists_its_tools_and_a_call_advises_login(
    tmp_path: Path, era: Era
) -> None:
    async with mcp_client(tmp_path, era) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [
            tool.name for tool in TOOLS
        ]
        result = await client.call_tool("list_sandboxes", {})
    assert result.is_error
    assert "does not exist" in text(result)
    assert "remote-sandbox login" in text(result)


async def test_variables_of_the_manifest_override_the_configuration_file(
    home: Path, fake: FakeProcess
) -> None:
    key = fake.new_key()
    async with mcp_client(home) as client:
        await client.call_tool("create_sandbox", {"name": BOX})
    async with mcp_client(home, REMOTE_SANDBOX_API_KEY=key) as client:
        assert text(await client.call_tool("list_sandboxes", {})).startswith("No sandboxes")


async def test_an_edited_configuration_takes_effect_without_a_restart(
    tmp_path: Path, fake: FakeProcess
) -> None:
    async with mcp_client(tmp_path) as client:
        assert (await client.call_tool("list_sandboxes", {})).is_error
        fake.write_config(tmp_path)
        assert text(await client.call_tool("list_sandboxes", {})).startswith("No sandboxes")


async def test_the_server_responds_after_a_cancelled_call(home: Path) -> None:
    async with mcp_client(home) as client:
        await client.call_tool("create_sandbox", {"name": BOX})
        begun = {"name": BOX, "command": "until test -e begun; do sleep 0.05; done"}
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                endless = {"name": BOX, "command": "touch begun; sleep 60"}
                tasks.start_soon(client.call_tool, "send_prompt_to_sandbox", endless)
                await client.call_tool("send_prompt_to_sandbox", begun)
                scope.cancel()
        assert scope.cancelled_caught
        assert f"- {BOX}: ready" in text(await client.call_tool("list_sandboxes", {}))


def test_a_cancelled_call_sends_no_more_progress_and_its_command_goes_on(home: Path) -> None:
    _, parameters = server_parameters({})
    with subprocess.Popen(
        [parameters.command, *parameters.args],
        env=clean_environment(home) | (parameters.env or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def send(**message: Any) -> None:
            assert server.stdin is not None
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            server.stdin.flush()

        def call(number: int, tool: str, **arguments: object) -> None:
            meta = {"progressToken": number}
            params = {"name": tool, "arguments": arguments, "_meta": meta}
            send(id=number, method="tools/call", params=params)

        messages = map(json.loads, server.stdout)
        send(id=0, method="initialize", params=INITIALIZE)
        send(method="notifications/initialized")
        call(1, "create_sandbox", name=BOX)
        next(message for message in messages if message.get("id") == 1)
        call(2, "send_prompt_to_sandbox", name=BOX, command="echo begun; sleep 60")
        params = next(each["params"] for each in messages if is_progress(each, "begun"))
        send(method="notifications/cancelled", params={"requestId": 2})
        call(3, "get_prompt_output", name=BOX)
        listed = next(message for message in messages if message.get("id") == 3)
        (session,) = listed["result"]["structuredContent"]["sessions"]
        call(4, "cancel_prompt", name=BOX, session=session["session"])
        later = [*takewhile(lambda message: message.get("id") != 4, messages)]
        server.stdin.close()
    assert params["progressToken"] == 2
    assert session["status"] == "running"
    assert [each for each in later if each["params"]["progressToken"] == 2] == []


def is_progress(message: dict[str, Any], words: str) -> bool:
    return message.get("method") == "notifications/progress" and words in message["params"].get(
        "message", ""
    )
