"""The MCP server's process: messages and the end of its streams, as bytes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.programs import DEADLINE, clean_environment
from tools.manifest import ROOT, server_parameters
from tools.snapshot import envelope, opening

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

BOX = "my-sandbox"
MODERN = envelope("2026-07-28")
# A probe with this version is not answered from the snapshot.
LATER = envelope("2027-01-01")


def line(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"


def request(number: object, method: str, **params: object) -> bytes:
    return line(id=number, method=method, params=params)


def call(number: object, tool: str, /, token: int | None = None, **arguments: object) -> bytes:
    meta = {} if token is None else {"_meta": {"progressToken": token}}
    return request(number, "tools/call", name=tool, arguments=arguments, **meta)


INITIALIZE = request(0, "initialize", **opening("2025-06-18"))
INITIALIZED = line(method="notifications/initialized")
LIST = call(2, "list_sandboxes")


class ServerProcess:
    """The server as a process, with pipes that the test reads and writes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        self.messages: Iterator[dict[str, Any]] = map(json.loads, self.stdout)

    def send(self, *lines: bytes) -> None:
        """Write to the server's input."""
        self.stdin.write(b"".join(lines))
        self.stdin.flush()

    def response(self, number: object) -> dict[str, Any]:
        """Return the response with this id; messages before it are dropped."""
        return next(each for each in self.messages if each.get("id") == number)

    def finish(self, *lines: bytes) -> list[dict[str, Any]]:
        """Write to the input and close it; return the other messages of a quiet process."""
        output, errors = self.process.communicate(b"".join(lines), DEADLINE)
        assert (self.process.returncode, errors) == (0, b"")
        return [json.loads(each) for each in output.splitlines()]

    def assert_ends_quietly(self) -> None:
        """Check that the process ends without a word on standard error."""
        assert self.process.wait(DEADLINE) == 0
        assert self.stderr.read() == b""


@contextmanager
def started(home: Path, *command: str) -> Generator[ServerProcess]:
    """Start the server of the manifest, or another command."""
    _, parameters = server_parameters({})
    with subprocess.Popen(
        command or [parameters.command, *parameters.args],
        env=clean_environment(home) | (parameters.env or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield ServerProcess(process)
        finally:
            process.kill()


def with_imports(program: str) -> tuple[str, ...]:
    """Return a command that runs the server, and `program` before it imports `anyio`."""
    source = f"""
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "anyio":
            {program}
sys.meta_path.insert(0, Finder())
sys.argv = ["remote-sandbox", "mcp"]
from sandbox_client.__main__ import main
main()
"""
    return (sys.executable, "-c", source)


@pytest.mark.parametrize("received", [b"", b"not a message\n", b'{"jsonrpc"'])
def test_the_server_exits_at_the_end_of_its_input(tmp_path: Path, received: bytes) -> None:
    with started(tmp_path) as server:
        responses = server.finish(received)

    assert [each["error"]["code"] for each in responses] == ([-32700] if received else [])


def test_the_server_imports_nothing_heavy_before_the_first_call(tmp_path: Path) -> None:
    start = str(ROOT / "client" / "start.py")
    command = (sys.executable, *["-I", "-X", "importtime", "-S"], start, "sandbox_client", "mcp")
    with started(tmp_path, *command) as server:
        output, errors = server.process.communicate(INITIALIZE + request(1, "tools/list"), DEADLINE)

    assert [json.loads(each)["id"] for each in output.splitlines()] == [0, 1]
    imported = {each.split("|")[-1].strip() for each in errors.decode().splitlines()}
    assert "sandbox_client.mcp_server.handshake" in imported
    heavy = {"mcp", "httpx", "pydantic", "anyio", "asyncio", "argparse"}
    assert heavy.isdisjoint(imported)


def test_stray_prints_do_not_reach_standard_output(tmp_path: Path) -> None:
    command = with_imports('print("flushed", flush=True); print("late")')
    with started(tmp_path, *command) as server:
        output, errors = server.process.communicate(INITIALIZE + LIST, DEADLINE)

    assert [json.loads(each)["id"] for each in output.splitlines()] == [0, 2]
    assert errors.splitlines() == [b"flushed", b"late"]


def test_a_response_is_written_before_the_load_and_closed_output_ends_it(tmp_path: Path) -> None:
    command = with_imports('import time; print("loading", file=sys.stderr); time.sleep(600)')
    with started(tmp_path, *command) as server:
        server.send(INITIALIZE, INITIALIZED, LIST)
        assert server.response(0)["result"]
        assert server.stderr.readline() == b"loading\n"
        server.stdout.close()
        server.assert_ends_quietly()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_the_server_ends_at_once_when_its_output_is_closed(tmp_path: Path, kind: str) -> None:
    ours, theirs = os.pipe() if kind == "pipe" else sockets()
    _, parameters = server_parameters({})
    with subprocess.Popen(
        [parameters.command, *parameters.args],
        env=clean_environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        assert process.stdin is not None
        process.stdin.write(INITIALIZE)
        process.stdin.flush()
        assert os.read(ours, 1)
        os.close(ours)
        assert process.wait(DEADLINE) == 0, "although its input is still open"
        assert process.stderr is not None
        assert process.stderr.read() == b""


def sockets() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.mark.parametrize("is_loaded", [False, True], ids=["handshake", "loaded"])
def test_a_client_that_reads_nothing_is_not_waited_for(tmp_path: Path, is_loaded: bool) -> None:
    with started(tmp_path) as server:
        server.send(INITIALIZE, INITIALIZED, *([LIST] if is_loaded else []))
        server.response(2 if is_loaded else 0)
        # Far more than a pipe holds.
        server.send(*(request(number, "tools/list") for number in range(10, 50)))
        server.stdin.close()
        server.assert_ends_quietly()


def test_each_of_a_thousand_requests_and_invalid_lines_gets_a_response(tmp_path: Path) -> None:
    lines = [INITIALIZE, INITIALIZED]
    for number in range(1, 1_000):
        lines += [request(number, "ping"), b"nonsense\n" if number % 10 == 0 else b""]
    lines += [request(1_000, "ping").rstrip()]  # a line without an end
    with started(tmp_path) as server:
        responses = server.finish(*lines)

    assert sorted(each["id"] for each in responses if each["id"] is not None) == [*range(1_001)]
    assert [each["error"]["code"] for each in responses if each["id"] is None] == [-32700] * 99


def test_each_invalid_message_of_a_session_gets_one_response(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        found = server.finish(
            request(1, "tools/list"),  # before `initialize`
            INITIALIZE,
            INITIALIZED,
            request(2, "initialize", **opening("2025-06-18")),
            b"[" + request(3, "ping").rstrip() + b"]\n",
            line(id=4, method="tools/call", params=[]),
            request(5, "tools/call", name=5),
            b'{"id": "\xff"}\n',
            request(6, "ping"),
            request(6, "ping"),
        )

    by_id = {each["id"]: each for each in found}
    codes = {number: each.get("error", {}).get("code") for number, each in by_id.items()}
    assert codes == {0: None, 1: -32602, 2: None, 4: -32600, 5: -32602, 6: None, None: -32700}
    assert len(found) == 9


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_handover_answers_each_request_once_in_its_order(tmp_path: Path, era: str) -> None:
    meta = MODERN if era == "modern" else {}
    asked = [
        request(0, "server/discover", **meta) if meta else INITIALIZE,
        INITIALIZED,
        request(1, "tools/list", **meta),
        request(2, "tools/call", name="list_sandboxes", arguments={}, **meta),
        request(3, "resources/list", **meta),
        request(0, "tools/list", **meta),  # an id that was used before
    ]
    with started(tmp_path) as server:
        responses = server.finish(*asked)

    assert [each["id"] for each in responses[:2]] == [0, 1]
    assert sorted(each["id"] for each in responses[2:]) == [0, 2, 3]
    (called,) = [each["result"] for each in responses if each["id"] == 2]
    assert called["isError"], "there is no configuration"


@pytest.mark.parametrize("meta", [MODERN, LATER], ids=["snapshot", "loaded"])
def test_a_client_that_probes_and_falls_back_gets_each_response_once(
    home: Path, meta: dict[str, Any]
) -> None:
    with started(home) as server:
        server.send(request(7, "server/discover", **meta))
        server.response(7)
        server.send(INITIALIZE, INITIALIZED, request(1, "tools/list"), LIST)
        assert server.response(0)["result"]["protocolVersion"] == "2025-06-18"
        assert server.response(1)["result"]["tools"]
        assert not server.response(2)["result"]["isError"]
        assert server.finish() == []


def test_requests_of_one_id_in_flight_are_both_answered_after_the_end_of_input(home: Path) -> None:
    with started(home) as server:
        server.send(INITIALIZE, INITIALIZED)
        responses = server.finish(
            call(1, "create_sandbox", name=BOX),
            call(1, "list_sandboxes"),
            line(id=1, result={}),
        )

    assert [each["id"] for each in responses] == [0, 1, 1]
    assert ["result" in each for each in responses] == [True] * 3
    assert [each["result"]["isError"] for each in responses[1:]] == [False, False]


def test_messages_during_the_load_are_answered_after_it(home: Path) -> None:
    with started(home) as server:
        server.send(INITIALIZE)
        server.response(0)
        server.send(
            call(1, "create_sandbox", name=BOX),
            line(method="notifications/cancelled", params={"requestId": 1}),
            line(method="notifications/progress", params={"progressToken": 1, "progress": 1}),
            request(2, "ping"),
            b'{"jsonrpc": "2.0", "id": 3, ',
        )
        assert next(server.messages)["id"] == 2, "the first was cancelled"
        assert [each["id"] for each in server.finish(b'"method": "ping"}\n')] == [3]


def test_the_call_that_loads_the_server_reports_progress(home: Path) -> None:
    with started(home) as server:
        server.send(INITIALIZE, INITIALIZED, call(1, "create_sandbox", token=8, name=BOX))
        server.response(0)
        progress = [*takewhile(lambda each: each.get("id") != 1, server.messages)]
        assert server.finish() == []

    assert progress
    assert {each["params"]["progressToken"] for each in progress} == {8}


@pytest.mark.check
@pytest.mark.timeout(300)
def test_a_thousand_waits_at_once_end_in_time(home: Path) -> None:
    numbers = range(10, 1_010)
    with started(home) as server:
        server.send(INITIALIZE, INITIALIZED, call(1, "create_sandbox", name=BOX))
        server.response(1)
        server.send(call(2, "send_prompt_to_sandbox", name=BOX, command="sleep 60", wait_seconds=0))
        session = server.response(2)["result"]["structuredContent"]["session"]

        def seconds_for_all(wait: int) -> float:
            """Return the seconds until a thousand calls that wait so long have an answer."""
            waits = [
                call(number, "get_prompt_output", name=BOX, session=session, wait_seconds=wait)
                for number in numbers
            ]
            began = time.monotonic()
            server.send(*waits)
            assert {next(server.messages)["id"] for _ in numbers} == set(numbers)
            return time.monotonic() - began

        without_wait, with_wait = seconds_for_all(0), seconds_for_all(5)

    # One after the other, as the connections are shared, they would take hundreds of times as long.
    assert 5 <= with_wait < 5 + 5 * without_wait
