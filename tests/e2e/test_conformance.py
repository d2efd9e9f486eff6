"""The official conformance suite against the MCP server over HTTP."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.e2e.npm import CONFORMANCE
from tests.integration.programs import DEADLINE, clean_environment, start_module

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.timeout(300)  # the first test may install the suite

EXPECTED_FAILURES = Path(__file__).with_name("expected-failures.yml")


@pytest.fixture
def url(home: Path) -> Generator[str]:
    """The URL of the MCP server, which is configured for the fake proxy."""
    with start_module(home, "tests.e2e.http_server") as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("http://"), line + process.stdout.read()
            yield line.strip()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=DEADLINE)
            finally:
                process.kill()


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the conformance suite."""
    return subprocess.run(
        [*CONFORMANCE.command(), *arguments],
        cwd=home,
        env=clean_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )


def run_scenarios(
    url: str, home: Path, expected: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run scenarios with `expected` as the content of the expected-failures file."""
    file = home / "expected.yml"
    file.write_text(expected)
    return run(home, "server", "--url", url, "--expected-failures", str(file), *arguments)


def scenarios(home: Path) -> set[str]:
    """Return the names of all scenarios for servers."""
    listed = run(home, "list", "--server")
    return set(re.findall(r"^  - (\S+)", listed.stdout, re.MULTILINE))


def test_every_applicable_scenario_passes(url: str, home: Path) -> None:
    done = run_scenarios(url, home, EXPECTED_FAILURES.read_text(), "--suite", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.findall(r"^[✓✗] (\S+): (\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
    assert {name for name, _, _ in summary} == scenarios(home)
    expected = yaml.safe_load(EXPECTED_FAILURES.read_text())["server"]
    unchecked = [name for name, passed, _ in summary if passed == "0" and name not in expected]
    assert unchecked == [], "these scenarios passed without a check"


def test_an_unexpected_failure_fails_the_run(url: str, home: Path) -> None:
    done = run_scenarios(url, home, "server: []", "--scenario", "prompts-list")
    assert done.returncode == 1
    assert "Unexpected failures" in done.stdout


def test_an_expected_failure_that_passes_fails_the_run(url: str, home: Path) -> None:
    done = run_scenarios(url, home, "server: [ping]", "--scenario", "ping")
    assert done.returncode == 1
    assert "Stale baseline entries" in done.stdout


def test_each_expected_failure_is_a_scenario_with_a_reason(home: Path) -> None:
    text = EXPECTED_FAILURES.read_text()
    reasons = dict(re.findall(r"^  - (\S+)  # (.{8,})$", text, re.MULTILINE))
    expected = yaml.safe_load(text)["server"]
    assert list(reasons) == expected
    assert set(expected) <= scenarios(home)
