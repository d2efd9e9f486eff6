"""The extension in the hands of Gemini CLI: checked, linked, installed, started."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.gemini.model import call, pass_on
from tests.e2e.gemini.program import EXTENSION, a_gemini, with_installers
from tests.integration.programs import DEADLINE
from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.gemini.model import ScriptedModel
    from tests.e2e.gemini.program import Gemini
    from tests.integration.programs import FakeProcess

pytestmark = pytest.mark.timeout(300)  # its first start makes an environment

# What 0.61 turns to at any command for extensions, whatever the settings say of statistics.
STATISTICS = {"play.googleapis.com"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the last commit."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, folder], check=True, timeout=DEADLINE)
    return folder


@pytest.fixture
def bare(tmp_path: Path, model_url: str) -> Gemini:
    """Gemini CLI without the extension."""
    (tmp_path / "home").mkdir()
    return a_gemini(tmp_path / "home", model_url)


def test_a_clone_is_a_valid_extension(bare: Gemini, clone: Path) -> None:
    assert "has been successfully validated" in bare.extensions("validate", clone)
    assert bare.strangers <= STATISTICS


def test_a_clone_is_linked_where_it_is(bare: Gemini, clone: Path) -> None:
    said = bare.extensions("link", clone, "--consent")
    assert f'Extension "{EXTENSION}" linked successfully and enabled' in said
    listed = bare.extensions("list")
    assert f"Path: {clone}\n" in listed
    assert "remote-sandbox" in listed.partition("MCP servers:")[2]
    assert bare.strangers <= STATISTICS


def test_a_clone_is_installed_and_its_first_start_makes_what_it_needs(
    bare: Gemini, clone: Path, fake: FakeProcess, model: ScriptedModel
) -> None:
    said = bare.extensions("install", clone, "--consent")
    assert f'Extension "{EXTENSION}" installed successfully and enabled' in said
    assert bare.strangers <= STATISTICS
    installed = bare.home / ".gemini" / "extensions" / EXTENSION
    assert not (installed / ".venv").exists()

    fake.write_config(bare.home)
    model.script(call("list_sandboxes"), pass_on)
    seen = with_installers(bare).type("/remote:list")
    assert (installed / ".venv" / ".installed").exists(), "`sh client/launch` says what failed"
    assert "No sandboxes" in seen.result["output"]
