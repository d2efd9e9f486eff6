"""Requests to the terminal API and its replies, without a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client import ProxyFailed, SessionRow
from sandbox_client.api import shell
from sandbox_client.api.ends import note_end
from sandbox_client.api.message import Reply
from sandbox_client.api.runtime import CommandStatus, Payload, Task, quote, unquote
from sandbox_client.api.shell import TIME_LIMIT_CODE, Snapshot
from sandbox_client.errors import InvalidResponse

from tests.client.strategies import some_examples
from tests.client.stubs import as_reply, executed, typed, unused_session, view_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_client.api.message import Request
    from sandbox_client.api.runtime import CommandState


def json_reply(value: object, status: int = 200) -> Reply:
    return as_reply(httpx.Response(status, json=value))


DIRECTORY = '"$HOME"/.remote-sandbox-0123abcd'
SCRIPT = f'"$(cat {DIRECTORY}/run || echo false; rm -rf {DIRECTORY})"'
START = typed("x", "s1").partition("bash -mc")[0]
ALONE = typed("x", "s1").removeprefix(START).removesuffix("x </dev/null")
MARK = ": run-1; "
QUOTED = quote("echo 'a b'")
LINES = {
    "alone": (Task("echo 'a b'"), typed("echo 'a b'", "s1")),
    "alone, with a payload": (
        Task("make", payload=Payload(DIRECTORY)),
        f"{START}{{ {ALONE}{SCRIPT}; }} </dev/null  # make",
    ),
    "alone, with input": (
        Task("sort", payload=Payload(DIRECTORY, has_input=True)),
        f"{START}{{ {ALONE}{SCRIPT}; }} <{DIRECTORY}/in  # sort",
    ),
    "marked": (Task("echo 'a b'"), f"{MARK}{START}eval {QUOTED} </dev/null"),
    "marked, with a payload": (
        Task("make", payload=Payload(DIRECTORY)),
        f"{MARK}{START}{{ eval {SCRIPT}; }} </dev/null  # make",
    ),
    "marked, with input": (
        Task("sort", payload=Payload(DIRECTORY, has_input=True)),
        f"{MARK}{START}{{ eval {SCRIPT}; }} <{DIRECTORY}/in  # sort",
    ),
    "too long for a word": (
        Task("sort", payload=Payload(DIRECTORY, by_eval=True)),
        f"{START}{{ {ALONE}{quote(f'eval {SCRIPT}')}; }} </dev/null  # sort",
    ),
    "own": (Task("mkdir -p x", is_internal=True), "mkdir -p x"),
}


@pytest.mark.parametrize("kind", LINES)
def test_the_users_command_is_read_from_the_command_line(kind: str) -> None:
    task, line = LINES[kind]
    mark = "run-1" if line.startswith(MARK) else ""

    body = shell.execute("box", "s1", task, mark=mark).body

    assert body == {"id": "s1", "command": line, "timeout": 0.05, "truncate": False}
    snapshot = shell.read_view(as_reply(view_of(command=line)), mark)
    assert snapshot.status.command == task.command


def test_a_line_of_an_earlier_client_is_read() -> None:
    """A session of a terminal lives on while the client is updated."""
    for limit, status in (
        (9.0, CommandStatus("timed_out", None, "a; b")),
        (None, CommandStatus("completed", TIME_LIMIT_CODE, "a; b")),
    ):
        body = shell.execute("box", "s1", Task("a; b", time_limit=limit)).body or {}
        earlier = str(body["command"]).replace(note_end("$0"), "").replace("' s1 ", "' bash ")
        snapshot = shell.read_view(
            as_reply(view_of("", "completed", TIME_LIMIT_CODE, command=earlier))
        )
        assert earlier.count("setsid") == 0
        assert snapshot.status == status


def test_the_time_limit_code_counts_only_for_a_command_with_a_time_limit() -> None:
    for limit, status in (
        (9.0, CommandStatus("timed_out", None, "x")),
        (None, CommandStatus("completed", TIME_LIMIT_CODE, "x")),
    ):
        line = (shell.execute("box", "s1", Task("x", time_limit=limit)).body or {})["command"]
        snapshot = shell.read_view(
            as_reply(view_of("", "completed", TIME_LIMIT_CODE, command=str(line)))
        )
        assert snapshot.status == status


@some_examples
@given(command=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
@example(command="eval 'x' </dev/null")
@example(command="timeout -k 5 3 bash -c 'a b'")
@example(command="-n x")
@example(command="it's !x\n\t\\é\x1b")
def test_every_command_is_read_back_unchanged(command: str) -> None:
    for limit, mark in ((None, ""), (30.0, ""), (None, "run-1")):
        if command.strip():
            task = Task(command, time_limit=limit)
            body = shell.execute("box", "s1", task, mark=mark).body
            assert body is not None
            snapshot = shell.read_executed(as_reply(executed(command=body["command"])))
            assert snapshot.status.command == command


def test_the_directory_of_a_command_has_to_exist() -> None:
    body = shell.execute("box", "s1", Task("ls", "/x")).body

    assert body is not None
    assert (body["exec_dir"], body["strict"]) == ("/x", True)


@pytest.mark.parametrize(
    ("ask", "route", "body"),
    [
        (shell.interrupt, "write", {"id": "s1", "input": "\x03", "press_enter": False}),
        (shell.kill, "kill", {"id": "s1"}),
        (shell.open_session, "sessions/create", {"id": "s1", "exec_dir": "/sandbox"}),
    ],
)
def test_the_requests_about_a_session(
    ask: Callable[[str, str], Request], route: str, body: dict[str, object]
) -> None:
    request = ask("box", "s1")

    assert (request.method, request.path) == ("POST", f"/proxy/box/v1/shell/{route}")
    assert request.body == body


@some_examples
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0")))
@example(text="\\'!\n\\101")
def test_unquote_reverses_quote(text: str) -> None:
    assert unquote(quote(text)) == text


def test_a_word_that_cannot_be_parsed_is_returned_unchanged() -> None:
    assert unquote("it's") == "it's"


@pytest.mark.parametrize(
    ("response", "snapshot"),
    [
        (executed("hi\n"), Snapshot(CommandStatus("completed", 0, "x"), "hi\n")),
        (executed("no such file", 2), Snapshot(CommandStatus("completed", 2, "x"), "no such file")),
        (executed("", None, "running"), Snapshot(CommandStatus("running", None, "x"), "")),
        (
            executed("x", None, "no_change_timeout"),
            Snapshot(CommandStatus("running", None, "x"), "x"),
        ),
        (executed("x", None, "hard_timeout"), Snapshot(CommandStatus("killed", None, "x"), "x")),
        (executed("x", -9, "terminated"), Snapshot(CommandStatus("killed", -9, "x"), "x")),
        (executed("x", None, "something_new"), Snapshot(CommandStatus("running", None, "x"), "x")),
    ],
    ids=["done", "failed", "running", "silent", "killed", "terminated", "unknown"],
)
def test_the_state_of_a_command_is_read(response: httpx.Response, snapshot: Snapshot) -> None:
    assert shell.read_executed(as_reply(response)) == snapshot


def test_only_lone_surrogates_of_an_output_are_replaced() -> None:
    body = b'{"data": {"status": "completed", "exit_code": 0, "output": "\\u001b[1m\\ud800\\n"}}'

    assert shell.read_executed(Reply(200, body)).output == "\x1b[1m?\n"


def test_a_reply_without_success_raises_its_message() -> None:
    with pytest.raises(ProxyFailed, match="no shell left"):
        shell.read_executed(json_reply({"success": False, "message": "no shell left"}))


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
def test_a_session_has_the_status_of_its_last_command(
    response: httpx.Response, state: CommandState, output: str, code: int | None
) -> None:
    snapshot = shell.read_view(as_reply(response))

    assert (snapshot.status.state, snapshot.output, snapshot.status.exit_code) == (
        state,
        output,
        code,
    )
    assert snapshot.status.command == ("" if state == "empty" else "make")


def test_a_command_is_found_by_its_mark_and_shown_without_it() -> None:
    ours = view_of("a\n", "completed", 3, command=": run-1; make", before=2)

    snapshot = shell.read_view(as_reply(ours), "run-1")

    assert snapshot == Snapshot(CommandStatus("completed", 3, "make"), "a\n", ": run-1; make")


def test_a_command_with_another_mark_is_ignored() -> None:
    others = view_of("b\n", "completed", 0, command=": run-2; make", before=2)

    assert shell.read_view(as_reply(others), "run-1") == Snapshot(CommandStatus("empty"))


def test_the_exit_code_is_unknown_after_a_later_command() -> None:
    console = [
        {"command": ": run-1; make", "output": "ours\n"},
        {"command": "other", "output": "theirs\n"},
    ]
    data = {"status": "running", "console": console, "command": "other", "exit_code": None}

    snapshot = shell.read_view(json_reply({"success": True, "data": data}), "run-1")

    assert snapshot == Snapshot(CommandStatus("completed", None, "make"), "ours\n", ": run-1; make")


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
def test_the_error_for_a_wrong_field_names_the_field(value: object, words: str) -> None:
    with pytest.raises(InvalidResponse, match=words):
        shell.read_executed(json_reply(value))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"status": "running", "console": {}}, "an object as console"),
        ({"status": "running", "console": ["x"]}, "a string as data.console"),
        ({"console": [{"output": "x"}]}, "nothing as status"),
        ({"status": "running", "console": [{"output": 1}]}, "a number as data.console"),
    ],
)
def test_the_error_for_a_wrong_field_of_a_view_names_the_field(data: object, words: str) -> None:
    with pytest.raises(InvalidResponse, match=words):
        shell.read_view(json_reply({"success": True, "data": data}))


def test_sessions_are_read_with_their_times() -> None:
    sessions = {
        "old": {"status": "completed", "last_used_at": "2026-01-01T00:00:00.000Z"},
        "new": {
            "status": "running",
            "current_command": "make",
            "created_at": "2026-01-01T00:00:00.000Z",
            "last_used_at": "2026-01-02T00:00:00.000Z",
        },
    }

    rows = shell.read_sessions(json_reply({"success": True, "data": {"sessions": sessions}}))

    assert rows == [
        SessionRow("old", False, "", "", "2026-01-01T00:00:00.000Z"),
        SessionRow("new", True, "make", "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"),
    ]
