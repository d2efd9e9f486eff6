"""`--notify`: a command of the person's that runs when the command in a sandbox has ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.client.statuses import ALPHA_PAUSED
from tests.client.stubs import EXEC, SESSION, VIEW, error_reply, executed, view_of

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.client.stubs import Answers
    from tests.client.terminal import Terminal

GET = "GET /api/sandboxes/box"
ENDED: Answers = {EXEC: executed("out\n", 3), VIEW: view_of("out\n", "completed", 3)}
RUNNING: Answers = {EXEC: executed("", None, "running"), VIEW: view_of()}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A file to which NOTE appends a line."""
    return tmp_path / "notes"


def note(notes: Path) -> str:
    names = ("NAME", "SESSION", "STATE", "EXIT_CODE")
    return f"echo {' '.join(f'$REMOTE_SANDBOX_{name}' for name in names)} >>'{notes}'"


@pytest.mark.parametrize(
    ("words", "answers", "code", "line"),
    [
        (["prompt", "box", "make"], ENDED, 3, f"box {SESSION} completed 3"),
        (["agent", "box", "fix it"], ENDED, 3, f"box {SESSION} completed 3"),
        (["output", "--wait", "box", "s1"], ENDED, 3, "box s1 completed 3"),
        (
            ["output", "-f", "box", "s1"],
            {VIEW: view_of("", "terminated")},
            137,
            "box s1 killed 137",
        ),
        (
            ["output", "--wait", "box", "s1"],
            {VIEW: [view_of("so far\n"), error_reply(404, "Session not found: s1")]},
            125,
            "box s1 lost 125",
        ),
        (
            ["output", "--wait", "box", "s1"],
            {VIEW: error_reply(503, "Sandbox not ready"), GET: ALPHA_PAUSED.response()},
            125,
            "box s1 lost 125",
        ),
    ],
)
def test_it_runs_once_after_the_end(
    words: list[str], answers: Answers, code: int, line: str, terminal: Terminal, notes: Path
) -> None:
    terminal.run(words[0], "--notify", note(notes), *words[1:], answers=answers)

    assert terminal.code == code
    assert notes.read_text() == f"{line}\n"


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        ("exit 4", "ended with exit code 4"),
        ("kill -TERM $$", "was killed by signal 15"),
        ("no-such-program-anywhere", "ended with exit code 127"),
        ("a\0b", "could not be started: it is no command line"),
    ],
)
def test_its_failure_is_said_and_changes_no_exit_code(
    command: str, failure: str, terminal: Terminal
) -> None:
    terminal.run("prompt", "--notify", command, "box", "make", answers=ENDED)

    assert (terminal.code, terminal.out) == (3, "out\n")
    assert f"remote-sandbox: the command of --notify {failure}\n" in terminal.err


def test_it_has_no_input_and_does_not_print_to_standard_output(terminal: Terminal) -> None:
    terminal.run("prompt", "--notify", "cat; echo noise", "box", "make", answers=ENDED)

    assert terminal.out == "out\n"


@pytest.mark.parametrize(
    ("words", "answers", "said"),
    [
        (["prompt", "--wait", "1", "box", "x"], RUNNING, "--notify was not run"),
        (["prompt", "box", "x"], {EXEC: error_reply(400, "no")}, "error: "),
        (["output", "--wait", "box", "s1"], {VIEW: error_reply(404, "Session not found: s1")}, ""),
    ],
    ids=["still running", "not started", "no such session"],
)
def test_it_does_not_run_before_the_end(
    words: list[str], answers: Answers, said: str, terminal: Terminal, notes: Path
) -> None:
    terminal.run(words[0], "--notify", note(notes), *words[1:], answers=answers)

    assert terminal.code == 125
    assert said in terminal.err
    assert not notes.exists()


@pytest.mark.timeout(20)
def test_ctrl_c_during_the_wait_leaves_it_out(terminal: Terminal, notes: Path) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/view"):
            signal.raise_signal(signal.SIGINT)
        return view_of()

    terminal.run("output", "--wait", "--notify", note(notes), "box", "s1", handler=reply)

    assert terminal.code == 130
    assert not notes.exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["prompt", "--notify", "x", "-d", "box", "make"], "nothing waits for the end"),
        (["output", "--notify", "x", "box", "s1"], "nothing waits for the end"),
        (["output", "--notify", "x", "box"], "nothing waits for the end"),
        (["prompt", "--notify", " ", "box", "make"], "--notify is empty"),
    ],
)
def test_it_is_refused_where_it_could_not_run(
    words: list[str], error: str, terminal: Terminal
) -> None:
    terminal.run(*words)

    assert terminal.code == 125
    assert error in terminal.err
    assert terminal.routes.asked == []
