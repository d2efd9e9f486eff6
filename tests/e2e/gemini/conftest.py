from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from sandbox_fakeproxy._testing.thread import ServerThread

from tests.e2e.gemini.model import ScriptedModel
from tests.e2e.gemini.owner import Owner
from tests.e2e.gemini.program import Gemini, a_gemini
from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.integration.programs import FakeProcess


@pytest.fixture(scope="session")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with this clone linked as an extension."""
    home = tmp_path_factory.mktemp("linked")
    a_gemini(home).extensions("link", ROOT, "--consent")
    return home


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def model_url(model: ScriptedModel) -> Generator[str]:
    with ServerThread(model.app) as server:
        yield server.url


@pytest.fixture
def gemini(linked: Path, tmp_path: Path, model_url: str) -> Generator[Gemini]:
    """Gemini CLI with the extension and without a configuration; it turns to nobody else."""
    shutil.copytree(linked / ".gemini", tmp_path / ".gemini")
    program = a_gemini(tmp_path, model_url)
    yield program
    assert program.strangers == set()


@pytest.fixture
def owner(fake: FakeProcess, gemini: Gemini) -> Owner:
    """The user of the fake whose key is in Gemini CLI's configuration."""
    return Owner(fake, fake.write_config(gemini.home))
