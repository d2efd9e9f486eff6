import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.fakeproxy.fake_app import Client, FakeApp, assert_error, exec_path

SANDBOXES = "/api/sandboxes"


async def test_a_sandbox_is_made(alice: Client) -> None:
    reply = await alice.request(
        "POST", SANDBOXES, {"name": "box", "image": "mine:1", "port": 1, "x": 2}
    )
    assert reply.status_code == 201
    assert reply.json() == {
        "success": True,
        "message": "Sandbox 'box' created successfully",
        "sandbox": {"name": "box", "namespace": "user-alice", "image": "mine:1"},
    }


@pytest.mark.parametrize("fields", [{}, {"image": ""}, {"image": None}])
async def test_no_image_means_the_default_one(alice: Client, fields: dict[str, Any]) -> None:
    reply = await alice.request("POST", SANDBOXES, {"name": "box", **fields})
    assert reply.json()["sandbox"]["image"] == "ghcr.io/agent-infra/sandbox:latest"


@pytest.mark.parametrize("image", [7, True, ["a"], "i" * 513])
async def test_a_bad_image_is_400(alice: Client, image: object) -> None:
    reply = await alice.request("POST", SANDBOXES, {"name": "box", "image": image})
    assert reply.status_code == 400
    assert (await alice.request("GET", SANDBOXES)).json()["count"] == 0


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": None}])
async def test_a_name_is_required(alice: Client, body: dict[str, Any]) -> None:
    reply = await alice.request("POST", SANDBOXES, body)
    assert_error(reply, 400, "Bad Request", "name is required")


@pytest.mark.parametrize("name", ["a", "a-b", "a9", "x" * 63])
async def test_a_name_is_a_dns_label(alice: Client, name: str) -> None:
    assert (await alice.request("POST", SANDBOXES, {"name": name})).status_code == 201


@pytest.mark.parametrize(
    "name",
    ["9a", "-a", "a-", "A", "a.b", "a_b", "a b", "ä", "x" * 64, "a\n", "../me", 7, True, {"a": 1}],
)
async def test_a_bad_name_is_400_with_the_rule(alice: Client, name: object) -> None:
    reply = await alice.request("POST", SANDBOXES, {"name": name})
    assert reply.status_code == 400
    assert "DNS label of at most 63 characters" in reply.json()["message"]
    assert "starting with a letter" in reply.json()["message"]


async def test_a_duplicate_is_409(alice: Client) -> None:
    await alice.request("POST", SANDBOXES, {"name": "box"})
    reply = await alice.request("POST", SANDBOXES, {"name": "box"})
    assert_error(reply, 409, "Conflict", "Sandbox 'box' already exists")


async def test_the_eleventh_is_403_with_the_quota_paused_ones_counted(alice: Client) -> None:
    for number in range(10):
        assert (await alice.request("POST", SANDBOXES, {"name": f"b{number}"})).status_code == 201
    await alice.request("POST", f"{SANDBOXES}/b0/pause")
    reply = await alice.request("POST", SANDBOXES, {"name": "b10"})
    assert reply.status_code == 403
    assert reply.json()["error"] == "Forbidden"
    assert "quota" in reply.json()["message"]
    assert "10 sandboxes" in reply.json()["message"]
    duplicate = await alice.request("POST", SANDBOXES, {"name": "b0"})
    assert duplicate.status_code == 409
    assert (await alice.request("POST", SANDBOXES, {"name": "B"})).status_code == 400
    await alice.request("DELETE", f"{SANDBOXES}/b0")
    assert (await alice.request("POST", SANDBOXES, {"name": "b10"})).status_code == 201


async def test_the_quota_is_each_users_own(alice: Client, bob: Client) -> None:
    for number in range(10):
        await alice.request("POST", SANDBOXES, {"name": f"b{number}"})
    assert (await bob.request("POST", SANDBOXES, {"name": "b0"})).status_code == 201


async def test_only_the_own_sandboxes_are_listed_newest_first(
    fake: FakeApp, alice: Client, bob: Client
) -> None:
    for name in ("a", "b", "c"):
        await alice.request("POST", SANDBOXES, {"name": name})
    await bob.request("POST", SANDBOXES, {"name": "d"})
    fake.clock.advance(2)
    listed = (await alice.request("GET", SANDBOXES)).json()
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
    fake: FakeApp, alice: Client, bob: Client, method: str, path: str
) -> None:
    for reply_before in (await bob.request(method, path),):
        assert_error(reply_before, 403, "Forbidden", "You do not have access to this sandbox")
    await fake.ready_sandbox(alice)
    reply = await bob.request(method, path)
    assert_error(reply, 403, "Forbidden", "You do not have access to this sandbox")
    for header in reply.headers.keys() - {"date"}:
        assert reply.headers[header] == reply_before.headers[header]
    assert (await alice.request("GET", f"{SANDBOXES}/box")).json()["ready"] is True


async def test_two_users_use_one_name_in_isolation(
    fake: FakeApp, alice: Client, bob: Client
) -> None:
    await fake.ready_sandbox(alice)
    await fake.ready_sandbox(bob)
    assert (await alice.request("GET", f"{SANDBOXES}/box")).json()["namespace"] == "user-alice"
    await bob.request("DELETE", f"{SANDBOXES}/box")
    assert (await alice.request("GET", f"{SANDBOXES}/box")).status_code == 200


async def test_a_sandbox_is_deleted_in_any_state_and_its_name_is_free(
    fake: FakeApp, alice: Client
) -> None:
    for pass_time, pause in ((0, False), (1, False), (2, False), (2, True)):
        assert (await alice.request("POST", SANDBOXES, {"name": "box"})).status_code == 201
        fake.clock.advance(pass_time)
        if pause:
            await alice.request("POST", f"{SANDBOXES}/box/pause")
        reply = await alice.request("DELETE", f"{SANDBOXES}/box")
        assert reply.status_code == 200
        assert reply.json() == {"success": True, "message": "Sandbox 'box' deleted successfully"}
        assert (await alice.request("DELETE", f"{SANDBOXES}/box")).status_code == 403


async def test_pause_and_resume_are_repeatable(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    for done, replicas in (("paused", 0), ("resumed", 1)):
        for _ in range(2):
            reply = await alice.request("POST", f"{SANDBOXES}/box/{done[:-1]}")
            assert reply.status_code == 200
            assert reply.json() == {
                "success": True,
                "message": f"Sandbox 'box' {done} successfully",
                "replicas": replicas,
            }


async def test_concurrent_creates_of_one_name_make_one(alice: Client) -> None:
    replies = await asyncio.gather(
        *(alice.request("POST", SANDBOXES, {"name": "box"}) for _ in range(20))
    )
    assert Counter(reply.status_code for reply in replies) == {201: 1, 409: 19}


async def test_concurrent_creates_do_not_exceed_the_quota(alice: Client) -> None:
    replies = await asyncio.gather(
        *(alice.request("POST", SANDBOXES, {"name": f"b{number}"}) for number in range(20))
    )
    assert Counter(reply.status_code for reply in replies) == {201: 10, 403: 10}


async def test_of_concurrent_deletes_one_succeeds(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    replies = await asyncio.gather(
        *(alice.request("DELETE", f"{SANDBOXES}/box") for _ in range(20))
    )
    assert Counter(reply.status_code for reply in replies) == {200: 1, 403: 19}


async def test_concurrent_pause_and_resume_all_succeed(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    replies = await asyncio.gather(
        *(alice.request("POST", f"{SANDBOXES}/box/{verb}") for verb in ("pause", "resume") * 10)
    )
    assert {reply.status_code for reply in replies} == {200}
