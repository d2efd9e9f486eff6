"""Lists of 20,000 rows: what is shown is short, has the count, and says how to see the rest."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.client.statuses import ALPHA_PENDING
from tests.client.stubs import SESSIONS, VIEW, session_list, view_of
from tests.client.tool_calls import call_tool

if TYPE_CHECKING:
    from tests.client.stubs import Answers
    from tests.client.terminal import Terminal

ROWS = 20_000
SHORT = 12_000  # characters
FILES = "POST /proxy/box/v1/file/list"


@cache
def sandboxes() -> Answers:
    rows = [ALPHA_PENDING.listed(f"box-{number}") for number in range(ROWS)]
    looks = {
        f"GET /api/sandboxes/box-{number}": ALPHA_PENDING.response(f"box-{number}")
        for number in range(20)
    }
    return {"GET /api/sandboxes": httpx.Response(200, json={"sandboxes": rows}), **looks}


@cache
def sessions() -> Answers:
    rows: dict[str, dict[str, object]] = {f"s{n}": {"status": "completed"} for n in range(ROWS)}
    return {SESSIONS: session_list(**rows), VIEW: view_of("x")}


async def test_list_sandboxes_shows_the_newest() -> None:
    result = await call_tool("list_sandboxes", {}, sandboxes())

    first, *_, last = result.text.splitlines()
    assert first == "20000 sandboxes, newest first:"
    assert last == "… and 19900 more: `remote-sandbox list --limit all` lists all"
    assert result.content is not None
    assert (result.content["count"], result.content["left_out"]) == (ROWS, 19_900)
    assert len(result.text) < SHORT
    assert len(json.dumps(result.content)) < 2 * SHORT


def test_a_terminal_gets_the_newest_sandboxes(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    terminal.run("list", answers=sandboxes())

    assert len(terminal.out.splitlines()) == 101
    assert "… and 19900 more: `remote-sandbox list --limit all` lists all" in terminal.err
    assert re.search(r"up for more than a day: box-0, .+, box-9 and \d+ more;", terminal.err)
    assert len(terminal.out + terminal.err) < SHORT


in_both_forms = pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "JSON"])
SANDBOX, SESSION = re.compile(r"box-\d+\b"), re.compile(r'(?m)^(?:s| *"session": "s)\d+')


@in_both_forms
@pytest.mark.parametrize(
    ("words", "row", "usual"),
    [(["list"], SANDBOX, 100), (["output", "box"], SESSION, 50)],
    ids=["sandboxes", "sessions"],
)
@pytest.mark.parametrize(
    ("limit", "number"), [("", 0), ("3", 3), ("200", 200), ("19999", ROWS - 1), ("all", ROWS)]
)
def test_a_pipe_gets_as_many_rows_as_the_user_asks_for(
    limit: str,
    number: int,
    words: list[str],
    row: re.Pattern[str],
    usual: int,
    form: list[str],
    terminal: Terminal,
) -> None:
    options = ["--limit", limit] if limit else []
    answers = sandboxes() if words == ["list"] else sessions()

    terminal.run(words[0], *form, *options, *words[1:], answers=answers)

    expected = number or usual
    rest = ROWS - expected
    assert len(row.findall(terminal.out)) == expected
    more = f"… and {rest} more: `remote-sandbox {' '.join(words)} --limit all` lists all\n"
    assert (more in terminal.err) is bool(rest)
    assert len(terminal.err) < SHORT
    if form:
        content = json.loads(terminal.out)
        assert (content["count"], content.get("left_out", 0)) == (ROWS, rest)


@pytest.mark.parametrize("limit", ["0", "-1", "some", "1.5", "²"])
def test_a_limit_is_1_or_more(limit: str, terminal: Terminal) -> None:
    terminal.run("list", "--limit", limit)

    assert terminal.code == 2
    assert "invalid number of rows (1 or more, or all)" in terminal.err


def test_a_limit_is_not_for_the_output_of_one_command(terminal: Terminal) -> None:
    terminal.run("output", "--limit", "3", "box", "s1")

    assert terminal.code == 125
    assert "error: --limit was given with a session" in terminal.err


async def test_get_prompt_output_shows_the_last_sessions() -> None:
    result = await call_tool("get_prompt_output", {"name": "box"}, sessions())

    assert result.text.startswith("20000 sessions of 'box'")
    assert "… and 19950 more: `remote-sandbox output box --limit all` lists all" in result.text
    assert result.content is not None
    assert (result.content["count"], result.content["left_out"]) == (ROWS, 19_950)
    assert len(result.text) + len(json.dumps(result.content)) < SHORT


@pytest.mark.parametrize(
    ("length", "is_error", "expected"),
    [(1_024, False, f"- {'x' * 299}… (1 byte)"), (1_025, True, "1024 characters at most")],
)
async def test_a_very_long_name_of_a_file_is_not_shown_whole(
    length: int, is_error: bool, expected: str
) -> None:
    files = [{"name": "x" * length, "is_directory": False, "size": 1}]
    reply = httpx.Response(200, json={"success": True, "data": {"files": files}})

    result = await call_tool("list_sandbox_files", {"name": "box"}, {FILES: reply})

    assert result.is_error is is_error
    assert expected in result.text


async def test_list_sandbox_files_shows_the_first() -> None:
    files = [{"name": f"file-{n}", "is_directory": False, "size": 1} for n in range(ROWS)]
    reply = httpx.Response(200, json={"success": True, "data": {"files": files}})

    result = await call_tool("list_sandbox_files", {"name": "box"}, {FILES: reply})

    assert "has 20000 entries" in result.text
    assert "[… 19800 left out; list a subdirectory, or use a command …]" in result.text
    assert len(result.text) < SHORT
