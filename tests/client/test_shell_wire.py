"""Requests to the shell API and its replies, without a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from sandbox_client import _shell_wire
from sandbox_client._errors import BrokenReply, InvalidInput, ProxyFailed
from sandbox_client._message import Reply
from sandbox_client._shell_wire import SessionRow, Snapshot

from tests.client.stubs import (
    KEY,
    as_reply,
    executed,
    html_page,
    session_opened,
    unused_session,
    view_of,
)

if TYPE_CHECKING:
    from sandbox_client._shell_wire import State


def json_reply(value: object, status: int = 200) -> Reply:
    return as_reply(httpx.Response(status, json=value))


def test_a_command_is_asynchronous_and_not_truncated() -> None:
    request = _shell_wire.execute("box", "s1", "make")

    assert request.path == "/proxy/box/v1/shell/exec"
    assert request.body == {"id": "s1", "command": "make", "async_mode": True, "truncate": False}


def test_only_execute_and_kill_are_not_repeatable() -> None:
    requests = (
        _shell_wire.open_session("box", "s1"),
        _shell_wire.view("box", "s1"),
        _shell_wire.list_sessions("box"),
        _shell_wire.execute("box", "s1", "ls"),
        _shell_wire.kill("box", "s1"),
    )

    assert [request.repeatable for request in requests] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("command", "words"),
    [("", "empty"), (" \n\t", "empty"), ("a\0b", "NUL"), ("a\ud800", "Unicode")],
    ids=["nothing", "blanks", "NUL", "surrogate"],
)
def test_an_invalid_command_is_refused(command: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        _shell_wire.execute("box", "s1", command)

    assert caught.value.advice


@pytest.mark.parametrize(
    "session", ["", " ", "a/b", "../x", "a b", "x" * 65, "é", "a\n", "-x", ".x", KEY], ids=ascii
)
def test_an_invalid_session_id_is_refused_in_one_line(session: str) -> None:
    for ask in (_shell_wire.open_session, _shell_wire.view, _shell_wire.kill):
        with pytest.raises(InvalidInput, match="cannot be a session") as caught:
            ask("box", session)
        assert caught.value.message.isprintable()
        assert KEY not in caught.value.message


@pytest.mark.parametrize(
    ("response", "seen"),
    [
        (executed("hi\n"), Snapshot("completed", "hi\n", 0, "x")),
        (executed("no such file", 2), Snapshot("completed", "no such file", 2, "x")),
        (executed("", None, "running"), Snapshot("running", "", None, "x")),
        (executed("x", None, "no_change_timeout"), Snapshot("running", "x", None, "x")),
        (executed("x", None, "hard_timeout"), Snapshot("killed", "x", None, "x")),
        (executed("x", -9, "terminated"), Snapshot("killed", "x", -9, "x")),
        (executed("x", None, "something_new"), Snapshot("running", "x", None, "x")),
    ],
    ids=["done", "failed", "running", "silent", "killed", "terminated", "unknown"],
)
def test_the_state_of_a_command_is_read(response: httpx.Response, seen: Snapshot) -> None:
    assert _shell_wire.read_executed(as_reply(response)) == seen


def test_only_lone_surrogates_of_an_output_are_replaced() -> None:
    body = b'{"data": {"status": "completed", "exit_code": 0, "output": "\\u001b[1m\\ud800\\n"}}'

    assert _shell_wire.read_executed(Reply(200, body)).output == "\x1b[1m?\n"


def test_a_reply_without_success_is_a_failure_with_its_message() -> None:
    with pytest.raises(ProxyFailed, match="no shell left"):
        _shell_wire.read_executed(json_reply({"success": False, "message": "no shell left"}))


@pytest.mark.parametrize(
    ("response", "state", "output", "code"),
    [
        (view_of("a\n"), "running", "a\n", None),
        (view_of("a\n", "completed", 3, before=2), "completed", "a\n", 3),
        (view_of("a\n", "terminated"), "killed", "a\n", None),
        (unused_session(), "empty", "", None),
    ],
    ids=["running", "third of a session", "killed", "nothing has run"],
)
def test_a_session_is_read_by_its_last_command(
    response: httpx.Response, state: State, output: str, code: int | None
) -> None:
    seen = _shell_wire.read_view(as_reply(response))

    assert (seen.state, seen.output, seen.exit_code) == (state, output, code)
    assert seen.command == ("" if state == "empty" else "make")


def test_a_marked_command_is_found_and_shown_without_its_mark() -> None:
    ours = view_of("a\n", "completed", 3, command=": run-1; make", before=2)

    seen = _shell_wire.read_view(as_reply(ours), "run-1")

    assert (seen.state, seen.output, seen.exit_code, seen.command) == (
        "completed",
        "a\n",
        3,
        "make",
    )


def test_a_command_with_another_mark_is_not_ours() -> None:
    others = view_of("b\n", "completed", 0, command=": run-2; make", before=2)

    assert _shell_wire.read_view(as_reply(others), "run-1").state == "empty"


def test_the_exit_code_is_unknown_after_a_later_command() -> None:
    console = [
        {"command": ": run-1; make", "output": "ours\n"},
        {"command": "other", "output": "theirs\n"},
    ]
    data = {"status": "running", "console": console, "command": "other", "exit_code": None}

    seen = _shell_wire.read_view(json_reply({"success": True, "data": data}), "run-1")

    assert (seen.state, seen.output, seen.exit_code) == ("completed", "ours\n", None)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"success": True}, "nothing as data"),
        ({"success": True, "data": []}, "an array as data"),
        ({"data": {"status": 1}}, "a number as status"),
        ({"data": {"status": "completed", "output": {}}}, "an object as data.output"),
        ({"data": {"status": "completed", "exit_code": "0"}}, "a string as exit_code"),
        ({"data": {"status": "completed", "exit_code": True}}, "a boolean as exit_code"),
    ],
)
def test_a_result_with_a_wrong_field_names_the_field(value: object, words: str) -> None:
    with pytest.raises(BrokenReply, match=words):
        _shell_wire.read_executed(json_reply(value))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"status": "running", "console": {}}, "an object as console"),
        ({"status": "running", "console": ["x"]}, "a string as data.console"),
        ({"console": [{"output": "x"}]}, "nothing as status"),
        ({"status": "running", "console": [{"output": 1}]}, "a number as data.console"),
    ],
)
def test_a_view_with_a_wrong_field_names_the_field(data: object, words: str) -> None:
    with pytest.raises(BrokenReply, match=words):
        _shell_wire.read_view(json_reply({"success": True, "data": data}))


def test_sessions_are_read_the_last_used_first() -> None:
    sessions = {
        "old": {"status": "completed", "last_used_at": "2026-01-01T00:00:00.000Z"},
        "new": {
            "status": "running",
            "current_command": "make",
            "created_at": "2026-01-01T00:00:00.000Z",
            "last_used_at": "2026-01-02T00:00:00.000Z",
        },
    }

    rows = _shell_wire.read_sessions(json_reply({"success": True, "data": {"sessions": sessions}}))

    assert rows == [
        SessionRow("new", True, "make", "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"),
        SessionRow("old", False, "", "", "2026-01-01T00:00:00.000Z"),
    ]


def test_the_reply_to_open_session_is_read() -> None:
    _shell_wire.read_done(as_reply(session_opened()))
    with pytest.raises(BrokenReply, match="an HTML page"):
        _shell_wire.read_done(as_reply(html_page(200)))
