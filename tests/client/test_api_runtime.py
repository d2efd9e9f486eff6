"""Tasks, sessions and payloads, which both command APIs of the runtime have in common."""

from __future__ import annotations

import os
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from sandbox_client import InvalidInput
from sandbox_client.api import pipes, shell
from sandbox_client.api.ends import ENDS, CommandEnd, note_end, read_ends
from sandbox_client.api.runtime import (
    Payload,
    Task,
    as_comment,
    check_task,
    command_in_comment,
    read_done,
)
from sandbox_client.errors import InvalidResponse

from tests.client.secrecy import is_one_printable_line
from tests.client.shell import run as in_shell
from tests.client.stubs import KEY, as_reply, html_page, succeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox_client.api.message import Request


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task(""), "command is empty"),
        (Task(" \n\t"), "command is empty"),
        (Task("a\0b"), "command holds a NUL"),
        (Task("a\ud800"), "command is not valid Unicode"),
        (Task("ls", env={"": "x"}), "'' cannot be the name"),
        (Task("ls", env={"1A": "x"}), "'1A' cannot be the name"),
        (Task("ls", env={"A; rm -rf /": "x"}), "cannot be the name"),
        (Task("ls", env={"A": "a\0b"}), "variable A holds a NUL"),
        (Task("ls", env={"A": "\ud800"}), "variable A is not valid Unicode"),
        (Task("ls", env={f"{KEY}\n": "x"}), "^it cannot be the name"),
        (Task("ls", time_limit=0.0), "time limit is 0 s"),
        (Task("ls", time_limit=float("nan")), "time limit is nan s"),
    ],
    ids=str,
)
def test_an_invalid_task_is_refused(task: Task, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        check_task(task)

    assert is_one_printable_line(caught.value.message)
    assert caught.value.advice


def test_a_task_with_all_fields_is_accepted() -> None:
    check_task(Task("a\nb", "/x", {"_a1": "any\n'text'"}, 0.5))


_IN_SESSION: dict[str, Callable[[str], Request]] = {
    "terminal open": lambda session: shell.open_session("box", session),
    "terminal execute": lambda session: shell.execute("box", session, Task("ls")),
    "terminal view": lambda session: shell.view("box", session),
    "terminal interrupt": lambda session: shell.interrupt("box", session),
    "terminal kill": lambda session: shell.kill("box", session),
    "terminal end": lambda session: shell.end_session("box", session),
    "pipe open": lambda session: pipes.open_session("box", session),
    "pipe execute": lambda session: pipes.execute("box", session, Task("ls")),
    "pipe output": lambda session: pipes.output("box", session, 0, 0),
    "pipe kill": lambda session: pipes.send_signal("box", session, "SIGTERM"),
    "pipe close": lambda session: pipes.close_session("box", session),
}


@pytest.mark.parametrize("ask", _IN_SESSION.values(), ids=_IN_SESSION)
def test_every_request_checks_the_session_id(ask: Callable[[str], Request]) -> None:
    for session in ("", " ", "a/b", "../x", "x" * 65, "é", "a\n", "-x", ".x", KEY):
        with pytest.raises(InvalidInput, match="cannot be a session") as caught:
            ask(session)
        assert is_one_printable_line(caught.value.message)
        assert KEY not in caught.value.message


@pytest.mark.parametrize(
    ("command", "shown"),
    [("a\n\tb", "a b"), ("make  # all", "make # all"), ("x" * 200, "x" * 119 + "…")],
)
def test_the_comment_of_a_payload_is_the_beginning_of_the_command(command: str, shown: str) -> None:
    payload = Payload('"$HOME"/.remote-sandbox-0123abcd')

    assert command_in_comment(f"eval {payload.script}{as_comment(command)}") == shown
    assert command_in_comment(f"ls{as_comment(command)}") == f"ls{as_comment(command)}", (
        "no payload's line"
    )


# Each task and the output that it prints; the input, if any, is the payload's file `in`.
_TASKS: dict[str, tuple[Task, str]] = {
    "no input": (Task("cat; echo $PAGER $?"), "cat 0\n"),
    "two lines": (Task("echo 'a\nb'\necho c # d"), "a\nb\nc\n"),
    "no option": (Task("-x 2>/dev/null; echo a"), "a\n"),
    "time limit": (Task("echo 'a b'; exit 3", time_limit=20.0), "a b\n"),
    "payload": (Task("pwd", payload=Payload('"$HOME"/.remote-sandbox-0123abcd')), "got none\n"),
    "input": (
        Task("pwd", payload=Payload('"$HOME"/.remote-sandbox-0123abcd', True)),
        "got hello\n",
    ),
    "input and time limit": (
        Task("pwd", payload=Payload('"$HOME"/.remote-sandbox-0123abcd', True), time_limit=20.0),
        "got hello\n",
    ),
}


@pytest.fixture
def open_pipe() -> Iterator[int]:
    """Yield the reading end of a pipe that stays open: a reader would block."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("api", ["terminal", "pipe"])
@pytest.mark.parametrize("kind", _TASKS)
def test_bash_runs_the_line_of_a_task(kind: str, api: str, tmp_path: Path, open_pipe: int) -> None:
    task, printed = _TASKS[kind]
    execute = shell.execute if api == "terminal" else pipes.execute
    body = execute("box", "s1", task).body
    assert body is not None
    directory = tmp_path / ".remote-sandbox-0123abcd"
    directory.mkdir()
    (directory / "in").write_text("hello\n")
    (directory / "run").write_text("read -r x\necho got ${x:-none}\n")
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **_as_environment(body.get("env"))}

    done = subprocess.run(
        ["bash", "-c", str(body["command"])],
        env=environ,
        capture_output=True,
        text=True,
        stdin=open_pipe,
        timeout=20,
        check=False,
    )

    # Sessions of the terminal API have a terminal, this test has none.
    errors = re.sub("bash: (cannot set terminal|no job control).*\n", "", done.stderr)
    assert (done.stdout, errors) == (printed, "")
    assert directory.exists() == (task.payload is None)


def _as_environment(value: object) -> dict[str, str]:
    assert value is None or isinstance(value, dict)
    return {str(name): str(text) for name, text in (value or {}).items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any JSON


@pytest.mark.parametrize("api", ["terminal", "pipe"])
def test_a_command_without_its_payload_fails(api: str, tmp_path: Path) -> None:
    execute = shell.execute if api == "terminal" else pipes.execute
    payload = Payload('"$HOME"/.remote-sandbox-0123abcd', has_input=True)
    body = execute("box", "s1", Task("pwd", payload=payload)).body
    assert body is not None

    done = subprocess.run(
        ["bash", "-c", str(body["command"])],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=20,
        check=False,
    )

    assert done.returncode != 0
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (html_page(200), "an HTML page"),
        (httpx.Response(200, json={}), "nothing as success"),
        (httpx.Response(200, json={"success": 1}), "a number as success"),
    ],
)
def test_a_reply_that_does_not_report_success_is_invalid(
    response: httpx.Response, words: str
) -> None:
    read_done(as_reply(succeeded()))
    with pytest.raises(InvalidResponse, match=words):
        read_done(as_reply(response))


def test_the_note_of_an_end_is_kept_for_a_day(tmp_path: Path) -> None:
    ends = tmp_path / ENDS
    ends.mkdir(parents=True)
    for name, hours in (("command-a.5.1767225600", 23), ("command-b.5.1767225600", 25)):
        (ends / name).touch()
        then = time.time() - hours * 3600
        os.utime(ends / name, (then, then))

    in_shell(tmp_path, f"{note_end('command-c')}exec sleep 1")
    noting = [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(tmp_path)]
    psutil.wait_procs(noting, timeout=20)

    found = read_ends(each.name for each in ends.iterdir())
    assert found.keys() == {"command-a", "command-c"}
    assert found["command-a"] == CommandEnd(timedelta(seconds=5), datetime(2026, 1, 1, tzinfo=UTC))
    assert found["command-c"].ran >= timedelta(seconds=1)
    assert abs(found["command-c"].at.timestamp() - time.time()) < 3600


@pytest.mark.parametrize("setting", ["PATH=/nowhere", "HOME=", "unset HOME", "HOME=/nowhere"])
def test_a_command_runs_where_its_end_cannot_be_noted(setting: str, tmp_path: Path) -> None:
    command = f"{setting}; {note_end('command-c')}echo done"

    assert in_shell(tmp_path, command) == "done\n"
    waiting = [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(tmp_path)]
    psutil.wait_procs(waiting, timeout=20)
    assert list(tmp_path.iterdir()) == []
