"""MCP over stdio, with the server that `gemini-extension.json` starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sandbox_client.mcp_server.server import TOOLS

from tests.integration.mcp_client import Era, mcp_client
from tests.integration.programs import DEADLINE, clean_environment
from tools.manifest import server_parameters
from tools.snapshot import envelope

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


def test_the_server_exits_at_the_end_of_its_input(tmp_path: Path) -> None:
    _, parameters = server_parameters({})
    result = subprocess.run(
        [parameters.command, *parameters.args],
        env=clean_environment(tmp_path) | (parameters.env or {}),
        input="not a message\n",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert result.returncode == 0
    assert "Traceback" not in result.stderr


def started(home: Path, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start the server with pipes, or with another standard output."""
    _, parameters = server_parameters({})
    return subprocess.Popen(
        [parameters.command, *parameters.args],
        env=clean_environment(home) | (parameters.env or {}),
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def request(number: int, method: str, **params: object) -> bytes:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(message).encode() + b"\n"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_the_server_ends_at_once_when_nobody_reads_its_output(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        near, far = os.pipe()
    else:
        ends = socket.socketpair()
        near, far = (end.detach() for end in ends)
    with started(tmp_path, stdout=far) as server:
        os.close(far)
        assert server.stdin is not None
        server.stdin.write(request(0, "initialize", **INITIALIZE))
        server.stdin.flush()
        assert os.read(near, 1)
        os.close(near)
        assert server.wait(DEADLINE) == 0, "although its input is still open"
        assert server.stderr is not None
        assert server.stderr.read() == b""


def test_a_client_that_reads_nothing_is_not_waited_for_at_the_end(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        assert server.stdin is not None
        server.stdin.write(request(0, "initialize", **INITIALIZE))
        # Far more than a pipe holds.
        server.stdin.write(b"".join(request(n, "tools/list") for n in range(1, 40)))
        server.stdin.close()
        assert server.wait(DEADLINE) == 0
        assert server.stderr is not None
        assert server.stderr.read() == b""


def test_each_of_a_thousand_requests_and_of_what_is_none_has_an_answer(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        lines = [request(0, "initialize", **INITIALIZE)]
        lines += [b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n']
        for number in range(1, 1_000):
            lines += [request(number, "ping"), b"nonsense\n" if number % 10 == 0 else b""]
        lines += [b'{"jsonrpc":"2.0","id":1000,"method":"ping"}']  # a line without an end
        output, errors = server.communicate(b"".join(lines), DEADLINE)

    answers = [json.loads(line) for line in output.splitlines()]
    assert sorted(each["id"] for each in answers if each["id"] is not None) == [*range(1_001)]
    assert [each["error"]["code"] for each in answers if each["id"] is None] == [-32700] * 99
    assert errors == b""


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_handover_answers_each_request_once_in_its_order(tmp_path: Path, era: str) -> None:
    meta = envelope("2026-07-28") if era == "modern" else {}
    call: dict[str, object] = {"name": "list_sandboxes", "arguments": {}}
    opening = ("server/discover", meta) if meta else ("initialize", INITIALIZE)
    asked = [
        request(0, opening[0], **opening[1]),
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n',
        request(1, "tools/list", **meta),
        request(2, "tools/call", **call, **meta),
        request(3, "resources/list", **meta),
        request(0, "tools/list", **meta),  # an id that was used before
    ]
    with started(tmp_path) as server:
        output, errors = server.communicate(b"".join(asked), DEADLINE)

    answers = [json.loads(line) for line in output.splitlines()]
    assert [each["id"] for each in answers[:2]] == [0, 1]
    assert sorted(each["id"] for each in answers[2:]) == [0, 2, 3]
    (called,) = [each["result"] for each in answers if each["id"] == 2]
    assert called["isError"], "there is no configuration"
    assert errors == b""


def test_what_comes_while_the_server_is_loaded_is_answered_after_it(home: Path) -> None:
    with started(home) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        answers = map(json.loads, server.stdout)
        server.stdin.write(request(0, "initialize", **INITIALIZE))
        server.stdin.flush()
        assert next(answers)["id"] == 0
        create = {"name": "create_sandbox", "arguments": {"name": BOX}}
        server.stdin.write(request(1, "tools/call", **create, _meta={"progressToken": 1}))
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
        server.stdin.write(json.dumps(cancelled | {"params": {"requestId": 1}}).encode() + b"\n")
        server.stdin.write(request(2, "ping"))
        server.stdin.write(b'{"jsonrpc": "2.0", "id": 3, ')
        server.stdin.flush()
        assert next(each for each in answers if "id" in each)["id"] == 2, "the first was cancelled"
        server.stdin.write(b'"method": "ping"}\n')
        server.stdin.close()
        assert [each["id"] for each in answers if "id" in each] == [3]
        assert server.wait(DEADLINE) == 0
        assert server.stderr is not None
        assert server.stderr.read() == b""
