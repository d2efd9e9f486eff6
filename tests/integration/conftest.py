from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.pair import a_pair
from tests.integration.programs import FakeProcess, a_fake_process

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from tests.integration.pair import Pair

KINDS = [
    pytest.param({"profile": profile, "as_deployed": as_deployed}, id=f"{profile}-{kind}")
    for profile in ("v1alpha1", "v1beta1")
    for as_deployed, kind in ((False, "sane"), (True, "as-deployed"))
]


@pytest.fixture(params=KINDS)
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A fake of each kind in process, and clients of it."""
    async with a_pair(**request.param) as made:
        yield made


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Generator[FakeProcess]:
    """The fake proxy as a process on a free port, for all tests of a module."""
    with a_fake_process(tmp_path_factory.mktemp("fake")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, fake: FakeProcess) -> Path:
    """A home folder whose configuration is a new user's of the fake."""
    fake.write_config(tmp_path)
    return tmp_path
