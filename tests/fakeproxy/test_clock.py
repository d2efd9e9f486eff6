import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sandbox_fakeproxy import Clock, ManualClock, ScriptedRuntime, Store, SystemClock, create_app
from sandbox_fakeproxy.clock import Instant

from tests.fakeproxy.fake_app import Client, FakeApp, assert_error

ADVANCE = "/_fake/clock/advance"


async def test_an_administrator_moves_time_on(fake: FakeApp, alice: Client) -> None:
    await alice.request("POST", "/api/sandboxes", {"name": "box"})
    reply = await fake.admin.request("POST", ADVANCE, {"seconds": 2})
    assert reply.status_code == 200
    assert reply.json() == {"success": True, "now": "2026-01-01T00:00:02.000Z"}
    assert (await alice.request("GET", "/api/sandboxes/box")).json()["ready"] is True


async def test_advances_add_up(fake: FakeApp) -> None:
    await fake.admin.request("POST", ADVANCE, {"seconds": 0.25})
    reply = await fake.admin.request("POST", ADVANCE, {"seconds": 0.25})
    assert reply.json()["now"] == "2026-01-01T00:00:00.500Z"


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"seconds": null}',
        b'{"seconds": "1"}',
        b'{"seconds": true}',
        b'{"seconds": [1]}',
        b'{"seconds": -1}',
        b'{"seconds": -0.001}',
        b'{"seconds": NaN}',
        b'{"seconds": Infinity}',
        b'{"seconds": 1e999}',
        b'{"seconds": 1e300}',
        b'{"seconds": ' + b"9" * 400 + b"}",
    ],
)
async def test_an_invalid_number_of_seconds_is_400_and_moves_no_time(
    fake: FakeApp, content: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await fake.admin.request("POST", ADVANCE, content=content, headers=headers)
    assert reply.status_code == 400
    assert fake.clock.now() == datetime(2026, 1, 1, tzinfo=UTC)


async def test_an_unknown_control_route_is_404(fake: FakeApp) -> None:
    reply = await fake.admin.request("POST", "/_fake/nothing")
    assert_error(reply, 404, "Not Found", "Route POST /_fake/nothing not found")


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_every_clock_goes_forward_only(clock: Clock) -> None:
    before = clock.now()
    clock.advance(3600)
    after = clock.now()
    assert after.tzinfo is UTC
    assert (after - before).total_seconds() >= 3600
    for seconds in (-1.0, float("nan"), float("inf"), 1e12):
        with pytest.raises(ValueError, match="cannot be advanced"):
            clock.advance(seconds)
    assert (clock.now() - after).total_seconds() < 60


@pytest.mark.parametrize("make", [SystemClock, ManualClock])
async def test_an_advance_ends_a_wait_on_every_clock(make: Callable[[], Clock]) -> None:
    clock = make()
    waiting = asyncio.ensure_future(clock.sleep_until(clock.now() + timedelta(hours=1)))
    await asyncio.sleep(0)  # the wait begins
    clock.advance(3600)
    await asyncio.wait_for(waiting, 5)


def test_the_system_clock_tells_the_time() -> None:
    assert abs((SystemClock().now() - datetime.now(UTC)).total_seconds()) < 5


def test_a_clock_starts_where_the_store_says_time_had_come_to() -> None:
    store = Store()
    store.note_advance(1_000_000)
    create_app(admin_key="k", store=store, runtime=ScriptedRuntime())
    made = store.users()[0].created_at
    assert (made - datetime.now(UTC)).total_seconds() > 999_000
    store.close()


async def test_a_wall_clock_set_back_between_two_runs_changes_no_state() -> None:
    store = Store()
    options: dict[str, Any] = {"admin_key": "k", "ready_after": 0, "reconcile_delay": 0}
    assert store.last_change() is None
    ahead = ManualClock(datetime.now(UTC) + timedelta(hours=1))
    first = create_app(store=store, clock=ahead, runtime=ScriptedRuntime(), **options)
    await first.state.fake.seed({"users": [{"username": "al", "sandboxes": [{"name": "box"}]}]})
    again = create_app(store=store, runtime=ScriptedRuntime(), **options)
    assert again.state.fake.state()["users"][0]["sandboxes"][0]["phase"] == "ready"
    store.close()


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
        (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
    ],
)
def test_an_instant_of_any_year_is_written_as_javascript_does(milliseconds: int, text: str) -> None:
    assert Instant(milliseconds * 1000).iso() == text
