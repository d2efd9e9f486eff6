from typing import Any

import pytest

from tests.fakeproxy.fake_app import Client, FakeApp, fake_app

BOX = "/api/sandboxes/box"
TICK = 0.000001
IDENTITY = {"name": "box", "namespace": "user-alice", "createdAt": "2026-01-01T00:00:00.000Z"}
NO_SERVICE = {"service": "pending", "serviceFQDN": "pending"}
SERVICE = {"service": "box", "serviceFQDN": "box.user-alice.svc.cluster.local"}
JUST_CREATED = {"replicas": 0, "ready": False}
PENDING = {
    "replicas": 1,
    "ready": False,
    "readyReason": "DependenciesNotReady",
    "readyMessage": "Pod exists with phase: Pending; Service Exists",
}
STARTING = PENDING | {"readyMessage": "Pod is Running but not Ready; Service Exists"}
READY = {
    "replicas": 1,
    "ready": True,
    "readyReason": "DependenciesReady",
    "readyMessage": "Pod is Ready; Service Exists",
}
PAUSED = READY | {
    "replicas": 0,
    "readyMessage": "Pod does not exist, replicas is 0; Service Exists",
}


async def status(caller: Client) -> dict[str, Any]:
    reply = await caller.request("GET", BOX)
    assert reply.status_code == 200
    shown: dict[str, Any] = reply.json()
    assert {name: shown.pop(name) for name in IDENTITY} == IDENTITY
    return shown


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0, NO_SERVICE | JUST_CREATED),
        (0.1 - TICK, NO_SERVICE | JUST_CREATED),
        (0.1, SERVICE | PENDING),
        (1.05 - TICK, SERVICE | PENDING),
        (1.05, SERVICE | STARTING),
        (2 - TICK, SERVICE | STARTING),
        (2, SERVICE | READY),
        (1_000_000, SERVICE | READY),
    ],
)
async def test_a_created_sandbox_becomes_ready_at_the_exact_instant(
    fake: FakeApp, alice: Client, after: float, expected: dict[str, Any]
) -> None:
    await alice.request("POST", "/api/sandboxes", {"name": "box"})
    fake.clock.advance(after)
    assert await status(alice) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [(0, READY), (0.1 - TICK, READY), (0.1, PAUSED), (1_000_000, PAUSED)],
)
async def test_a_pause_shows_when_the_controller_has_seen_it(
    fake: FakeApp, alice: Client, after: float, expected: dict[str, Any]
) -> None:
    await fake.ready_sandbox(alice)
    await alice.request("POST", f"{BOX}/pause")
    fake.clock.advance(after)
    assert await status(alice) == SERVICE | expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0, PAUSED),
        (0.1 - TICK, PAUSED),
        (0.1, PENDING),
        (1.05, STARTING),
        (2 - TICK, STARTING),
        (2, READY),
    ],
)
async def test_a_resumed_sandbox_shows_paused_first_and_ready_at_the_exact_instant(
    fake: FakeApp, alice: Client, after: float, expected: dict[str, Any]
) -> None:
    await fake.ready_sandbox(alice)
    await alice.request("POST", f"{BOX}/pause")
    fake.clock.advance(60)
    await alice.request("POST", f"{BOX}/resume")
    fake.clock.advance(after)
    assert await status(alice) == SERVICE | expected


async def test_resuming_a_running_sandbox_does_not_restart_it(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    await alice.request("POST", f"{BOX}/resume")
    assert await status(alice) == SERVICE | READY


async def test_pausing_again_does_not_delay_the_pause(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    await alice.request("POST", f"{BOX}/pause")
    fake.clock.advance(0.1)
    await alice.request("POST", f"{BOX}/pause")
    assert await status(alice) == SERVICE | PAUSED


async def test_the_list_alone_cannot_tell_paused_from_ready(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    before = (await alice.request("GET", "/api/sandboxes")).json()
    await alice.request("POST", f"{BOX}/pause")
    fake.clock.advance(60)
    assert (await alice.request("GET", "/api/sandboxes")).json() == before


async def test_a_sandbox_paused_before_it_was_seen_still_gets_its_service(
    fake: FakeApp, alice: Client
) -> None:
    await alice.request("POST", "/api/sandboxes", {"name": "box"})
    await alice.request("POST", f"{BOX}/pause")
    assert await status(alice) == NO_SERVICE | JUST_CREATED
    fake.clock.advance(0.1)
    assert await status(alice) == SERVICE | PAUSED


async def test_without_any_delay_a_sandbox_is_ready_at_once() -> None:
    async with fake_app(ready_after=0) as fake:
        alice = await fake.new_user("alice")
        await alice.request("POST", "/api/sandboxes", {"name": "box"})
        assert await status(alice) == SERVICE | READY


@pytest.mark.parametrize(
    ("as_deployed", "refusal"),
    [(False, (503, "Sandbox not ready")), (True, (500, "fetch failed"))],
)
async def test_a_ready_sandbox_answers_after_listen_after(
    *, as_deployed: bool, refusal: tuple[int, str]
) -> None:
    async with fake_app(listen_after=4, as_deployed=as_deployed) as fake:
        alice = await fake.new_user("alice")
        await alice.request("POST", "/api/sandboxes", {"name": "box"})
        for resume in (False, True):
            if resume:
                await alice.request("POST", f"{BOX}/pause")
                fake.clock.advance(1)
                await alice.request("POST", f"{BOX}/resume")
            fake.clock.advance(2)
            assert await status(alice) == SERVICE | READY
            fake.clock.advance(3.9)
            reply = await alice.request("GET", "/proxy/box/v1/sandbox")
            assert (reply.status_code, reply.json()["message"]) == refusal
            fake.clock.advance(0.1)
            assert (await alice.request("GET", "/proxy/box/v1/sandbox")).status_code == 200


async def test_a_seeded_sandbox_that_is_ready_answers_at_once() -> None:
    async with fake_app(listen_after=4) as fake:
        (user,) = (await fake.app.state.fake.seed(SEED))["users"]
        key = user["keys"][0]["api_key"]
        headers = {"Authorization": f"Bearer {key}"}
        reply = await fake.http.get("/proxy/box/v1/sandbox", headers=headers)
        assert reply.status_code == 200


SEED: dict[str, Any] = {
    "users": [{"username": "eve", "keys": [{}], "sandboxes": [{"name": "box"}]}],
}
