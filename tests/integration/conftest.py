"""Fixtures of the integration tests: a fake proxy in this process, and one in its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_client.api import shell

from tests.integration.in_process import in_process_fake
from tests.integration.programs import FakeProcess, fake_process

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from tests.integration.in_process import InProcessFake

# The client handles the profile and the deployed proxy's faults independently, so two of the four
# combinations cover both.
PROXY_KINDS = [
    pytest.param({"profile": "v1alpha1", "as_deployed": True}, id="v1alpha1-as-deployed"),
    pytest.param({"profile": "v1beta1", "as_deployed": False}, id="v1beta1"),
]


@pytest.fixture(params=PROXY_KINDS)
async def in_process(request: pytest.FixtureRequest) -> AsyncGenerator[InProcessFake]:
    """A fake proxy in this process, of each kind in PROXY_KINDS."""
    async with in_process_fake(**request.param) as made:
        yield made


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Generator[FakeProcess]:
    """A fake proxy in its own process, shared by the tests of a module."""
    with fake_process(tmp_path_factory.mktemp("fake")) as running:
        yield running


@pytest.fixture
def quick_sigkill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SIGKILL follow SIGTERM after 0.2 s at a time limit on a terminal."""
    line = shell.TIME_LIMITED.replace(f"sleep {shell.SIGKILL_DELAY}", "sleep 0.2")
    monkeypatch.setattr(shell, "TIME_LIMITED", line)


@pytest.fixture
def home(tmp_path: Path, fake: FakeProcess) -> Path:
    """A home directory with the configuration of a new user of the fake proxy."""
    fake.write_config(tmp_path)
    return tmp_path
