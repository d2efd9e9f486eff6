"""The checks of the connection in the tool `check_connection` and the command `doctor`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
from sandbox_client import Client
from sandbox_client.cli import main
from sandbox_client.mcp_server.tools import TOOLS

from tests.client.interaction import StubProvider
from tests.client.stubs import KEY, RecordedProgress, RouteStub, error_reply
from tests.client.tool_calls import assert_matches, is_json

if TYPE_CHECKING:
    import pytest
    from sandbox_client import Config
    from sandbox_client.mcp_server.tool import Result

    from tests.client.stubs import Answers

VARIABLES = {
    "HOME": "/nonexistent",
    "REMOTE_SANDBOX_PROXY_URL": "http://127.0.0.1:8080",
    "REMOTE_SANDBOX_API_KEY": KEY,
}
TOOL = next(tool for tool in TOOLS if tool.name == "check_connection")


def answers(**others: httpx.Response) -> Answers:
    moment = datetime.now(UTC).isoformat()
    well = {"status": "ok", "database": "connected", "timestamp": moment}
    return {
        "GET /health": httpx.Response(200, json=well),
        "GET /api/me": others.get("me", httpx.Response(200, json={"user": {"username": "ada"}})),
        "GET /api/me/apikeys": httpx.Response(200, json={"count": 0, "api_keys": []}),
        "GET /api/sandboxes": others.get("rows", httpx.Response(200, json={"sandboxes": []})),
    }


FULL = httpx.Response(
    200, json={"sandboxes": [{"name": f"b{n}", "ready": True} for n in range(10)]}
)


async def called(played: Answers, environ: dict[str, str] | None = None) -> Result:
    provider = StubProvider(VARIABLES if environ is None else environ, RouteStub(played))
    result = await TOOL.run(provider, TOOL.check({}), RecordedProgress())
    assert not result.is_error
    assert not is_json(result.text)
    assert KEY not in result.text + json.dumps(result.content)
    assert_matches(TOOL.output_schema(), result.content)
    return result


async def test_the_tool_returns_a_line_and_an_object_for_each_check() -> None:
    result = await called(answers())

    heading, *lines = result.text.splitlines()
    assert heading == "The connection works: all 9 checks passed."
    assert all(line.startswith("passed: ") for line in lines)
    assert result.content is not None
    assert result.content["ok"] is True
    assert str(result.content["checks"]).count("'passed'") == 9


async def test_a_failed_check_has_its_fix_below_it() -> None:
    result = await called(answers(me=error_reply(401, "Invalid API key")))

    lines = result.text.splitlines()
    failed = next(number for number, line in enumerate(lines) if line.startswith("failed: key: "))
    assert lines[0] == "The connection does not work: 1 check of 9 failed."
    assert lines[failed + 1].startswith("  Fix: ")
    assert lines[failed + 2] == "not tried: sandboxes: because 'key' failed"
    assert result.content is not None
    assert result.content["ok"] is False


async def test_a_missing_configuration_is_a_failed_check() -> None:
    result = await called({}, {"HOME": "/nonexistent"})

    assert "failed: configuration: No configuration" in result.text
    assert "`remote-sandbox login`" in result.text


async def test_a_fix_in_the_tool_names_tools() -> None:
    assert "delete some with delete_sandbox" in (await called(answers(rows=FULL))).text


async def test_a_warning_is_not_a_failure() -> None:
    result = await called(answers(rows=FULL))

    assert result.content is not None
    assert result.content["ok"] is True
    assert result.text.startswith("The connection works, with 1 warning.")


def test_the_tools_description_is_short() -> None:
    listed = [TOOL.name, TOOL.description, TOOL.input_schema(), TOOL.output_schema()]

    assert len(json.dumps(listed)) < 700
    assert len(TOOL.description) <= 300
    assert TOOL.read_only
    assert TOOL.idempotent


def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *words: str,
    played: Answers | None = None,
) -> tuple[int, str]:
    """Return the exit code of `remote-sandbox doctor` and its standard output."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    def connected(config: Config) -> Client:
        return StubProvider({}, RouteStub(played or answers())).connect(config)

    monkeypatch.setattr(Client, "connect", connected)
    code = main.run(["doctor", *words])
    out, err = capsys.readouterr()
    assert KEY not in out + err
    return code, out


def test_doctor_prints_the_same_lines_and_ends_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(monkeypatch, capsys, played=answers(rows=FULL))

    assert code == 0
    assert "passed: key: the proxy accepts the key; it belongs to ada\n" in out
    assert "  Fix: List them with `remote-sandbox list`; delete some with" in out


def test_doctor_ends_with_1_after_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = answers(me=error_reply(401, "Invalid API key"))

    assert run(monkeypatch, capsys, played=refused)[0] == 1


def test_doctor_prints_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(monkeypatch, capsys, "--json", played=answers(rows=FULL))

    content = json.loads(out)
    assert (code, content["ok"], len(content["checks"])) == (0, True, 9)
    assert content["checks"][-1]["outcome"] == "warned"
    assert "`remote-sandbox delete NAME`" in content["checks"][-1]["fix"]


def test_a_terminal_shows_a_column_for_each_part_of_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    failing = answers(me=error_reply(401, "Invalid API key"))

    _, out = run(monkeypatch, capsys, played=failing)

    lines = [line.rstrip() for line in out.splitlines()]
    assert "✓ passed    proxy         http://127.0.0.1:8080 responds" in lines
    key = next(number for number, line in enumerate(lines) if line.startswith("✗ failed    key"))
    assert lines[key + 1].startswith("  Fix: ")
    assert lines[-1] == "The connection does not work: 1 check of 9 failed."


def test_a_path_that_does_not_fit_beside_a_check_is_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = f"/{'h' * 40}"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setitem(VARIABLES, "HOME", home)

    _, out = run(monkeypatch, capsys)

    assert f"\n  no file at {home}/.config/gemini-remote-sandbox/config.json" in out
