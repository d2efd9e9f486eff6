"""The contract's README is true, its sessions included."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import sandbox_contract
from sandbox_contract import CLAUSES, Outcome
from sandbox_contract.cli import main
from sandbox_fakeproxy import SystemClock

from tests.contract.serving import ADMIN_KEY, serve_fake
from tools.manifest import ROOT

pytest_plugins = ["pytester"]

FOLDER = Path(sandbox_contract.__file__).parent.parent
README = (FOLDER / "README.md").read_text()
# Some stand in a list, and are indented.
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [textwrap.dedent(text) for kind, text in BLOCKS if kind == language]


def steps(session: str) -> list[tuple[str, str]]:
    """Return the commands of a session, each with its expected output."""
    return [
        (command, said)
        for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
        for command, _, said in [part.partition("\n")]
    ]


def test_the_readmes_sessions_give_the_shown_answers(tmp_path: Path) -> None:
    told = [step for session in blocks("console") for step in steps(session)]
    assert len(told) >= 6
    with serve_fake(tmp_path / "fake", clock=SystemClock, ready_after=0.2) as (url, _):
        script = "\n".join(f"{command} 2>&1; echo '(end)'" for command, _ in told)
        script = script.replace(" 2>/dev/null 2>&1", " 2>/dev/null")
        # The first run looks without a key, then the README chooses the admin key.
        chosen = f"export ADMIN_API_KEY={ADMIN_KEY}\nsandbox-contract run --ready-timeout"
        script = script.replace("sandbox-contract run --ready-timeout", chosen)
        done = subprocess.run(
            ["bash", "-c", script.replace("http://127.0.0.1:8080", url)],
            cwd=tmp_path,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
    answers = done.stdout.replace(url, "http://127.0.0.1:8080").split("(end)\n")[:-1]
    for (command, said), answer in zip(told, answers, strict=True):
        pattern = ".*?".join(re.escape(part) for part in said.strip().split("..."))
        assert re.fullmatch(pattern, answer.strip(), re.DOTALL), f"{command}\n{answer}"


def test_the_example_for_another_repository_passes(pytester: pytest.Pytester) -> None:
    (example,) = blocks("python")
    pytester.makepyfile(example)
    result = pytester.runpytest("-p", "no:cacheprovider", "-k", "health or readiness")
    result.assert_outcomes(passed=18, skipped=4, deselected=len(CLAUSES) - 22)


def test_the_outcomes_are_all_there_are() -> None:
    table = README.split("## What each outcome means")[1]
    named = re.findall(r"^\| (\w+) \| ", table.split("\n\n")[1], re.MULTILINE)[1:]
    assert sorted(named) == sorted(Outcome)


def test_every_option_that_is_named_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["run"], ["sweep"], ["list"], ["diff"]):
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--help"])
    said = capsys.readouterr().out
    # Those of the plugin bear a prefix, and the fake has its own.
    text = README.replace("--pyargs", "").replace("--contract-", "--").replace("--as-deployed", "")
    named = set(re.findall(r"--[a-z][a-z-]+", text))
    assert named <= set(re.findall(r"--[a-z-]+", said))


def test_every_path_that_is_named_exists() -> None:
    for path in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (FOLDER / path).exists(), path


def test_the_table_of_modules_is_all_there_are() -> None:
    table = README.split("## Modules")[1]
    named = {name for row in table.splitlines()[4:] for name in re.findall(r"`(\w+)`", row)}
    package = FOLDER / "sandbox_contract"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in package.glob("*/__init__.py")}
    assert named == modules | packages


def test_every_make_target_that_is_named_is_one() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"make ([a-z0-9-]+)", shown.stdout))
    assert set(re.findall(r"`make ([a-z0-9-]+)`", README)) <= targets
