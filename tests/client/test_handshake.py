"""The responses from the snapshot, compared with those of the server itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sandbox_client
from sandbox_client.mcp_server.handshake import REPLAYED, Handshake, Unsure, read_snapshot, serve

from tools.snapshot import CLIENT, answers, envelope, opening, requests, snapshot

SNAPSHOT = read_snapshot()
VERSIONS = list(SNAPSHOT["replies"])
LEGACY, MODERN = VERSIONS[-2], VERSIONS[-1]


def lines(*messages: dict[str, Any]) -> list[bytes]:
    return [
        json.dumps({"jsonrpc": "2.0", **each}, ensure_ascii=False).encode() for each in messages
    ]


def opened(version: str) -> Handshake:
    handshake = Handshake(SNAPSHOT)
    handshake.answer(lines(requests(version)[0])[0])
    return handshake


def ordered(text: str | bytes) -> Any:
    """Return JSON in which objects are lists of pairs, in their order."""
    return json.loads(text, object_pairs_hook=list)


async def test_the_snapshot_is_up_to_date() -> None:
    assert await snapshot() == SNAPSHOT, "run `make snapshot`"


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_response_equals_the_servers_in_each_version_of_the_protocol(
    version: str,
) -> None:
    asked = lines(*requests(version), {"method": "notifications/initialized"})
    expected = await answers(asked)
    handshake = Handshake(SNAPSHOT)

    received = [handshake.answer(line) for line in asked]

    assert received.pop() == b"", "a notification has no response"
    for answer in received:
        assert ordered(answer) == ordered(expected[json.loads(answer)["id"]])
    replayed = [json.loads(each) for each in handshake.replay]
    assert [each.get("id") for each in replayed] == [REPLAYED, None]


@pytest.mark.parametrize("version", [LEGACY, MODERN])
@pytest.mark.parametrize("number", [0, 7, -1, "x", "7", "ü", 'a"b'])
def test_a_response_has_the_id_of_its_request(version: str, number: object) -> None:
    handshake = opened(version)
    params = envelope(version) if version == MODERN else {}
    (line,) = lines({"id": number, "method": "tools/list", "params": params})

    assert json.loads(handshake.answer(line))["id"] == number


def test_a_client_may_fall_back_to_initialize_after_probes_alone() -> None:
    handshake = Handshake(SNAPSHOT)
    probe = {"id": 1, "method": "server/discover", "params": envelope(MODERN)}
    initialize = {"id": 2, "method": "initialize", "params": opening(LEGACY)}
    asked = lines(probe, probe, initialize, {"id": 3, "method": "tools/list"})

    *_, opened, listed = [json.loads(handshake.answer(line)) for line in asked]

    assert opened["result"]["protocolVersion"] == LEGACY
    assert listed["result"]["tools"]
    assert [json.loads(each)["method"] for each in handshake.replay] == ["initialize"]
    with pytest.raises(Unsure):
        handshake.answer(asked[2])


@pytest.mark.parametrize("methods", [["tools/list"], ["tools/list", "server/discover"]])
def test_a_client_may_not_fall_back_to_initialize_after_another_request(
    methods: list[str],
) -> None:
    handshake = Handshake(SNAPSHOT)
    for line in lines(*({"id": 1, "method": name, "params": envelope(MODERN)} for name in methods)):
        handshake.answer(line)
    (initialize,) = lines({"id": 2, "method": "initialize", "params": opening(LEGACY)})

    with pytest.raises(Unsure):
        handshake.answer(initialize)


def test_a_notification_is_replayed_as_it_was_received() -> None:
    handshake = Handshake(SNAPSHOT)
    line = b'{"jsonrpc":"2.0","method":"notifications/initialized","params":{"x":1e999}}'

    assert handshake.answer(line) == b""
    assert handshake.replay == [line]


def test_a_progress_token_changes_nothing() -> None:
    (line,) = lines({"id": 1, "method": "ping", "params": {"_meta": {"progressToken": 7}}})

    assert json.loads(opened(LEGACY).answer(line)) == {"jsonrpc": "2.0", "id": 1, "result": {}}


def with_client(**changes: object) -> dict[str, Any]:
    return {"id": 1, "method": "initialize", "params": opening(LEGACY) | changes}


@pytest.mark.parametrize(
    "message",
    [
        with_client(capabilities={"roots": {"listChanged": True}, "sampling": {}}),
        with_client(clientInfo={**CLIENT, "title": "T"}),
        {"method": "notifications/initialized"},
    ],
)
def test_usual_clients_are_answered_from_the_snapshot(message: dict[str, Any]) -> None:
    Handshake(SNAPSHOT).answer(lines(message)[0])


@pytest.mark.parametrize(
    "message",
    [
        {"id": 1, "method": "ping"},
        {"id": 1, "method": "tools/list"},
        {"id": 1, "method": "tools/list", "params": envelope("2031-01-01")},
        {"id": 1, "method": "prompts/get", "params": envelope(MODERN)},
        with_client(protocolVersion=MODERN),
        with_client(protocolVersion="1.0"),
        with_client(protocolVersion=1),
        with_client(capabilities=[]),
        with_client(capabilities={"roots": {"listChanged": "yes"}}),
        with_client(capabilities={"other": {}}),
        with_client(clientInfo={"name": "x"}),
        with_client(clientInfo={"name": "x", "version": 1}),
        with_client(_meta={}),
    ],
    ids=lambda message: json.dumps(message)[:60],
)
def test_an_uncertain_opening_is_handed_over(message: dict[str, Any]) -> None:
    handshake = Handshake(SNAPSHOT)

    with pytest.raises(Unsure):
        handshake.answer(lines(message)[0])

    assert handshake.replay == [], "it has no response yet"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (LEGACY, {"id": 2, "method": "tools/call", "params": {"name": "list_sandboxes"}}),
        (LEGACY, {"id": 2, "method": "tools/list", "params": {"cursor": "x"}}),
        (LEGACY, {"id": 2, "method": "tools/list", "params": {"_meta": {"x": 1}}}),
        (LEGACY, {"id": 2, "method": "tools/list", "params": {"_meta": {"progressToken": 1.5}}}),
        (LEGACY, {"id": 2, "method": "tools/list", "params": {"_meta": []}}),
        (LEGACY, {"id": 2, "method": "tools/list", "params": []}),
        (LEGACY, {"id": 2, "method": "tools/list", "params": envelope(MODERN)}),
        (LEGACY, {"id": 2, "method": "initialize", "params": opening(LEGACY)}),
        (LEGACY, {"id": 1.5, "method": "ping"}),
        (LEGACY, {"id": True, "method": "ping"}),
        (LEGACY, {"id": None, "method": "ping"}),
        (LEGACY, {"id": 2, "method": "ping", "jsonrpc": "1.0"}),
        (LEGACY, {"id": 2, "method": "ping", "more": 1}),
        (LEGACY, {"id": 2, "method": 1}),
        (LEGACY, {"id": 2, "result": {}}),
        (LEGACY, {"id": "\ud800", "method": "ping"}),
        (MODERN, {"id": 2, "method": "tools/list"}),
        (MODERN, {"id": 2, "method": "tools/list", "params": {**envelope(MODERN), "cursor": "x"}}),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_an_uncertain_message_is_handed_over(version: str, message: dict[str, Any]) -> None:
    with pytest.raises(Unsure):
        opened(version).answer(json.dumps({"jsonrpc": "2.0"} | message).encode())


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"nonsense", b"[]", b'"x"', b"\xff", b"[" * 5_000),
        b'{"jsonrpc":"2.0","method":"notifications/x","params":{"x":NaN}}',
    ],
    ids=lambda line: repr(line)[:40],
)
def test_an_invalid_line_is_handed_over(line: bytes) -> None:
    with pytest.raises(Unsure):
        opened(LEGACY).answer(line)


def test_the_handshake_imports_no_heavy_module() -> None:
    program = (
        "import sys; from sandbox_client.mcp_server import handshake;"
        " handshake.Handshake(handshake.read_snapshot()); print(*sys.modules)"
    )
    package = str(Path(sandbox_client.__file__).parent.parent)
    loaded = subprocess.check_output(
        [sys.executable, "-S", "-c", program], env={"PYTHONPATH": package}, text=True
    ).split()

    heavy = {"mcp", "httpx", "pydantic", "anyio", "asyncio", "argparse", "typing", "enum", "re"}
    assert heavy & set(loaded) <= {"enum", "re"}, "json needs the last two"


def test_the_server_imports_only_what_it_uses_of_mcp() -> None:
    program = (
        "import sys; from sandbox_client.mcp_server.deferred_packages import defer;"
        " defer('mcp', 'mcp.server'); from sandbox_client.mcp_server import server;"
        " loaded = set(sys.modules); import mcp;"
        " print(mcp.server.MCPServer.__name__, mcp.Client.__name__, *loaded)"
    )
    package = str(Path(sandbox_client.__file__).parent.parent)
    names = subprocess.check_output(
        [sys.executable, "-c", program], env={"PYTHONPATH": package}, text=True
    ).split()

    assert names[:2] == ["MCPServer", "Client"], "a name of a deferred package"
    assert {"mcp.server.mcpserver", "mcp.client", "cryptography"}.isdisjoint(names)


def test_the_server_refuses_a_closed_standard_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(SystemExit, match="standard input and output, and one is closed"):
        serve()


def test_the_server_says_in_a_terminal_that_it_waits_for_messages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def no_lines(_: object) -> list[bytes]:
        return []

    monkeypatch.setattr("sandbox_client.mcp_server.handshake.Pipe.lines", no_lines)

    serve()

    assert "waits for a client's messages here. Ctrl-C ends it." in capsys.readouterr().err
