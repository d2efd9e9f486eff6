"""`remote-sandbox` as a person starts it, against the fake as a process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.programs import DEADLINE, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.programs import FakeProcess

BOX = "my-sandbox"


def remote_sandbox(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox_client", *words],
        env=clean_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def in_a_shell(home: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run `remote-sandbox` in a shell, with its pipes and redirections."""
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m sandbox_client {line}"],
        env=clean_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def done(home: Path, *words: str) -> str:
    result = remote_sandbox(home, *words)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def box(home: Path) -> Path:
    """A home folder with a ready sandbox behind its configuration."""
    done(home, "create", BOX)
    return home


def test_create_says_when_it_is_ready_and_shows_the_wait_elsewhere(home: Path) -> None:
    result = remote_sandbox(home, "create", BOX)
    assert re.fullmatch(rf"{BOX} was created from \S+ and is ready after \d\.\d s\n", result.stdout)
    assert re.search(r"\d\.\d s  pending: ", result.stderr)


def test_prompt_gives_the_commands_own_output_and_exit_code(box: Path) -> None:
    result = remote_sandbox(box, "prompt", BOX, "printf out; printf err >&2; exit 7")
    assert (result.returncode, result.stdout, result.stderr) == (7, "outerr", "")


def test_prompt_keeps_several_words_apart_and_one_word_whole(box: Path) -> None:
    assert done(box, "prompt", BOX, "printf", "[%s]", "a  b", "$HOME", "'") == "[a  b][$HOME][']"
    assert done(box, "prompt", BOX, "echo one | tr a-z A-Z") == "ONE\n"
    assert done(box, "prompt", BOX, "--", "echo", "--json") == "--json\n"


def test_list_is_a_table_and_json_an_object(box: Path) -> None:
    done(box, "create", "another")
    done(box, "pause", BOX)
    heading, *rows = done(box, "list").splitlines()
    assert heading.split() == ["NAME", "STATE", "AGE", "CREATED"]
    assert [row.split()[:2] for row in rows] == [["another", "ready"], [BOX, "paused"]]
    content = json.loads(done(box, "list", "--json"))
    assert content["count"] == 2
    assert [each["state"] for each in content["sandboxes"]] == ["ready", "paused"]


def test_an_error_has_three_lines_and_its_own_exit_code(home: Path) -> None:
    result = remote_sandbox(home, "status", "no-such-box")
    assert (result.returncode, result.stdout) == (1, "")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "error",
        "fault",
        "next",
    ]
    assert "`remote-sandbox list`" in result.stderr


def test_a_prompt_that_could_not_run_ends_with_125(home: Path) -> None:
    assert remote_sandbox(home, "prompt", "no-such-box", "true").returncode == 125
    assert remote_sandbox(home, "prompt").returncode == 125


def test_a_configuration_that_is_missing_ends_with_2(tmp_path: Path) -> None:
    result = remote_sandbox(tmp_path, "list")
    assert result.returncode == 2
    assert "config.json does not exist" in result.stderr


def test_ctrl_c_ends_with_130_and_says_what_goes_on(box: Path, fake: FakeProcess) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_client", "prompt", BOX, "touch begun; sleep 60"],
        env=clean_environment(box),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        done(box, "prompt", BOX, "until test -e begun; do sleep 0.05; done")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the command goes on in the sandbox" in said
    assert "Traceback" not in said


def test_a_reader_that_goes_away_is_no_error(box: Path) -> None:
    result = in_a_shell(box, f"prompt {BOX} 'seq 5000' | head -n 1")
    assert (result.stdout, result.stderr) == ("1\n", "")


@pytest.mark.parametrize("words", ["list", "prompt my-sandbox 'echo hi'", "--help"])
def test_a_full_disk_is_one_clear_line(box: Path, words: str) -> None:
    result = in_a_shell(box, f"{words} > /dev/full")
    assert result.returncode == (125 if words.startswith("prompt") else 1)
    assert result.stderr == ("error: Standard output cannot be written: No space left on device\n")


def test_without_a_standard_output_nothing_is_done_and_that_is_said(box: Path) -> None:
    result = in_a_shell(box, "delete my-sandbox >&-")
    assert result.returncode == 1
    assert result.stderr == (
        "error: Standard output cannot be written: it is closed; nothing was done\n"
    )
    assert "my-sandbox" in done(box, "list")


def test_without_a_standard_error_the_result_is_still_the_result(box: Path) -> None:
    result = in_a_shell(box, "prompt my-sandbox 'echo hi' 2>&-")
    assert (result.returncode, result.stdout) == (0, "hi\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_an_mcp_server_without_its_streams_says_so(tmp_path: Path, closed: str) -> None:
    result = in_a_shell(tmp_path, f"mcp {closed}")
    assert result.returncode == 1
    assert "error: The MCP server talks on standard input and output" in result.stderr
    assert "Traceback" not in result.stderr
