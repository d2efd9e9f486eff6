"""What `sandbox-contract` writes to terminals and pipes of every kind."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import IO, TYPE_CHECKING

import pytest
from sandbox_contract import CLAUSES
from sandbox_contract._console import prepare

from tests.contract.wrong import instead, served
from tests.integration.programs import DEADLINE, clean_environment

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

CONCLUSION = (
    "Every MUST that was judged holds:"
    f" 3 of {len(CLAUSES)} clauses were selected, 2 judged, 1 not judged (1 unsupported)."
)
LINE = "  1/3 pass        health.answer.no-key  "
CURSOR = ("\x1b[?", "\x1b[1A", "\x1b[2K", "\r")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with served(tmp_path_factory.mktemp("fake")) as (url, _):
        yield url


def run_command(
    url: str,
    home: Path,
    variables: dict[str, str],
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox_contract", "run", "--only", "health", "--proxy-url", url],
        env=clean_environment(home) | variables,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def on_a_terminal(url: str, home: Path, **variables: str) -> str:
    """Return what a terminal of 80 columns is sent."""
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "wb") as end:
            done = run_command(url, home, {"COLUMNS": "80"} | variables, stdout=end, stderr=end)
        assert done.returncode == 0
        return os.read(master, 1 << 16).decode()
    finally:
        os.close(master)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"COLUMNS": "132", "LINES": "24"}, {"COLUMNS": "132", "LINES": "24"}),
        ({"COLUMNS": "0", "LINES": "0"}, {}),
        ({"COLUMNS": "1", "LINES": "1"}, {"LINES": "1"}),
        ({"COLUMNS": "abc", "LINES": "-5"}, {}),
        ({"COLUMNS": "²", "LINES": "9" * 5000}, {}),
        ({"FORCE_COLOR": ""}, {}),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, {"FORCE_COLOR": "1", "NO_COLOR": ""}),
    ],
)
def test_variables_that_no_library_survives_are_dropped(
    given: dict[str, str], kept: dict[str, str]
) -> None:
    prepare(given)
    assert given == kept


@pytest.mark.parametrize("size", ["0", "1", "²"])
def test_a_pipe_gets_whole_lines_whatever_the_size(url: str, tmp_path: Path, size: str) -> None:
    done = run_command(url, tmp_path, {"COLUMNS": size, "LINES": "0"})
    assert done.returncode == 0
    assert done.stdout.endswith(f"\n{CONCLUSION}\n")
    assert LINE in done.stderr


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"])
def test_a_pipe_gets_neither_cursor_control_nor_wrapped_lines(
    url: str, tmp_path: Path, variable: str
) -> None:
    done = run_command(url, tmp_path, {variable: "1", "TERM": "xterm", "COLUMNS": "40"})
    assert LINE in done.stderr
    assert not [code for code in CURSOR if code in done.stdout + done.stderr]
    assert CONCLUSION in done.stdout
    assert ("\x1b[36munsupported" in done.stdout) is (variable != "TTY_INTERACTIVE")


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_a_terminal_without_a_cursor_gets_plain_lines(url: str, tmp_path: Path, term: str) -> None:
    text = on_a_terminal(url, tmp_path, TERM=term)
    assert LINE in text
    assert "\x1b" not in text


def test_a_blank_force_color_leaves_a_terminal_its_colours(url: str, tmp_path: Path) -> None:
    text = on_a_terminal(url, tmp_path, TERM="xterm", FORCE_COLOR="")
    assert "\x1b[36munsupported" in text
    assert "\x1b[2K" in text
    assert LINE not in text


def test_no_color_leaves_a_terminal_no_colour(url: str, tmp_path: Path) -> None:
    text = on_a_terminal(url, tmp_path, TERM="xterm", NO_COLOR="1")
    assert "\x1b[36m" not in text


def test_what_an_encoding_lacks_is_replaced(tmp_path: Path) -> None:
    with served(tmp_path / "fake", instead("GET", "/health", 200, {"status": "żółć"})) as (url, _):
        done = run_command(url, tmp_path, {"PYTHONIOENCODING": "ascii:strict"})
    assert done.returncode == 1
    assert 'received  200 {"status":"????"}' in done.stdout
    assert "Traceback" not in done.stderr


def test_a_run_goes_on_when_nobody_reads_its_progress(url: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as end:
        done = run_command(url, tmp_path, {}, stderr=end)
    assert done.returncode == 0
    assert done.stdout.endswith(f"\n{CONCLUSION}\n")


def test_a_complaint_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    program = f"{sys.executable} -m sandbox_contract diff missing missing"
    for closing in ("2>&-", "2>/dev/full"):
        done = subprocess.run(
            ["sh", "-c", f"{program} {closing}"],
            env=clean_environment(tmp_path),
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, b"")
