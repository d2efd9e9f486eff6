"""The stdio transport, with a server in this process."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
import pytest
from mcp.server.lowlevel.server import Server
from sandbox_client.mcp_server import stdio
from sandbox_client.mcp_server.pipe import FAREWELL
from sandbox_client.mcp_server.stdio import serve

from tools.snapshot import envelope, opening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.server.context import ServerRequestContext

DEADLINE = 10.0  # seconds; every step takes far less, so only a hang reaches it
META = "io.modelcontextprotocol"


async def call_tool(
    _: ServerRequestContext[dict[str, object]], params: types.CallToolRequestParams
) -> types.CallToolResult:
    """Return the tool's name; the tool `slow` returns when nothing else happens any more."""
    if params.name == "slow":
        await anyio.wait_all_tasks_blocked()
    return types.CallToolResult(content=[types.TextContent(type="text", text=params.name)])


SERVER = Server[dict[str, object]]("test", version="1", on_call_tool=call_tool)


def line(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"


def call(name: str, number: object = 1, **params: object) -> bytes:
    return line(id=number, method="tools/call", params={"name": name, **params})


def cancel(request_id: object) -> bytes:
    return line(method="notifications/cancelled", params={"requestId": request_id})


INITIALIZE = line(id=0, method="initialize", params=opening("2025-06-18"))
OPEN = INITIALIZE + line(method="notifications/initialized")
PING = line(id=9, method="ping")


@pytest.fixture
def nothing() -> Iterator[int]:
    """A descriptor of an empty input."""
    with Path(os.devnull).open("rb") as file:
        yield file.fileno()


async def responses(nothing: int, received: bytes) -> list[Any]:
    """Return the server's responses to an input, in their order."""
    with tempfile.TemporaryFile() as output, anyio.fail_after(DEADLINE):
        await serve(SERVER, nothing, output.fileno(), received=received)
        output.seek(0)
        return [json.loads(each) for each in output]


async def outcomes(nothing: int, received: bytes) -> list[tuple[object, object]]:
    """Return the id and the error code, or the text, of each response, in order of ids."""
    found: list[tuple[object, object]] = []
    for each in await responses(nothing, received):
        if "error" in each:
            found.append((each["id"], each["error"]["code"]))
        else:
            content = each["result"].get("content", [{"text": ""}])
            found.append((each["id"], content[0]["text"]))
    return sorted(found, key=str)


@pytest.mark.parametrize("request_id", [[], {}, None, True, 1.0, "other"])
async def test_a_cancellation_of_no_request_is_ignored(nothing: int, request_id: object) -> None:
    received = OPEN + call("slow") + cancel(request_id) + cancel(request_id) + PING

    assert await outcomes(nothing, received) == [(0, ""), (1, "slow"), (9, "")]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (call("slow") + call("quick"), [(1, "quick"), (1, "slow")]),
        (call("slow") + line(id=1, result={}), [(1, "slow")]),
        (call("slow") + line(id=1, error={"code": 1, "message": "x"}), [(1, "slow")]),
        (call("slow") + cancel(1), []),
        (call("slow") + cancel("1"), []),
        (call("slow", "a") + cancel("a") + call("slow", 2), [(2, "slow")]),
    ],
)
async def test_requests_are_completed_after_the_end_of_the_input(
    nothing: int,
    lines: bytes,
    expected: list[tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("COMPLETION", "FAREWELL"):  # to wait for a settled request would be a failure
        monkeypatch.setattr(stdio, name, 10 * DEADLINE)

    assert await outcomes(nothing, OPEN + lines) == [(0, ""), *expected]


async def test_a_request_that_takes_too_long_gets_an_error_after_the_end_of_the_input(
    nothing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio, "COMPLETION", 0.01)

    async def never(*_: object) -> types.CallToolResult:
        await anyio.sleep_forever()
        raise AssertionError

    server = Server[dict[str, object]]("test", version="1", on_call_tool=never)
    with tempfile.TemporaryFile() as output, anyio.fail_after(DEADLINE):
        await serve(server, nothing, output.fileno(), received=OPEN + call("slow"))
        output.seek(0)
        *_, last = (json.loads(each) for each in output)

    assert (last["id"], last["error"]["message"]) == (1, "Connection closed")


@pytest.mark.parametrize(
    "number", [10**400, -(10**400), "x" * 10_000, "\ud800"], ids=["huge", "negative", "long", "cut"]
)
async def test_the_response_has_the_id_of_its_request(nothing: int, number: object) -> None:
    ping, call_ = line(id=number, method="ping"), call("quick", number)

    found = await responses(nothing, OPEN + ping + call_)

    expected = "\ufffd" if number == "\ud800" else number
    assert [each["id"] for each in found] == [0, expected, expected]


@pytest.mark.parametrize("depth", [400, 900, 5_000])
async def test_the_server_goes_on_after_deeply_nested_arguments(nothing: int, depth: int) -> None:
    nested = b'{"a":' + b"[" * depth + rb'"\ud800"' + b"]" * depth + b"}"
    deep = call("quick", arguments="HERE").replace(b'"HERE"', nested)

    found = await outcomes(nothing, OPEN + deep + PING)

    assert [number for number, _ in found] == [0, 1, 9]


@pytest.mark.parametrize(
    "params",
    [
        b'{"arguments":{"command":"\\ud800"}}',
        b'{"x":1e999}',
        b"[]",
        b'{"x":%s}' % (b"[" * 5_000 + b"]" * 5_000),
    ],
    ids=lambda params: repr(params)[:30],
)
async def test_a_notification_gets_no_response(nothing: int, params: bytes) -> None:
    notification = b'{"jsonrpc":"2.0","method":"notifications/x","params":' + params + b"}\n"

    assert await outcomes(nothing, OPEN + notification + PING) == [(0, ""), (9, "")]


def meta(**changes: object) -> dict[str, Any]:
    """Return an envelope with changed members; None removes one."""
    members = envelope("2026-07-28")["_meta"] | {f"{META}/{k}": v for k, v in changes.items()}
    return {"_meta": {name: value for name, value in members.items() if value is not None}}


@pytest.mark.parametrize(
    "params",
    [
        meta(),
        meta(clientCapabilities={"elicitation": {"form": {}}}),
        meta(clientCapabilities={"extensions": {f"{META}/ui": {}}}),
        meta(clientInfo=None),
        meta(protocolVersion="2027-01-01"),
        {},
    ],
    ids=["usual", "elicitation", "extension", "no info", "later version", "no envelope"],
)
async def test_a_client_that_probes_may_fall_back_to_initialize(
    nothing: int, params: dict[str, Any]
) -> None:
    probes = b"".join(line(id=n, method="server/discover", params=params) for n in (7, 8))

    found = await outcomes(nothing, probes + OPEN + call("quick"))

    assert [number for number, _ in found] == [0, 1, 7, 8]
    assert found[:2] == [(0, ""), (1, "quick")]


async def test_a_client_that_probes_may_go_on_without_initialize(nothing: int) -> None:
    probe = line(id=7, method="server/discover", params=meta())

    found = await outcomes(nothing, probe + call("quick", **meta()) + INITIALIZE)

    assert found == [(0, -32022), (1, "quick"), (7, "")]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
async def test_closed_output_ends_the_server_while_its_input_is_open(kind: str) -> None:
    ours, theirs = os.pipe() if kind == "pipe" else sockets()
    reading, input_ = os.pipe()
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, SERVER, reading, theirs)
            os.write(input_, OPEN)
            await anyio.wait_readable(ours)
            os.close(ours)
    for fd in (theirs, reading, input_):
        os.close(fd)


def sockets() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.mark.parametrize("count", range(8))
async def test_output_that_fails_ends_the_server_while_it_responds(
    nothing: int, count: int
) -> None:
    # With some of the counts, the invalid line is read just after the first response has failed.
    received = INITIALIZE + cancel("other") * count + b"nonsense\n"

    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with anyio.fail_after(DEADLINE):
            await serve(SERVER, nothing, full, received=received)
    finally:
        os.close(full)


async def test_a_half_closed_socket_gets_its_responses() -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(OPEN + call("quick"))
    ours.shutdown(socket.SHUT_WR)

    with anyio.fail_after(DEADLINE), theirs:
        await serve(SERVER, theirs.fileno(), os.dup(theirs.fileno()))

    with ours, ours.makefile() as output:
        ours.settimeout(DEADLINE)
        assert [json.loads(output.readline())["id"] for _ in range(2)] == [0, 1]


async def test_a_client_that_reads_nothing_is_not_waited_for_longer_than_the_farewell(
    monkeypatch: pytest.MonkeyPatch, nothing: int
) -> None:
    assert FAREWELL < 2, "clients send SIGTERM then"
    monkeypatch.setattr(stdio, "FAREWELL", 0.1)
    ours, theirs = os.pipe()

    with anyio.fail_after(DEADLINE):
        await serve(SERVER, nothing, theirs, received=OPEN + call("x" * 100_000))

    os.close(ours)
    os.close(theirs)


async def test_input_that_cannot_be_read_ends_the_server_quietly(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, anyio.fail_after(DEADLINE):
        await serve(SERVER, file.fileno(), file.fileno(), received=OPEN)

    assert json.loads((tmp_path / "file").read_bytes())["id"] == 0
