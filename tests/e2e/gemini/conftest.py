"""Fixtures of the tests with Gemini CLI."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from sandbox_fakeproxy.serving.server import ServerThread

from tests.e2e.gemini.gemini_cli import GeminiCLI, set_up_gemini
from tests.e2e.gemini.model import ScriptedModel
from tests.e2e.gemini.proxy_user import ProxyUser
from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.integration.programs import FakeProcess


@pytest.fixture(scope="session")
def linked_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory of Gemini CLI, in which this clone is linked as an extension."""
    home = tmp_path_factory.mktemp("linked")
    set_up_gemini(home).extensions("link", ROOT, "--consent")
    return home


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def model_url(model: ScriptedModel) -> Generator[str]:
    with ServerThread(model.app) as server:
        yield server.url


@pytest.fixture
def gemini(linked_home: Path, tmp_path: Path, model_url: str) -> Generator[GeminiCLI]:
    """Gemini CLI with the extension but no configuration; at the end, no connection was refused."""
    shutil.copytree(linked_home / ".gemini", tmp_path / ".gemini")
    program = set_up_gemini(tmp_path, model_url)
    yield program
    assert program.refused_hosts == set()


@pytest.fixture
def user(fake: FakeProcess, gemini: GeminiCLI) -> ProxyUser:
    """A new user of the fake proxy; the extension is configured with the user's key."""
    return ProxyUser(fake, fake.write_config(gemini.home))
