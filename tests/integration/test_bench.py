"""`make bench` measures every row and leaves nothing behind. No test checks a measured value."""

from __future__ import annotations

import re
import signal
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.fakeproxy.available_isolations import AVAILABLE_ISOLATIONS
from tests.integration.programs import (
    DEADLINE,
    assert_nothing_left,
    processes_with_home,
    start_module,
)
from tools.bench.__main__ import main
from tools.bench.measurement import Row, Target

if TYPE_CHECKING:
    from pathlib import Path

ROWS = (
    "MCP server: start to tools/list",
    "MCP server: memory then",
    "MCP server: start to a first call",
    "remote-sandbox list",
    "Tool call get_sandbox_status",
    "beyond its HTTP request",
    "Quick command, pipes",
    "its requests",
    "Output of a command, pipes",
    "read after its end",
    "Quick command, terminal",
    "its requests",
    "Output of a command, terminal",
    "read after its end",
    "Copy 400 files, default: in",
    "out",
    "Copy 400 files, as deployed: in",
    "out",
    "Push a repository",
    "pull",
    "Silent command, pipes",
    "Silent command, terminal",
    "Fake: authenticated GET",
    "Fake: create, get, delete",
    "Fake: GET with and without faults",
    "create, get, delete",
    "Fake: peak memory after that",
    "Fake: status among 1,000, not 10",
    "of a random user each time",
    *(["Fake: start a command in a jail"] if "required" in AVAILABLE_ISOLATIONS else []),
    "Fake: GET (p95) beside 5 commands",
)
ROW = re.compile(r"^ *(\S.*?) \((?:ms|/s|MB|MB/s|requests|requests/min)\) ", re.MULTILINE)


@pytest.mark.check  # takes ten seconds, and a minute beside other work
@pytest.mark.timeout(300)
def test_the_bench_measures_every_row_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with start_module(tmp_path, "tools.bench", "--quick") as process:
        output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    assert tuple(ROW.findall(output)) == ROWS
    assert re.search(r"Measured on \d+ cores, .+, Python 3\.", output)
    assert_nothing_left(tmp_path)


def test_ctrl_c_ends_the_bench_and_its_processes(tmp_path: Path) -> None:
    with start_module(tmp_path, "tools.bench", "--quick") as process:
        while len(processes_with_home(tmp_path)) < 2:
            assert process.poll() is None  # waits for a child process; pytest-timeout bounds it
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert_nothing_left(tmp_path)


class InterruptingModule(ModuleType):
    """A module that raises KeyboardInterrupt when a name is imported from it."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_ctrl_c_during_imports_ends_the_bench_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tools.bench.run", InterruptingModule("tools.bench.run"))
    monkeypatch.setattr(sys, "argv", ["bench"])
    assert main() == 130
    assert capsys.readouterr().err == "Stopped; nothing had been started.\n"


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (None, None),
        (Target("≤", 2), True),
        (Target("≤", 1.9), False),
        (Target("≥", 2), True),
        (Target("≥", 2.1), False),
        (Target("≤", 6, of="median"), True),
        (Target("≤", 5, of="median"), False),
    ],
)
def test_a_target_is_compared_with_the_median(
    target: Target | None, *, is_met: bool | None
) -> None:
    # The ratios are 2, 20 and 1: one outlier does not decide.
    row = Row("x", "ms", values=[4, 40, 6], baseline=[2, 2, 6], target=target)
    assert row.ratio == 2
    assert row.is_met is is_met
