"""The options and exit codes of the commands that run something."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import InvalidInput
from sandbox_client.api.runtime import ENVIRONMENT, CommandStatus
from sandbox_client.cli.process import read_input
from sandbox_client.cli.prompt_options import variables
from sandbox_client.cli.prompts import exit_status
from sandbox_client.errors import InputUnreadable

from tests.client.runtime_stub import RuntimeStub
from tests.client.stubs import (
    COMMAND,
    EXEC,
    PIPE_EXEC,
    PIPE_KILL,
    PIPE_OPEN,
    PIPE_OUTPUT,
    VIEW,
    executed,
    piped,
    piped_output,
    succeeded,
    unused_session,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.client.stubs import Answers
    from tests.client.terminal import Terminal


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.FileIO]:
    """Make standard input a pipe, and yield the end to write to."""
    reader, writer = os.pipe()
    with open(reader) as source, io.FileIO(writer, "w") as sink:  # noqa: PTH123  # a descriptor
        monkeypatch.setattr(sys, "stdin", source)
        yield sink


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (CommandStatus("completed", 0), 0),
        (CommandStatus("completed", 255), 255),
        (CommandStatus("completed", 143), 143),
        (CommandStatus("killed", 137), 137),
        (CommandStatus("killed"), 137),
        (CommandStatus("completed"), 125),
        (CommandStatus("completed", 256), 125),
        (CommandStatus("completed", -9), 125),
        (CommandStatus("timed_out"), 124),
        (CommandStatus("timed_out", 137), 124),
    ],
    ids=str,
)
def test_the_exit_code_of_each_final_status(status: CommandStatus, code: int) -> None:
    assert exit_status(status) == code


def test_exit_code_and_streams_are_passed_through(terminal: Terminal) -> None:
    terminal.run("prompt", "box", "x", answers={PIPE_EXEC: piped("a\n", "b\n", -15)}, pipes=True)

    assert (terminal.code, terminal.out, terminal.err) == (143, "a\n", "b\n")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("1d", 86_400), ("1.5", 1.5), ("0.5m", 30)]
)
def test_a_time_limit_is_sent_in_seconds(text: str, seconds: float, terminal: Terminal) -> None:
    answers: Answers = {PIPE_EXEC: piped(status="timed_out", exit_code=-1)}

    terminal.run("prompt", "--time-limit", text, "box", "x", answers=answers, pipes=True)

    assert terminal.routes.sent(PIPE_EXEC)[0]["hard_timeout"] == seconds
    assert terminal.code == 124
    assert f"killed by its time limit of {seconds:g} s" in terminal.err


@pytest.mark.parametrize(
    "text",
    ["10w", "5m3", "-1", "", "1e3", "inf", "m", "1 m", "9" * 400, "9" * 308 + "h"],
    ids=lambda text: str(text)[:5],
)
def test_a_time_limit_is_a_duration(text: str, terminal: Terminal) -> None:
    terminal.run("prompt", f"--time-limit={text}", "box", "x", pipes=True)

    assert terminal.code == 125
    assert (
        f"argument --time-limit: invalid duration (30s, 10m, 1h30m) value: '{text}'" in terminal.err
    )
    assert terminal.routes.asked == []


@pytest.mark.parametrize("words", [["--time-limit", "0"], ["--time-limit", "9", "--session", "s1"]])
def test_an_unenforceable_time_limit_is_rejected(words: list[str], terminal: Terminal) -> None:
    terminal.run("prompt", *words, "box", "x", pipes=True)

    assert terminal.code == 125
    assert "time limit" in terminal.err
    assert terminal.routes.asked == []


def test_variables_have_a_value_or_take_the_local_one() -> None:
    assignments = ["A=1", "B", "C=x=y", "D=", "A=2"]

    assert variables(assignments, {"B": "here", "E": "no"}) == {
        "A": "2",
        "B": "here",
        "C": "x=y",
        "D": "",
    }
    with pytest.raises(InvalidInput, match="'F' is not set here"):
        variables(["F"], {})


def test_variables_are_sent_with_the_command(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t")

    terminal.run(
        *["prompt", "-e", "A=1", "--env", "TOKEN", "box", "x"],
        answers={PIPE_EXEC: piped()},
        pipes=True,
    )

    env = terminal.routes.sent(PIPE_EXEC)[0]["env"]
    assert env == ENVIRONMENT | {"A": "1", "TOKEN": "t"}


def test_an_unset_variable_is_rejected(terminal: Terminal) -> None:
    terminal.run("prompt", "-e", "NOT_SET_HERE", "box", "x", pipes=True)

    assert terminal.code == 125
    assert "give -e NAME=value" in terminal.err
    assert terminal.routes.asked == []


def test_output_continues_after_the_positions_of_both_streams(terminal: Terminal) -> None:
    ended = piped_output("abc", 3, stderr="1234 z", stderr_end=6, status="completed", exit_code=0)

    terminal.run(
        *["output", "--after", "2", "--stderr-after", "5", "box", COMMAND],
        answers={PIPE_OUTPUT: ended},
        pipes=True,
    )

    assert (terminal.code, terminal.out, terminal.err) == (0, "c", "z")
    (body,) = terminal.routes.sent(PIPE_OUTPUT)
    assert (body["offset"], body["stderr_offset"]) == (0, 0), "from where a key may begin"


def test_cancel_sends_the_requested_signal(terminal: Terminal) -> None:
    looks = [piped_output(), piped_output(status="completed", exit_code=-2)]

    terminal.run(
        *["cancel", "--signal", "SIGINT", "box", COMMAND],
        answers={PIPE_OUTPUT: looks, PIPE_KILL: succeeded()},
        pipes=True,
    )

    assert terminal.routes.bodies[1] == {"session_id": COMMAND, "signal": "SIGINT"}
    assert terminal.code == 0
    assert terminal.err == "remote-sandbox: exit code 130, ended by SIGINT\n"


@pytest.mark.parametrize("text", ["SIGTERM", "TERM", "term", "15"])
def test_a_signal_has_a_short_name_and_a_number_too(text: str, terminal: Terminal) -> None:
    looks = [piped_output(), piped_output(status="completed", exit_code=-15)]

    terminal.run(
        *["cancel", "--signal", text, "box", COMMAND],
        answers={PIPE_OUTPUT: looks, PIPE_KILL: succeeded()},
        pipes=True,
    )

    assert terminal.routes.sent(PIPE_KILL) == [{"session_id": COMMAND, "signal": "SIGTERM"}]


def test_an_unconfirmed_cancellation_ends_with_125(terminal: Terminal) -> None:
    def proxy(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/kill"):
            return succeeded()
        raise httpx.ReadError("reset")

    terminal.run("cancel", "box", COMMAND, handler=proxy, pipes=True)

    assert terminal.code == 125
    assert "SIGINT, SIGTERM and SIGKILL sent; whether the command has ended is not known" in (
        terminal.err
    )
    assert "remote-sandbox: in the end it could not be reached for " in terminal.err


@pytest.mark.parametrize("words", [["--json", "ls"], ["-d"], ["--stdin", "cat"]])
def test_an_option_after_the_name_is_rejected(words: list[str], terminal: Terminal) -> None:
    terminal.run("prompt", "box", *words)

    assert terminal.code == 125
    assert f"begins with '{words[0]}', which is an option of remote-sandbox" in terminal.err
    assert terminal.routes.asked == []


def test_an_unknown_signal_is_quoted_unchanged(terminal: Terminal) -> None:
    terminal.run("cancel", "--signal", "TRM", "box", "s1")

    assert terminal.code == 125
    assert "invalid choice: 'TRM'" in terminal.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["box"], "COMMAND is missing"),
        (["--session", "", "box", "x"], "'' (0 characters) cannot be a session's id"),
        (
            ["--session", "command-1", "box", "x"],
            "'command-1' is the id of a session that runs one",
        ),
    ],
)
def test_an_invalid_command_is_rejected_before_any_request(
    words: list[str], said: str, terminal: Terminal
) -> None:
    terminal.run("prompt", *words)

    assert terminal.code == 125
    assert said in terminal.err
    assert terminal.routes.asked == []


@pytest.mark.parametrize("flag", ["-f", "--wait"])
def test_an_option_without_its_session_is_named_as_it_was_typed(
    flag: str, terminal: Terminal
) -> None:
    terminal.run("output", flag, "box")

    assert terminal.code == 125
    assert f"error: {flag} was given without a session" in terminal.err


def test_the_advice_about_a_busy_session_names_it(terminal: Terminal) -> None:
    terminal.run("prompt", "--session", "s1", "box", "x", answers={VIEW: view_of("", "running")})

    assert terminal.code == 125
    assert "`remote-sandbox output -f box s1`" in terminal.err


def test_a_note_explains_how_to_end_typed_input(
    terminal: Terminal, stdin: io.FileIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    stdin.write(b"a\n")
    stdin.close()

    terminal.run("prompt", "--stdin", "box", "cat", handler=RuntimeStub(piped()), pipes=True)

    (said,) = terminal.err.splitlines()
    assert said.endswith("input is read from the keyboard; Ctrl-D on an empty line ends it")


def test_stdin_is_uploaded_before_the_command(terminal: Terminal, stdin: io.FileIO) -> None:
    stdin.write(b"b\xff\x00")
    stdin.close()
    runtime = RuntimeStub(piped("sorted\n"))

    terminal.run("prompt", "--stdin", "box", "sort", handler=runtime, pipes=True)

    assert (terminal.code, terminal.out, terminal.err) == (0, "sorted\n", "")
    assert runtime.files["in"] == b"b\xff\x00"


@pytest.mark.parametrize(("data", "is_noted"), [(b"x", True), (b"", False)], ids=["data", "empty"])
def test_an_ignored_pipe_is_noted_if_it_has_data(
    data: bytes, is_noted: bool, terminal: Terminal, stdin: io.FileIO
) -> None:
    stdin.write(data)

    terminal.run("prompt", "box", "x", answers={PIPE_EXEC: piped()}, pipes=True)

    note = "remote-sandbox: standard input was not sent: --stdin sends it, </dev/null gives none\n"
    assert (terminal.code, terminal.err) == (0, note if is_noted else "")


def test_an_ignored_file_is_noted_until_it_has_been_read(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").write_bytes(b"x")
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        terminal.run("prompt", "box", "x", answers={PIPE_EXEC: piped()}, pipes=True)
        assert "standard input was not sent" in terminal.err
        file.read()
        terminal.run("prompt", "box", "x", answers={PIPE_EXEC: piped()}, pipes=True)
        assert terminal.err == ""


def test_empty_input_is_not_noted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:  # noqa: PTH123  # no file to be resolved
        monkeypatch.setattr(sys, "stdin", nothing)
        terminal.run("prompt", "box", "x", answers={PIPE_EXEC: piped()}, pipes=True)

    assert terminal.err == ""


def test_a_note_says_that_a_named_session_is_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    answers: Answers = {VIEW: unused_session(), EXEC: executed()}

    terminal.run("prompt", "--session", "s1", "box", "x", answers=answers, pipes=True)

    assert "session 's1' is a terminal: standard error is part of the output" in terminal.err


async def test_input_is_read_up_to_a_size_or_its_end(stdin: io.FileIO) -> None:
    pieces: list[bytes] = []

    async def read() -> None:
        pieces.extend([await read_input(3), await read_input(3), await read_input(3)])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            for byte in b"abcd":  # one after the other
                await anyio.wait_all_tasks_blocked()
                stdin.write(bytes([byte]))
            stdin.close()

    assert pieces == [b"abc", b"d", b""]


async def test_a_file_is_read_as_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").write_bytes(b"abc")
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)

        assert [await read_input(2), await read_input(2), await read_input(2)] == [b"ab", b"c", b""]


async def test_a_wait_for_input_can_be_cancelled(stdin: io.FileIO) -> None:
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_input, 1)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()

    assert scope.cancelled_caught


async def test_a_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(InputUnreadable, match="Standard input cannot be read: it is closed"):
        await read_input(1)


class OneLinePipe(io.StringIO):
    """A standard output with a reader that leaves after one line, as `head -1` does."""

    def write(self, text: str, /) -> int:
        if text and self.getvalue():
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


@pytest.mark.parametrize(
    ("later", "is_noted"),
    [
        (piped_output(end=4), True),
        (piped_output(end=4, status="completed", exit_code=0), False),
        (httpx.ConnectError("down"), False),
    ],
    ids=["running", "ended", "unknown"],
)
def test_a_lost_reader_is_noted_if_the_command_still_runs(
    later: httpx.Response | Exception,
    is_noted: bool,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", OneLinePipe())
    pieces = [piped_output("a\n", 2), piped_output("b\n", 4), later]
    answers: Answers = {
        PIPE_EXEC: piped(exit_code=None, status="running"),
        PIPE_OUTPUT: pieces,
    }

    terminal.run("prompt", "box", "x", answers=answers, pipes=True)

    assert terminal.code == 141
    words = "the output has no reader any more, and the command keeps running"
    assert (words in terminal.err) == is_noted
    assert (f"`remote-sandbox cancel box {COMMAND}` kills it" in terminal.err) == is_noted
    assert PIPE_KILL not in terminal.routes.asked
    assert terminal.routes.asked.count(PIPE_OPEN) == 1


def test_both_streams_are_in_the_json_object(terminal: Terminal) -> None:
    terminal.run("prompt", "--json", "box", "x", answers={PIPE_EXEC: piped("a", "é")}, pipes=True)

    content = json.loads(terminal.out)
    assert (content["output"], content["next_after"]) == ("a", 1)
    assert (content["stderr"], content["next_stderr_after"]) == ("é", 2)
    assert terminal.err == ""
