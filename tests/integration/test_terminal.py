"""`remote-sandbox` as a process, against a fake proxy in another process."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.programs import (
    DEADLINE,
    clean_environment,
    run_remote_sandbox,
    write_config,
)
from tests.integration.terminal import open_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.programs import FakeProcess

BOX = "my-sandbox"


def run_in_shell(home: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash that starts with the arguments of `remote-sandbox`."""
    return subprocess.run(
        ["bash", "-c", f"{sys.executable} -m sandbox_client {line}"],
        env=clean_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def output_of(home: Path, *words: str) -> str:
    """Run `remote-sandbox`, which has to succeed, and return its standard output."""
    result = run_remote_sandbox(home, *words)
    assert result.returncode == 0, result.stderr
    return result.stdout


# A new session has pipes, a named one is a terminal.
in_each_session = pytest.mark.parametrize(
    "session", [[], ["--session", "work"]], ids=["pipes", "terminal"]
)


@pytest.fixture
def sandbox_home(home: Path) -> Path:
    """A home directory with the client's configuration; its user has a ready sandbox."""
    output_of(home, "create", BOX)
    return home


def test_create_prints_the_result_and_shows_the_wait_on_stderr(home: Path) -> None:
    result = run_remote_sandbox(home, "create", BOX)
    assert re.fullmatch(rf"{BOX} was created from \S+ and is ready after \d\.\d s\n", result.stdout)
    assert re.search(r"\d\.\d s  pending: ", result.stderr)


def test_prompt_has_the_output_and_exit_code_of_the_command(sandbox_home: Path) -> None:
    result = run_remote_sandbox(sandbox_home, "prompt", BOX, "printf out; printf err >&2; exit 7")
    assert (result.returncode, result.stdout, result.stderr) == (7, "out", "err")


def test_a_named_session_is_a_terminal_with_both_streams_as_one(sandbox_home: Path) -> None:
    session = ("prompt", "--session", "work", BOX)
    output_of(sandbox_home, *session, "mkdir -p deep && cd deep && export COLOUR=blue")
    result = run_remote_sandbox(sandbox_home, *session, 'echo "$COLOUR in ${PWD##*/}" >&2; exit 7')
    assert (result.returncode, result.stdout, result.stderr) == (7, "blue in deep\n", "")


@in_each_session
def test_stdin_is_sent_whole_and_leaves_no_file_behind(
    sandbox_home: Path, session: list[str]
) -> None:
    data = bytes(range(256)) * 1500  # more than one request may hold
    result = subprocess.run(
        [
            *(sys.executable, "-m", "sandbox_client", "prompt", "--stdin", *session, BOX),
            "sha256sum; ls -A ~",
        ],
        env=clean_environment(sandbox_home),
        input=data,
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    digest, *files_meanwhile = result.stdout.decode().split("\n")
    assert digest == f"{hashlib.sha256(data).hexdigest()}  -"
    assert [name for name in files_meanwhile if "remote-sandbox" in name] == []
    assert "remote-sandbox" not in output_of(sandbox_home, "prompt", BOX, "ls -A ~")


@in_each_session
def test_without_stdin_a_command_reads_nothing_and_a_pipe_is_not_read(
    sandbox_home: Path, session: list[str]
) -> None:
    result = run_remote_sandbox(
        sandbox_home, "prompt", *session, BOX, "cat; echo end", stdin="not for the sandbox"
    )
    assert (result.returncode, result.stdout) == (0, "end\n")
    assert "standard input was not sent" in result.stderr


@in_each_session
def test_variables_reach_the_command_and_no_command_line(
    sandbox_home: Path, session: list[str]
) -> None:
    # Where processes are not isolated, the client's own command line is seen there, too.
    shows = "printenv GIVEN TAKEN | tr a-z A-Z; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    variables = ("-e", "GIVEN=one two's", "-e", "TAKEN")
    result = run_remote_sandbox(
        sandbox_home, "prompt", *variables, *session, BOX, shows, TAKEN="open sesame"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("ONE TWO'S\nOPEN SESAME\n")
    assert "bash" in result.stdout, "no command line is shown"
    assert "open sesame" not in result.stdout


def test_a_time_limit_ends_with_124(sandbox_home: Path) -> None:
    result = run_remote_sandbox(
        sandbox_home, "prompt", "--time-limit", "0.3s", BOX, "echo begun; sleep 60"
    )
    assert (result.returncode, result.stdout) == (124, "begun\n")
    assert "remote-sandbox: killed by its time limit" in result.stderr


@in_each_session
def test_a_command_that_a_signal_ends_has_128_more(sandbox_home: Path, session: list[str]) -> None:
    result = run_remote_sandbox(sandbox_home, "prompt", *session, BOX, "sh -c 'kill -TERM $$'")
    assert result.returncode == 128 + signal.SIGTERM


def test_a_detached_command_is_cancelled_by_its_session(sandbox_home: Path) -> None:
    session = output_of(
        sandbox_home, "prompt", "-d", BOX, "echo begun; touch begun; sleep 60"
    ).strip()
    assert re.fullmatch(r"command-[0-9a-f]{8}", session)
    output_of(sandbox_home, "prompt", BOX, "until test -e begun; do sleep 0.05; done")
    result = run_remote_sandbox(sandbox_home, "cancel", BOX, session)
    assert (result.returncode, result.stdout) == (0, "begun\n")
    assert "remote-sandbox: killed by SIGINT" in result.stderr


def test_a_detached_command_is_awaited_and_its_end_notified_once(sandbox_home: Path) -> None:
    session = output_of(sandbox_home, "prompt", "-d", BOX, "sleep 0.3; echo built; exit 3").strip()
    note = 'echo "$REMOTE_SANDBOX_NAME $REMOTE_SANDBOX_STATE $REMOTE_SANDBOX_EXIT_CODE"'

    result = run_remote_sandbox(sandbox_home, "output", "--wait", "--notify", note, BOX, session)

    assert (result.returncode, result.stdout) == (3, "built\n")
    assert result.stderr.count(f"{BOX} completed 3\n") == 1


def test_prompt_runs_one_word_as_a_shell_command_and_several_as_arguments(
    sandbox_home: Path,
) -> None:
    assert (
        output_of(sandbox_home, "prompt", BOX, "printf", "[%s]", "a  b", "$HOME", "'")
        == "[a  b][$HOME][']"
    )
    assert output_of(sandbox_home, "prompt", BOX, "echo one | tr a-z A-Z") == "ONE\n"
    assert output_of(sandbox_home, "prompt", BOX, "--", "echo", "--json") == "--json\n"


def test_list_prints_a_table_or_one_json_object(sandbox_home: Path) -> None:
    output_of(sandbox_home, "create", "another")
    output_of(sandbox_home, "pause", BOX)
    heading, *rows = output_of(sandbox_home, "list").splitlines()
    assert heading.split() == ["NAME", "STATE", "AGE", "CREATED"]
    assert [row.split()[:2] for row in rows] == [["another", "ready"], [BOX, "paused"]]
    content = json.loads(output_of(sandbox_home, "list", "--json"))
    assert content["count"] == 2
    assert [each["state"] for each in content["sandboxes"]] == ["ready", "paused"]


def test_an_error_is_three_lines_and_exit_code_1(home: Path) -> None:
    result = run_remote_sandbox(home, "status", "no-such-box")
    assert (result.returncode, result.stdout) == (1, "")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "error",
        "cause",
        "next",
    ]
    assert "`remote-sandbox list`" in result.stderr


def test_a_prompt_that_cannot_run_ends_with_125(home: Path) -> None:
    assert run_remote_sandbox(home, "prompt", "no-such-box", "true").returncode == 125
    assert run_remote_sandbox(home, "prompt").returncode == 125


def test_a_missing_configuration_ends_with_2(tmp_path: Path) -> None:
    result = run_remote_sandbox(tmp_path, "list")
    assert result.returncode == 2
    assert "config.json does not exist" in result.stderr


def test_ctrl_c_ends_with_130_and_reports_that_the_command_goes_on(
    sandbox_home: Path, fake: FakeProcess
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_client", "prompt", BOX, "touch begun; sleep 60"],
        env=clean_environment(sandbox_home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        output_of(sandbox_home, "prompt", BOX, "until test -e begun; do sleep 0.05; done")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the command may keep running in the sandbox" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("command", "goes_on"), [("seq 100000", False), ("seq 100000; sleep 60", True)]
)
def test_a_reader_that_goes_away_ends_it_with_141(
    sandbox_home: Path, command: str, goes_on: bool
) -> None:
    result = run_in_shell(sandbox_home, f"prompt {BOX} '{command}' | head -n 1; exit $PIPESTATUS")
    assert (result.returncode, result.stdout) == (141, "1\n")
    assert ("the output has no reader any more" in result.stderr) == goes_on
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", ["list", "prompt my-sandbox 'echo hi'", "--help"])
def test_a_full_disk_is_reported_in_one_line(sandbox_home: Path, words: str) -> None:
    result = run_in_shell(sandbox_home, f"{words} > /dev/full")
    assert result.returncode == (125 if words.startswith("prompt") else 1)
    assert result.stderr == ("error: Standard output cannot be written: No space left on device\n")


def test_a_closed_standard_output_is_reported_and_nothing_is_done(sandbox_home: Path) -> None:
    result = run_in_shell(sandbox_home, "delete my-sandbox >&-")
    assert result.returncode == 1
    assert result.stderr == (
        "error: Standard output cannot be written: it is closed; nothing was done\n"
    )
    assert "my-sandbox" in output_of(sandbox_home, "list")


def test_a_closed_standard_error_does_not_change_the_result(sandbox_home: Path) -> None:
    result = run_in_shell(sandbox_home, "prompt my-sandbox 'echo hi' 2>&-")
    assert (result.returncode, result.stdout) == (0, "hi\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_an_mcp_server_with_a_closed_stream_reports_it(tmp_path: Path, closed: str) -> None:
    result = run_in_shell(tmp_path, f"mcp {closed}")
    assert result.returncode == 1
    assert "error: The MCP server talks on standard input and output" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("verb", ["delete", "pause"])
def test_no_word_of_an_error_is_broken_in_a_terminal(
    tmp_path: Path, verb: str, columns: int
) -> None:
    write_config(tmp_path, "http://127.0.0.1:9", f"sk_live_{'a' * 32}")
    with open_terminal(tmp_path, verb, BOX, columns=columns) as terminal:
        assert terminal.finish() == 1

    assert terminal.screen.split() == run_remote_sandbox(tmp_path, verb, BOX).stderr.split()
