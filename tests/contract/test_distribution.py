"""The suite's version, and how the packages that it needs are installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from sandbox_contract.distribution import install_command

from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def start_without_rich(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; sys.modules['rich'] = None; from sandbox_contract.__main__ import main;"
        f"sys.argv = ['sandbox-contract', *{arguments!r}]; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )


def test_version_needs_no_extra() -> None:
    done = start_without_rich("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"sandbox-contract {version('async-remote-agent')}\n"


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    done = start_without_rich("list")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"sandbox-contract needs rich, which is not installed. Run: {install_command('contract')}\n"
    )


def test_the_environment_of_a_clone_is_completed_by_the_launcher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "prefix", str(ROOT / ".venv"))
    assert install_command("contract") == f"sh {ROOT}/client/launch --extras contract"


def test_another_environment_installs_the_extra_from_the_clone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "pyproject.toml").touch()
    assert install_command("contract", clone) == f"pip install '{clone}[contract]'"


def test_an_installation_that_is_no_clone_names_a_placeholder(tmp_path: Path) -> None:
    assert install_command("contract", tmp_path) == "pip install '/path/to/the/clone[contract]'"
