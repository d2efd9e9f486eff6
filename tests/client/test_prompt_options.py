"""The options of the commands that run something, and what they end with."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client.api.runtime import ENVIRONMENT, CommandStatus
from sandbox_client.cli.prompt_options import variables
from sandbox_client.cli.prompts import exit_status
from sandbox_client.cli.standard_input import read_input
from sandbox_client.errors import InputUnreadable, InvalidInput

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
def test_the_exit_code_for_how_a_command_ended(status: CommandStatus, code: int) -> None:
    assert exit_status(status) == code


def test_the_exit_code_and_both_streams_are_the_commands(terminal: Terminal) -> None:
    terminal.run("prompt", "box", "x", answers={PIPE_EXEC: piped("a\n", "b\n", -15)}, pipes=True)

    assert (terminal.code, terminal.out, terminal.err) == (143, "a\n", "b\n")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("1.5", 1.5), ("0.5m", 30)]
)
def test_a_time_limit_is_sent_in_seconds(text: str, seconds: float, terminal: Terminal) -> None:
    answers: Answers = {PIPE_EXEC: piped(status="timed_out", exit_code=-1)}

    terminal.run("prompt", "--time-limit", text, "box", "x", answers=answers, pipes=True)

    assert terminal.routes.sent(PIPE_EXEC)[0]["hard_timeout"] == seconds
    assert terminal.code == 124
    assert f"killed by its time limit of {seconds:g} s" in terminal.err


@pytest.mark.parametrize(
    "text",
    ["10d", "-1", "", "1e3", "inf", "m", "1 m", "9" * 400, "9" * 308 + "h"],
    ids=lambda text: str(text)[:5],
)
def test_a_time_limit_is_a_duration(text: str, terminal: Terminal) -> None:
    terminal.run("prompt", f"--time-limit={text}", "box", "x", pipes=True)

    assert terminal.code == 125
    assert f"argument --time-limit: invalid duration (30s, 10m, 2h) value: '{text}'" in terminal.err
    assert terminal.routes.asked == []


@pytest.mark.parametrize("words", [["--time-limit", "0"], ["--time-limit", "9", "--session", "s1"]])
def test_a_time_limit_that_cannot_be_kept_is_refused(words: list[str], terminal: Terminal) -> None:
    terminal.run("prompt", *words, "box", "x", pipes=True)

    assert terminal.code == 125
    assert "time limit" in terminal.err
    assert terminal.routes.asked == []


def test_variables_are_given_or_taken_from_here() -> None:
    given = ["A=1", "B", "C=x=y", "D=", "A=2"]

    assert variables(given, {"B": "here", "E": "no"}) == {
        "A": "2",
        "B": "here",
        "C": "x=y",
        "D": "",
    }
    with pytest.raises(InvalidInput, match="'F' is not set here"):
        variables(["F"], {})


def test_variables_go_with_the_command(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t")

    terminal.run(
        *["prompt", "-e", "A=1", "--env", "TOKEN", "box", "x"],
        answers={PIPE_EXEC: piped()},
        pipes=True,
    )

    env = terminal.routes.sent(PIPE_EXEC)[0]["env"]
    assert env == ENVIRONMENT | {"A": "1", "TOKEN": "t"}


def test_a_variable_that_is_not_set_runs_nothing(terminal: Terminal) -> None:
    terminal.run("prompt", "-e", "NOT_SET_HERE", "box", "x", pipes=True)

    assert terminal.code == 125
    assert "give -e NAME=value" in terminal.err
    assert terminal.routes.asked == []


def test_output_goes_on_after_the_positions_of_both_streams(terminal: Terminal) -> None:
    ended = piped_output("abc", 3, stderr="1234 z", stderr_end=6, status="completed", exit_code=0)

    terminal.run(
        *["output", "--after", "2", "--stderr-after", "5", "box", COMMAND],
        answers={PIPE_OUTPUT: ended},
        pipes=True,
    )

    assert (terminal.code, terminal.out, terminal.err) == (0, "c", "z")
    (body,) = terminal.routes.sent(PIPE_OUTPUT)
    assert (body["offset"], body["stderr_offset"]) == (0, 0), "from where a key may begin"


def test_cancel_sends_the_signal_that_was_asked_for(terminal: Terminal) -> None:
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


def test_a_cancellation_whose_end_is_not_seen_ends_with_125(terminal: Terminal) -> None:
    def proxy(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/kill"):
            return succeeded()
        raise httpx.ReadError("reset")

    terminal.run("cancel", "box", COMMAND, handler=proxy, pipes=True)

    assert terminal.code == 125
    assert "SIGINT, SIGTERM and SIGKILL sent; whether the command has ended is not known" in (
        terminal.err
    )
    assert "remote-sandbox: in the end it could not be reached: " in terminal.err


@pytest.mark.parametrize("words", [["--json", "ls"], ["-d"], ["--stdin", "cat"]])
def test_an_option_behind_the_name_is_not_taken_for_the_command(
    words: list[str], terminal: Terminal
) -> None:
    terminal.run("prompt", "box", *words)

    assert terminal.code == 125
    assert f"begins with '{words[0]}', which is an option of remote-sandbox" in terminal.err
    assert terminal.routes.asked == []


def test_a_signal_that_is_none_is_named_as_it_was_typed(terminal: Terminal) -> None:
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
def test_what_cannot_be_run_is_refused_before_any_request(
    words: list[str], said: str, terminal: Terminal
) -> None:
    terminal.run("prompt", *words)

    assert terminal.code == 125
    assert said in terminal.err
    assert terminal.routes.asked == []


def test_a_busy_session_is_named_in_what_can_be_done(terminal: Terminal) -> None:
    terminal.run("prompt", "--session", "s1", "box", "x", answers={VIEW: view_of("", "running")})

    assert terminal.code == 125
    assert "`remote-sandbox output -f box s1`" in terminal.err


def test_a_person_who_types_the_input_is_told_how_to_end_it(
    terminal: Terminal, stdin: io.FileIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    stdin.write(b"a\n")
    stdin.close()

    terminal.run("prompt", "--stdin", "box", "cat", handler=RuntimeStub(piped()), pipes=True)

    (said,) = terminal.err.splitlines()
    assert said.endswith("input is read from the keyboard; Ctrl-D on an empty line ends it")


def test_standard_input_is_sent_ahead_when_it_is_asked_for(
    terminal: Terminal, stdin: io.FileIO
) -> None:
    stdin.write(b"b\xff\x00")
    stdin.close()
    runtime = RuntimeStub(piped("sorted\n"))

    terminal.run("prompt", "--stdin", "box", "sort", handler=runtime, pipes=True)

    assert (terminal.code, terminal.out, terminal.err) == (0, "sorted\n", "")
    assert runtime.files["in"] == b"b\xff\x00"


@pytest.mark.parametrize(("data", "told"), [(b"x", True), (b"", False)], ids=["data", "empty"])
def test_an_ignored_pipe_is_told_if_there_is_something_in_it(
    data: bytes, told: bool, terminal: Terminal, stdin: io.FileIO
) -> None:
    stdin.write(data)

    terminal.run("prompt", "box", "x", answers={PIPE_EXEC: piped()}, pipes=True)

    note = "remote-sandbox: standard input was not sent: --stdin sends it, </dev/null gives none\n"
    assert (terminal.code, terminal.err) == (0, note if told else "")


def test_an_ignored_file_is_told_until_it_was_read(
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


def test_no_input_to_be_read_is_not_told(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:  # noqa: PTH123  # no file to be resolved
        monkeypatch.setattr(sys, "stdin", nothing)
        terminal.run("prompt", "box", "x", answers={PIPE_EXEC: piped()}, pipes=True)

    assert terminal.err == ""


def test_a_person_is_told_that_a_named_session_is_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    answers: Answers = {VIEW: unused_session(), EXEC: executed()}

    terminal.run("prompt", "--session", "s1", "box", "x", answers=answers, pipes=True)

    assert "session 's1' is a terminal: standard error is part of the output" in terminal.err


async def test_input_is_read_until_there_is_enough_or_it_ends(stdin: io.FileIO) -> None:
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
    """A standard output whose reader leaves after one line, as `head -1` does."""

    def write(self, text: str, /) -> int:
        if text and self.getvalue():
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (piped_output(end=4), True),
        (piped_output(end=4, status="completed", exit_code=0), False),
        (httpx.ConnectError("down"), False),
    ],
    ids=["goes on", "has ended", "unknown"],
)
def test_a_reader_that_goes_is_told_whether_the_command_goes_on(
    later: httpx.Response | Exception,
    told: bool,
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
    words = "nobody reads the output any more, and the command goes on"
    assert (words in terminal.err) == told
    assert (f"`remote-sandbox cancel box {COMMAND}` ends it" in terminal.err) == told
    assert PIPE_KILL not in terminal.routes.asked
    assert terminal.routes.asked.count(PIPE_OPEN) == 1


def test_both_streams_are_in_the_json_object(terminal: Terminal) -> None:
    terminal.run("prompt", "--json", "box", "x", answers={PIPE_EXEC: piped("a", "é")}, pipes=True)

    content = json.loads(terminal.out)
    assert (content["output"], content["next_after"]) == ("a", 1)
    assert (content["stderr"], content["next_stderr_after"]) == ("é", 2)
    assert terminal.err == ""
