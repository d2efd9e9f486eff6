from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode
from sandbox_fakeproxy.serving.server import ServerThread

from tests.fakeproxy.available_isolations import AVAILABLE_ISOLATIONS
from tests.fakeproxy.fake_app import Client, FakeApp, SharedServer, fake_app


@pytest.fixture(scope="session")
def shared_server() -> Iterator[SharedServer]:
    server = SharedServer()
    with ServerThread(server) as server.thread:
        yield server


# Without a jail too, where there are jails, in `make check`.
@pytest.fixture(
    params=[
        AVAILABLE_ISOLATIONS[-1],
        *(pytest.param(each, marks=pytest.mark.check) for each in AVAILABLE_ISOLATIONS[:-1]),
    ]
)
def isolation(request: pytest.FixtureRequest) -> IsolationMode:
    """Return "required" where jails work, else "none"; `with_each_isolation` replaces it."""
    chosen: IsolationMode = request.param
    return chosen


@pytest.fixture
def quick_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a kill press Ctrl-C again, and then give up, after 0.2 s instead of 1.5 s."""
    monkeypatch.setattr("sandbox_fakeproxy.runtime.local.bash._PRESS_INTERVAL", 0.2)


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the options of `create_app` for the fixture `fake`; a module may replace them."""
    return {}


@pytest.fixture
async def fake(options: dict[str, Any]) -> AsyncGenerator[FakeApp]:
    """Return a fake proxy in process, on a clock that the test advances."""
    async with fake_app(**options) as fake:
        yield fake


@pytest.fixture
async def alice(fake: FakeApp) -> Client:
    return await fake.new_user("alice")


@pytest.fixture
async def bob(fake: FakeApp) -> Client:
    return await fake.new_user("bob")
