from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from sandbox_fakeproxy._testing.thread import ServerThread

from tests.fakeproxy.world import Caller, Port, World, a_world


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module that says so on a real port too: the table's every row."""
    module = metafunc.definition.getparent(pytest.Module)
    assert module is not None
    if "world" in metafunc.fixturenames and hasattr(module.obj, "ON_A_PORT_TOO"):
        metafunc.parametrize("world", ["in process", "on a port"], indirect=True)


@pytest.fixture(scope="session")
def port() -> Iterator[Port]:
    made = Port()
    with ServerThread(made) as server:
        made.server = server
        yield made


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the options of the test's world; a module may have others."""
    return {}


@pytest.fixture
async def world(request: pytest.FixtureRequest, options: dict[str, Any]) -> AsyncGenerator[World]:
    is_served = getattr(request, "param", None) == "on a port"
    port = request.getfixturevalue("port") if is_served else None
    async with a_world(port=port, **options) as made:
        yield made


@pytest.fixture
async def alice(world: World) -> Caller:
    return await world.user("alice")


@pytest.fixture
async def bob(world: World) -> Caller:
    return await world.user("bob")
