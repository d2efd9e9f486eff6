from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.in_process import in_process_fake
from tests.integration.programs import FakeProcess, a_fake_process

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from tests.integration.in_process import InProcessFake

# The client reads the profile and the deployed proxy's faults independently of each other, so two
# of the four combinations cover both.
KINDS = [
    pytest.param({"profile": "v1alpha1", "as_deployed": True}, id="v1alpha1-as-deployed"),
    pytest.param({"profile": "v1beta1", "as_deployed": False}, id="v1beta1"),
]


@pytest.fixture(params=KINDS)
async def in_process(request: pytest.FixtureRequest) -> AsyncGenerator[InProcessFake]:
    """An in-process fake of each profile, as it should be and as deployed."""
    async with in_process_fake(**request.param) as made:
        yield made


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Generator[FakeProcess]:
    """A fake proxy in a process of its own, for all tests of a module."""
    with a_fake_process(tmp_path_factory.mktemp("fake")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, fake: FakeProcess) -> Path:
    """A home directory with the configuration of a new user of the fake."""
    fake.write_config(tmp_path)
    return tmp_path
