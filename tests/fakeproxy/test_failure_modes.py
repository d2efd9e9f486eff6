"""Failure modes of a sandbox, set by its image's name or with `PUT …/failure-mode`."""

from pathlib import Path
from typing import Any

import pytest
from sandbox_fakeproxy import ManualClock, ScriptedRuntime, Store, create_app
from sandbox_fakeproxy.model import FAILURE_MODES

from tests.fakeproxy.fake_app import ADMIN_KEY, Client, FakeApp, assert_error, exec_path

BOX = "/api/sandboxes/box"
PATH = "/_fake/sandboxes/alice/box/failure-mode"
REASONS = {
    "running": "DependenciesReady",
    "never-ready": "DependenciesNotReady",
    "failed": "DependenciesNotReady",
    "expired": "SandboxExpired",
    "controller-error": "ReconcilerError",
}


async def shown(caller: Client) -> dict[str, Any]:
    reply = await caller.request("GET", BOX)
    assert reply.status_code == 200
    body: dict[str, Any] = reply.json()
    return body


async def create(caller: Client, image: str) -> None:
    reply = await caller.request("POST", "/api/sandboxes", {"name": "box", "image": image})
    assert reply.status_code == 201
    assert reply.json()["sandbox"]["image"] == image


@pytest.mark.parametrize(
    ("image", "failure_mode"),
    [
        *((f"fake/{failure_mode}", failure_mode) for failure_mode in REASONS),
        ("fake.invalid:5000/a/failed:30", "failed"),
        ("fake/failed@sha256:0", "failed"),
    ],
)
async def test_an_image_name_that_ends_in_a_fate_sets_it(
    fake: FakeApp, alice: Client, image: str, failure_mode: str
) -> None:
    await create(alice, image)
    assert "readyReason" not in await shown(alice)
    fake.clock.advance(1_000)
    status = await shown(alice)
    assert status["readyReason"] == REASONS[failure_mode]
    assert status["ready"] is (failure_mode == "running")


@pytest.mark.parametrize(
    "image", ["failed", "failed:1", "/failed", "a/failed/b", "a/unfailed", "/"]
)
async def test_any_other_image_runs(fake: FakeApp, alice: Client, image: str) -> None:
    await create(alice, image)
    fake.clock.advance(2)
    assert (await shown(alice))["ready"] is True


@pytest.mark.parametrize(
    "failure_mode", [failure_mode for failure_mode in REASONS if failure_mode != "running"]
)
async def test_a_fate_comes_at_any_time_and_running_mends_it(
    fake: FakeApp, alice: Client, failure_mode: str
) -> None:
    await fake.ready_sandbox(alice)
    reply = await fake.admin.request("PUT", PATH, {"failure_mode": failure_mode})
    assert reply.status_code == 200
    assert reply.json()["success"] is True
    assert reply.json()["sandbox"]["failure_mode"] == failure_mode
    assert reply.json()["sandbox"]["phase"] == "ready"  # the controller has not seen it yet
    fake.clock.advance(0.1)
    assert (await shown(alice))["ready"] is (failure_mode == "running")
    await fake.set_failure_mode("running")
    fake.clock.advance(0.1)
    assert (await shown(alice))["readyMessage"] == "Pod exists with phase: Pending; Service Exists"
    fake.clock.advance(1.9)
    assert (await shown(alice))["ready"] is True


async def test_a_fate_kills_running_commands_at_once_and_the_same_fate_again_does_nothing(
    fake: FakeApp, alice: Client
) -> None:
    await fake.ready_sandbox(alice)
    assert isinstance(fake.runtime, ScriptedRuntime)
    for _ in range(2):
        await fake.set_failure_mode("failed")
        assert fake.runtime.stopped == [fake.sandbox_id("alice")]
        fake.clock.advance(0.06)
    assert (await shown(alice))["ready"] is False
    assert (await alice.request("POST", exec_path(), {"command": "ls"})).status_code == 503


async def test_a_fate_outlasts_a_pause(fake: FakeApp, alice: Client) -> None:
    await create(alice, "fake/failed")
    fake.clock.advance(1)
    await alice.request("POST", f"{BOX}/pause")
    fake.clock.advance(1)
    assert (await shown(alice))["replicas"] == 0
    await alice.request("POST", f"{BOX}/resume")
    fake.clock.advance(1)
    assert "Failed" in (await shown(alice))["readyMessage"]


async def test_a_controller_that_fails_from_the_start_never_makes_a_service(
    fake: FakeApp, alice: Client
) -> None:
    await create(alice, "fake/controller-error")
    fake.clock.advance(60)
    assert (await shown(alice))["service"] == "pending"
    reply = await alice.request("POST", exec_path(), {"command": "ls"})
    assert_error(reply, 503, "Service Unavailable", "Sandbox service not ready")
    await alice.request("POST", f"{BOX}/pause")
    fake.clock.advance(60)
    assert (await shown(alice))["service"] == "pending"
    await alice.request("POST", f"{BOX}/resume")
    await fake.set_failure_mode("running")
    fake.clock.advance(60)
    assert (await shown(alice))["service"] == "box"


async def test_a_sandbox_that_vanished_is_in_the_way_until_it_is_deleted(
    fake: FakeApp, alice: Client
) -> None:
    await fake.ready_sandbox(alice)
    await fake.set_failure_mode("vanished")
    assert (await shown(alice))["ready"] is True
    fake.clock.advance(0.1)
    for method, path in (
        ("GET", BOX),
        ("POST", f"{BOX}/pause"),
        ("POST", f"{BOX}/resume"),
        ("POST", exec_path()),
    ):
        message = "The resource of sandbox 'box' has vanished. Delete the sandbox to free its name"
        assert_error(await alice.request(method, path), 502, "Bad Gateway", message)
    (listed,) = (await alice.request("GET", "/api/sandboxes")).json()["sandboxes"]
    assert (listed["service"], listed["serviceFQDN"]) == ("error", "error")
    assert listed["ready"] is False
    assert (await alice.request("POST", "/api/sandboxes", {"name": "box"})).status_code == 409
    assert (await alice.request("DELETE", BOX)).status_code == 200
    assert (await alice.request("POST", "/api/sandboxes", {"name": "box"})).status_code == 201


@pytest.mark.parametrize(
    "body", [{}, {"failure_mode": None}, {"failure_mode": "Failed"}, {"failure_mode": ["failed"]}]
)
async def test_no_fate_is_400_with_those_there_are(
    fake: FakeApp, alice: Client, body: dict[str, Any]
) -> None:
    await fake.ready_sandbox(alice)
    reply = await fake.admin.request("PUT", PATH, body)
    assert_error(
        reply, 400, "Bad Request", f"failure_mode must be one of: {', '.join(FAILURE_MODES)}"
    )


async def test_a_fate_of_an_unknown_sandbox_is_404(fake: FakeApp, alice: Client) -> None:
    reply = await fake.admin.request("PUT", PATH, {"failure_mode": "failed"})
    assert_error(reply, 404, "Not Found", "User 'alice' has no sandbox 'box'")
    reply = await fake.admin.request(
        "PUT", PATH.replace("alice", "eve"), {"failure_mode": "failed"}
    )
    assert_error(reply, 404, "Not Found", "There is no user 'eve'")


async def test_a_fate_survives_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    for phase in ("ready", "expired"):
        store = Store(tmp_path / "state")
        app = create_app(admin_key=ADMIN_KEY, store=store, clock=clock, runtime=ScriptedRuntime())
        if phase == "ready":
            seeded = [{"username": "alice", "sandboxes": [{"name": "box"}]}]
            await app.state.fake.seed({"users": seeded})
            await app.state.fake.set_failure_mode("alice", "box", "expired")
        assert app.state.fake.state()["users"][0]["sandboxes"][0]["phase"] == phase
        clock.advance(1)
        store.close()
