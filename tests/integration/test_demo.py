"""`make demo` prints the session that the README shows and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.programs import (
    DEADLINE,
    assert_nothing_left,
    clean_environment,
    processes_with_home,
    start_module,
)
from tools.demo.run import command_line
from tools.manifest import ROOT, server_parameters

if TYPE_CHECKING:
    from pathlib import Path

STEPS = (
    "Start the fake proxy",
    "Create a user",
    "Create an API key for the user",
    "Write the configuration",
    "Make a repository with a failing test",
    "Start the MCP server in it as Gemini CLI does",
    "Check the connection",
    "Create a sandbox",
    "Send the repository to it",
    "Start an agent on it (here a script stands in for one)",
    "Follow the agent",
    "Fetch its work",
    "Merge the branch and run the test again",
    "Get its status",
    "List its files",
    "Write a file",
    "Read it with another prompt",
    "Start a long command",
    "Get the rest of its output",
    "List",
    "Pause it",
    "Try a prompt while it is paused",
    "Resume it",
    "Read the file again",
    "Delete it",
    "Stop the fake proxy",
)

# Times, ports and ids differ from run to run.
VOLATILE = re.compile(
    r"\d+\.\d(?= s)|(?<=127\.0\.0\.1:)\d+|[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\S+Z|(?<=command-)\w{8}"
    r"|/\S*/async-remote-agent-demo-\w+|\b[0-9a-f]{10}\b|\d+(?= bytes sent)"
)


def normalized(text: str) -> str:
    """Return `text` without progress lines, with # for each part that differs from run to run."""
    lines = (VOLATILE.sub("#", line).rstrip() for line in text.strip("\n").splitlines())
    return "\n".join(line for line in lines if not line.startswith("      … "))


def readme_session() -> list[str]:
    """Return the parts of the demo's output that the README shows."""
    found = re.search(
        r"^```\n( 5\. .*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return [normalized(part) for part in found[1].split("[…]\n")]


def test_the_demo_prints_every_step_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with start_module(tmp_path, "tools.demo") as process:
        output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, output
    assert tuple(re.findall(r"^ ?\d+\. (.+)$", output, re.MULTILINE)) == STEPS
    assert output.rstrip().endswith("everything was cleaned up.")
    assert re.search(r"sk_live_[\w-]{5}", output) is None, "a key is shown"
    assert_nothing_left(tmp_path)
    for part in readme_session():
        assert part in normalized(output), "the README shows another output"


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("Create a sandbox", signal.SIGINT),
        pytest.param("Start the fake proxy", signal.SIGINT, marks=pytest.mark.check),
        pytest.param("Create a user", signal.SIGINT, marks=pytest.mark.check),
        pytest.param("Start the MCP server", signal.SIGINT, marks=pytest.mark.check),
        pytest.param("Create a sandbox", signal.SIGTERM, marks=pytest.mark.check),
        pytest.param("Create a sandbox", signal.SIGHUP, marks=pytest.mark.check),
        pytest.param("Pause it", signal.SIGINT, marks=pytest.mark.check),
    ],
)
def test_a_signal_at_any_step_cleans_up(tmp_path: Path, step: str, number: signal.Signals) -> None:
    with start_module(tmp_path, "tools.demo") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if step in line:
                process.send_signal(number)
                break
        output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert_nothing_left(tmp_path)


@pytest.mark.check
def test_a_second_ctrl_c_does_not_interrupt_the_cleanup(tmp_path: Path) -> None:
    with start_module(tmp_path, "tools.demo") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Create a sandbox" in line:
                break
        running = len(processes_with_home(tmp_path))  # the demo, the server, the fake
        process.send_signal(signal.SIGINT)
        while len(processes_with_home(tmp_path)) == running:
            pass  # waits for the cleanup to start; pytest-timeout bounds it
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=DEADLINE)
    assert running == 3
    assert "everything was cleaned up" in output
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("last_line", "encoding"),
    [
        ("Start the fake proxy", "ascii"),
        pytest.param("pending: ", "utf-8", marks=pytest.mark.check),
    ],
)
def test_a_closed_pipe_ends_the_demo_without_an_error(
    tmp_path: Path, last_line: str, encoding: str
) -> None:
    (tmp_path / "tmp").mkdir()
    demo = f'{sys.executable} -m tools.demo; echo "ended with $?" >&2'
    result = subprocess.run(
        ["sh", "-c", f"{{ {demo}; }} | sed '/{last_line}/q'"],
        cwd=ROOT,
        env=clean_environment(tmp_path, TMPDIR=str(tmp_path / "tmp"), PYTHONIOENCODING=encoding),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert last_line in result.stdout.splitlines()[-1]
    assert result.stderr == "ended with 0\n"
    assert_nothing_left(tmp_path)


def test_the_servers_command_is_quoted_for_a_shell(tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "gemini-extension.json").symlink_to(ROOT / "gemini-extension.json")
    _, parameters = server_parameters({}, clone)
    assert command_line(parameters) == f"sh '{clone}/client/launch' remote-sandbox mcp"
