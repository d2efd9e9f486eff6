"""Gemini CLI validates, links, installs and starts the extension."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.gemini.gemini_cli import EXTENSION, set_up_gemini, with_installer_settings
from tests.e2e.gemini.model import call_tool, repeat_tool_result
from tests.integration.programs import DEADLINE
from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.gemini.gemini_cli import GeminiCLI
    from tests.e2e.gemini.model import ScriptedModel
    from tests.integration.programs import FakeProcess

pytestmark = pytest.mark.timeout(300)  # its first start creates an environment

# Gemini CLI 0.61 connects to it in any extension command, even with statistics disabled.
STATISTICS_HOSTS = {"play.googleapis.com"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the last commit."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, folder], check=True, timeout=DEADLINE)
    return folder


@pytest.fixture
def plain_gemini(tmp_path: Path, model_url: str) -> GeminiCLI:
    """Gemini CLI without the extension."""
    (tmp_path / "home").mkdir()
    return set_up_gemini(tmp_path / "home", model_url)


def test_a_clone_is_a_valid_extension(plain_gemini: GeminiCLI, clone: Path) -> None:
    assert "has been successfully validated" in plain_gemini.extensions("validate", clone)
    assert plain_gemini.refused_hosts <= STATISTICS_HOSTS


def test_a_clone_is_linked_in_place(plain_gemini: GeminiCLI, clone: Path) -> None:
    output = plain_gemini.extensions("link", clone, "--consent")
    assert f'Extension "{EXTENSION}" linked successfully and enabled' in output
    listed = plain_gemini.extensions("list")
    assert f"Path: {clone}\n" in listed
    assert "remote-sandbox" in listed.partition("MCP servers:")[2]
    assert plain_gemini.refused_hosts <= STATISTICS_HOSTS


def test_an_installed_clone_creates_its_environment_on_the_first_start(
    plain_gemini: GeminiCLI, clone: Path, fake: FakeProcess, model: ScriptedModel
) -> None:
    output = plain_gemini.extensions("install", clone, "--consent")
    assert f'Extension "{EXTENSION}" installed successfully and enabled' in output
    assert plain_gemini.refused_hosts <= STATISTICS_HOSTS
    installed = plain_gemini.home / ".gemini" / "extensions" / EXTENSION
    assert not (installed / ".venv").exists()

    fake.write_config(plain_gemini.home)
    model.add_turns(call_tool("list_sandboxes"), repeat_tool_result)
    run = with_installer_settings(plain_gemini).prompt("/remote:list")
    assert (installed / ".venv" / ".installed").exists(), (
        "run `sh client/launch` in a clone to see the error"
    )
    assert "No sandboxes" in run.tool_result["output"]
