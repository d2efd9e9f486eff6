"""The output of `sandbox-contract` on terminals and pipes of every kind."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TextIO

import pytest
from rich.console import Console
from sandbox_contract import CLAUSES
from sandbox_contract.cli import main
from sandbox_contract.console import prepare
from sandbox_contract.progress import Progress

from tests.contract.serving import replace_answer, serve_fake
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
OF_THE_CONSOLE = (
    *("COLUMNS", "LINES", "TERM", "COLORTERM", "FORCE_COLOR", "NO_COLOR"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS", "JUPYTER_LINES"),
    *("PROXY_URL", "ADMIN_API_KEY", "API_KEY", "SECOND_API_KEY"),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with serve_fake(tmp_path_factory.mktemp("fake")) as (url, _):
        yield url


def judge_health(
    url: str, stdout: TextIO, stderr: TextIO, variables: dict[str, str]
) -> int | str | None:
    """Run the command on two streams, with no variable of the console but these."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OF_THE_CONSOLE:
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", stderr)
        code = main(["run", "--only", "health", "--proxy-url", url])
        stdout.flush()
        stderr.flush()
    return code


def pipe(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def on_pipes(url: str, **variables: str) -> tuple[str, str]:
    """Return the output and the progress that two pipes receive from a run that is 0."""
    out, err = pipe(), pipe()
    assert judge_health(url, out, err, variables) == 0
    return written(out), written(err)


def on_a_terminal(url: str, **variables: str) -> str:
    """Return all that a terminal of 80 columns receives from a run that is 0."""
    master, slave = pty.openpty()
    with ThreadPoolExecutor(1) as reader:  # a terminal that is not read is full after 4 KB
        received = reader.submit(read_to_end, master)
        with os.fdopen(slave, "w") as terminal:
            assert judge_health(url, terminal, terminal, {"COLUMNS": "80"} | variables) == 0
        return received.result()


def read_to_end(terminal: int) -> str:
    received = b""
    try:
        while part := os.read(terminal, 4096):
            received += part
    except OSError:  # Linux says the end of a terminal so
        pass
    finally:
        os.close(terminal)
    return received.decode()


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
def test_variables_that_break_a_library_are_dropped(
    given: dict[str, str], kept: dict[str, str]
) -> None:
    prepare(given)
    assert given == kept


@pytest.mark.parametrize("size", ["0", "1", "²"])
def test_a_pipe_gets_whole_lines_at_any_size(url: str, size: str) -> None:
    out, err = on_pipes(url, COLUMNS=size, LINES="0")
    assert out.endswith(f"\n{CONCLUSION}\n")
    assert LINE in err


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"])
def test_a_pipe_gets_neither_cursor_control_nor_wrapped_lines(url: str, variable: str) -> None:
    out, err = on_pipes(url, **{variable: "1", "TERM": "xterm", "COLUMNS": "40"})
    assert LINE in err
    assert not [code for code in CURSOR if code in out + err]
    assert CONCLUSION in out
    assert ("\x1b[36munsupported" in out) is (variable != "TTY_INTERACTIVE")


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_a_terminal_without_a_cursor_gets_plain_lines(url: str, term: str) -> None:
    text = on_a_terminal(url, TERM=term)
    assert LINE in text
    assert "\x1b" not in text


def test_a_blank_force_color_leaves_a_terminal_its_colours(url: str) -> None:
    text = on_a_terminal(url, TERM="xterm", FORCE_COLOR="")
    assert "\x1b[36munsupported" in text
    assert "\x1b[2K" in text
    assert LINE not in text


def test_no_color_leaves_a_terminal_no_colour(url: str) -> None:
    assert "\x1b[36m" not in on_a_terminal(url, TERM="xterm", NO_COLOR="1")


def test_characters_that_an_encoding_lacks_are_replaced(tmp_path: Path) -> None:
    status = replace_answer("GET", "/health", 200, {"status": "żółć"})
    out, err = pipe("ascii"), pipe("ascii")
    with serve_fake(tmp_path / "fake", status) as (url, _):
        assert judge_health(url, out, err, {}) == 1
    assert 'received  200 {"status":"????"}' in written(out)


def test_a_run_goes_on_when_its_progress_is_not_read(url: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    out = pipe()
    with os.fdopen(writer, "w", buffering=1) as unread:
        assert judge_health(url, out, unread, {}) == 0
    assert written(out).endswith(f"\n{CONCLUSION}\n")


def test_a_wait_is_told_in_a_pipe_every_10_seconds() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out), total=1)
    for waited in (0.0, 0.1, 9.0, 10.0, 19.0, 25.0):
        progress.waits("a sandbox", waited, 180.0)
    told = [line.partition("a sandbox: ")[2] for line in out.getvalue().splitlines()]
    assert told == [f"{waited} s of 180 s at most" for waited in (0, 10, 25)]


def test_a_warning_that_cannot_be_written_does_not_change_the_result(tmp_path: Path) -> None:
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
