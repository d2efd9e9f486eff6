"""`make demo`: its output, and that it leaves nothing behind after any end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.programs import (
    DEADLINE,
    assert_nothing_is_left,
    clean_environment,
    processes_at_home,
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
    "Start the MCP server as Gemini CLI does",
    "Check the connection",
    "Create a sandbox",
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
    r"\d+\.\d(?= s)|(?<=127\.0\.0\.1:)\d+|[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\S+Z|(?<=prompt-)\w{8}"
)


def normal(text: str) -> str:
    """Return `text` without progress lines, and with # for what differs from run to run."""
    lines = (VOLATILE.sub("#", line).rstrip() for line in text.strip("\n").splitlines())
    return "\n".join(line for line in lines if not line.startswith("      … "))


def readme_session() -> list[str]:
    """Return the parts of the session that the README shows."""
    found = re.search(
        r"^```\n( 7\. .*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return [normal(part) for part in found[1].split("[…]\n")]


def test_the_demo_goes_through_every_step_and_leaves_nothing(tmp_path: Path) -> None:
    with start_module(tmp_path, "tools.demo") as process:
        said, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, said
    assert tuple(re.findall(r"^ ?\d+\. (.+)$", said, re.MULTILINE)) == STEPS
    assert said.rstrip().endswith("everything was cleaned up.")
    assert re.search(r"sk_live_[\w-]{5}", said) is None, "a key is shown"
    assert_nothing_is_left(tmp_path)
    for part in readme_session():
        assert part in normal(said), "the README's session is not what the demo prints"


@pytest.mark.parametrize(
    ("step", "how"),
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
def test_ctrl_c_cleans_up_at_any_step(tmp_path: Path, step: str, how: signal.Signals) -> None:
    with start_module(tmp_path, "tools.demo") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if step in line:
                process.send_signal(how)
                break
        said, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert_nothing_is_left(tmp_path)


@pytest.mark.check
def test_an_impatient_second_ctrl_c_does_not_cut_the_cleaning_up_short(tmp_path: Path) -> None:
    with start_module(tmp_path, "tools.demo") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Create a sandbox" in line:
                break
        running = len(processes_at_home(tmp_path))  # the demo, the server, the fake
        process.send_signal(signal.SIGINT)
        while len(processes_at_home(tmp_path)) == running:
            pass  # until cleaning up has begun; pytest-timeout bounds it
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=DEADLINE)
    assert running == 3
    assert "everything was cleaned up" in said
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("last_line", "encoding"),
    [
        ("Start the fake proxy", "ascii"),
        pytest.param("pending: ", "utf-8", marks=pytest.mark.check),
    ],
)
def test_a_reader_that_goes_away_ends_it_quietly_whatever_the_encoding(
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
    assert_nothing_is_left(tmp_path)


def test_the_servers_command_is_shown_as_it_can_be_typed(tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "gemini-extension.json").symlink_to(ROOT / "gemini-extension.json")
    _, parameters = server_parameters({}, clone)
    assert command_line(parameters) == f"sh '{clone}/client/launch' remote-sandbox mcp"
