import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.fakeproxy.world import Caller, World, assert_refused, exec_path

SANDBOXES = "/api/sandboxes"


async def test_a_sandbox_is_made(alice: Caller) -> None:
    reply = await alice("POST", SANDBOXES, {"name": "box", "image": "mine:1", "port": 1, "x": 2})
    assert reply.status_code == 201
    assert reply.json() == {
        "success": True,
        "message": "Sandbox 'box' created successfully",
        "sandbox": {"name": "box", "namespace": "user-alice", "image": "mine:1"},
    }


@pytest.mark.parametrize("fields", [{}, {"image": ""}, {"image": None}])
async def test_no_image_means_the_default_one(alice: Caller, fields: dict[str, Any]) -> None:
    reply = await alice("POST", SANDBOXES, {"name": "box", **fields})
    assert reply.json()["sandbox"]["image"] == "ghcr.io/agent-infra/sandbox:latest"


@pytest.mark.parametrize("image", [7, True, ["a"], "i" * 513])
async def test_a_bad_image_is_400(alice: Caller, image: object) -> None:
    reply = await alice("POST", SANDBOXES, {"name": "box", "image": image})
    assert reply.status_code == 400
    assert (await alice("GET", SANDBOXES)).json()["count"] == 0


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": None}])
async def test_a_name_is_required(alice: Caller, body: dict[str, Any]) -> None:
    reply = await alice("POST", SANDBOXES, body)
    assert_refused(reply, 400, "Bad Request", "name is required")


@pytest.mark.parametrize("name", ["a", "a-b", "a9", "x" * 63])
async def test_a_name_is_a_dns_label(alice: Caller, name: str) -> None:
    assert (await alice("POST", SANDBOXES, {"name": name})).status_code == 201


@pytest.mark.parametrize(
    "name",
    ["9a", "-a", "a-", "A", "a.b", "a_b", "a b", "ä", "x" * 64, "a\n", "../me", 7, True, {"a": 1}],
)
async def test_a_bad_name_is_400_with_the_rule(alice: Caller, name: object) -> None:
    reply = await alice("POST", SANDBOXES, {"name": name})
    assert reply.status_code == 400
    assert "DNS label of at most 63 characters" in reply.json()["message"]
    assert "starting with a letter" in reply.json()["message"]


async def test_a_duplicate_is_409(alice: Caller) -> None:
    await alice("POST", SANDBOXES, {"name": "box"})
    reply = await alice("POST", SANDBOXES, {"name": "box"})
    assert_refused(reply, 409, "Conflict", "Sandbox 'box' already exists")


async def test_the_eleventh_is_403_with_the_quota_paused_ones_counted(alice: Caller) -> None:
    for number in range(10):
        assert (await alice("POST", SANDBOXES, {"name": f"b{number}"})).status_code == 201
    await alice("POST", f"{SANDBOXES}/b0/pause")
    reply = await alice("POST", SANDBOXES, {"name": "b10"})
    assert reply.status_code == 403
    assert reply.json()["error"] == "Forbidden"
    assert "quota" in reply.json()["message"]
    assert "10 sandboxes" in reply.json()["message"]
    duplicate = await alice("POST", SANDBOXES, {"name": "b0"})
    assert duplicate.status_code == 409
    assert (await alice("POST", SANDBOXES, {"name": "B"})).status_code == 400
    await alice("DELETE", f"{SANDBOXES}/b0")
    assert (await alice("POST", SANDBOXES, {"name": "b10"})).status_code == 201


async def test_the_quota_is_each_users_own(alice: Caller, bob: Caller) -> None:
    for number in range(10):
        await alice("POST", SANDBOXES, {"name": f"b{number}"})
    assert (await bob("POST", SANDBOXES, {"name": "b0"})).status_code == 201


async def test_only_the_own_sandboxes_are_listed_newest_first(
    world: World, alice: Caller, bob: Caller
) -> None:
    for name in ("a", "b", "c"):
        await alice("POST", SANDBOXES, {"name": name})
    await bob("POST", SANDBOXES, {"name": "d"})
    world.clock.advance(2)
    listed = (await alice("GET", SANDBOXES)).json()
    assert listed["count"] == 3
    assert [sandbox["name"] for sandbox in listed["sandboxes"]] == ["c", "b", "a"]
    assert listed["sandboxes"][0] == {
        "name": "c",
        "namespace": "user-alice",
        "serviceFQDN": "c.user-alice.svc.cluster.local",
        "service": "c",
        "ready": True,
        "createdAt": "2026-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{SANDBOXES}/box"),
        ("DELETE", f"{SANDBOXES}/box"),
        ("POST", f"{SANDBOXES}/box/pause"),
        ("POST", f"{SANDBOXES}/box/resume"),
        ("POST", exec_path()),
        ("GET", "/proxy/box/"),
    ],
)
async def test_anothers_sandbox_and_none_answer_alike(
    world: World, alice: Caller, bob: Caller, method: str, path: str
) -> None:
    for reply_before in (await bob(method, path),):
        assert_refused(reply_before, 403, "Forbidden", "You do not have access to this sandbox")
    await world.sandbox(alice)
    reply = await bob(method, path)
    assert_refused(reply, 403, "Forbidden", "You do not have access to this sandbox")
    for header in reply.headers.keys() - {"date"}:
        assert reply.headers[header] == reply_before.headers[header]
    assert (await alice("GET", f"{SANDBOXES}/box")).json()["ready"] is True


async def test_two_users_use_one_name_in_isolation(
    world: World, alice: Caller, bob: Caller
) -> None:
    await world.sandbox(alice)
    await world.sandbox(bob)
    assert (await alice("GET", f"{SANDBOXES}/box")).json()["namespace"] == "user-alice"
    await bob("DELETE", f"{SANDBOXES}/box")
    assert (await alice("GET", f"{SANDBOXES}/box")).status_code == 200


async def test_a_sandbox_is_deleted_in_any_state_and_its_name_is_free(
    world: World, alice: Caller
) -> None:
    for pass_time, pause in ((0, False), (1, False), (2, False), (2, True)):
        assert (await alice("POST", SANDBOXES, {"name": "box"})).status_code == 201
        world.clock.advance(pass_time)
        if pause:
            await alice("POST", f"{SANDBOXES}/box/pause")
        reply = await alice("DELETE", f"{SANDBOXES}/box")
        assert reply.status_code == 200
        assert reply.json() == {"success": True, "message": "Sandbox 'box' deleted successfully"}
        assert (await alice("DELETE", f"{SANDBOXES}/box")).status_code == 403


async def test_pause_and_resume_are_repeatable(world: World, alice: Caller) -> None:
    await world.sandbox(alice)
    for done, replicas in (("paused", 0), ("resumed", 1)):
        for _ in range(2):
            reply = await alice("POST", f"{SANDBOXES}/box/{done[:-1]}")
            assert reply.status_code == 200
            assert reply.json() == {
                "success": True,
                "message": f"Sandbox 'box' {done} successfully",
                "replicas": replicas,
            }


async def test_concurrent_creates_of_one_name_make_one(alice: Caller) -> None:
    replies = await asyncio.gather(*(alice("POST", SANDBOXES, {"name": "box"}) for _ in range(20)))
    assert Counter(reply.status_code for reply in replies) == {201: 1, 409: 19}


async def test_concurrent_creates_do_not_exceed_the_quota(alice: Caller) -> None:
    replies = await asyncio.gather(
        *(alice("POST", SANDBOXES, {"name": f"b{number}"}) for number in range(20))
    )
    assert Counter(reply.status_code for reply in replies) == {201: 10, 403: 10}


async def test_of_concurrent_deletes_one_succeeds(world: World, alice: Caller) -> None:
    await world.sandbox(alice)
    replies = await asyncio.gather(*(alice("DELETE", f"{SANDBOXES}/box") for _ in range(20)))
    assert Counter(reply.status_code for reply in replies) == {200: 1, 403: 19}


async def test_concurrent_pause_and_resume_all_succeed(world: World, alice: Caller) -> None:
    await world.sandbox(alice)
    replies = await asyncio.gather(
        *(alice("POST", f"{SANDBOXES}/box/{verb}") for verb in ("pause", "resume") * 10)
    )
    assert {reply.status_code for reply in replies} == {200}
