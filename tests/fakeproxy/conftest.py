from collections.abc import AsyncGenerator

import pytest

from tests.fakeproxy.world import Caller, World, a_world


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with a_world() as made:
        yield made


@pytest.fixture
async def alice(world: World) -> Caller:
    return await world.user("alice")


@pytest.fixture
async def bob(world: World) -> Caller:
    return await world.user("bob")
