from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from sandbox_fakeproxy._local.isolation import Choice
from sandbox_fakeproxy._testing.thread import ServerThread

from tests.fakeproxy.world import Caller, Port, World, a_world


@pytest.fixture(scope="session")
def port() -> Iterator[Port]:
    made = Port()
    with ServerThread(made) as server:
        made.server = server
        yield made


@pytest.fixture
def isolation() -> Choice:
    """Return the quickest isolation; `in_each_isolation` replaces it."""
    return "none"


@pytest.fixture
def quick_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a kill press Ctrl-C again, and then give up, after 0.2 s instead of 1.5 s."""
    monkeypatch.setattr("sandbox_fakeproxy._local.bash._BETWEEN_PRESSES", 0.2)


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the options of the test's world; a module may have others."""
    return {}


@pytest.fixture
async def world(options: dict[str, Any]) -> AsyncGenerator[World]:
    async with a_world(**options) as made:
        yield made


@pytest.fixture
async def alice(world: World) -> Caller:
    return await world.user("alice")


@pytest.fixture
async def bob(world: World) -> Caller:
    return await world.user("bob")
