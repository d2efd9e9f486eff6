"""Races in the deployed proxy, in process, where the requests certainly overlap."""

import asyncio
from typing import Any

import pytest

from tests.fakeproxy.fake_app import Client, FakeApp, assert_error, exec_path
from tests.fakeproxy.test_as_deployed import BOX, assert_500


@pytest.fixture
def options() -> dict[str, Any]:
    return {"as_deployed": True}


async def statuses(*requests: Any) -> list[int]:
    return sorted(reply.status_code for reply in await asyncio.gather(*requests))


async def test_of_concurrent_creates_one_is_201_and_the_rest_500(
    fake: FakeApp, alice: Client
) -> None:
    body = {"name": "box"}
    found = await statuses(*(alice.request("POST", "/api/sandboxes", body) for _ in range(5)))
    assert found == [201, 500, 500, 500, 500]
    assert (await alice.request("POST", "/api/sandboxes", body)).status_code == 409


async def test_concurrent_creates_do_not_pass_the_quota(fake: FakeApp, alice: Client) -> None:
    for number in range(8):
        await alice.request("POST", "/api/sandboxes", {"name": f"box{number}"})
    more = [
        alice.request("POST", "/api/sandboxes", {"name": f"more{number}"}) for number in range(6)
    ]
    assert await statuses(*more) == [201, 201, 500, 500, 500, 500]
    assert (await alice.request("GET", "/api/sandboxes")).json()["count"] == 10


async def test_a_create_whose_user_is_deleted_meanwhile_is_500(
    fake: FakeApp, alice: Client
) -> None:
    create = alice.request("POST", "/api/sandboxes", {"name": "box"})
    delete = fake.admin.request("DELETE", f"/api/admin/users/{fake.users['alice']}")
    for reply in await asyncio.gather(create, delete):
        assert_500(reply)
        assert "defect" not in reply.text


async def test_of_concurrent_deletes_one_is_200_and_the_rest_404_or_500(
    fake: FakeApp, alice: Client
) -> None:
    await fake.ready_sandbox(alice)
    replies = await asyncio.gather(*(alice.request("DELETE", BOX) for _ in range(5)))
    assert sorted(reply.status_code for reply in replies) == [200, 404, 404, 500, 500]
    for reply in replies:
        if reply.status_code == 404:
            assert_error(reply, 404, "Not Found", "Sandbox not found")
    assert (await alice.request("DELETE", BOX)).status_code == 403


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_change_of_a_sandbox_that_is_deleted_meanwhile_may_be_404(
    fake: FakeApp, alice: Client, verb: str
) -> None:
    await fake.ready_sandbox(alice)
    deleted, changed = await asyncio.gather(
        alice.request("DELETE", BOX), alice.request("POST", f"{BOX}/{verb}")
    )
    assert deleted.status_code == 200
    assert_error(changed, 404, "Not Found", "Sandbox not found")


async def test_a_command_in_a_sandbox_that_is_deleted_meanwhile_is_404_without_a_message(
    fake: FakeApp, alice: Client
) -> None:
    await fake.ready_sandbox(alice)
    deleted, ran = await asyncio.gather(
        alice.request("DELETE", BOX), alice.request("POST", exec_path(), {"command": "ls"})
    )
    assert deleted.status_code == 200
    assert (ran.status_code, ran.json()) == (404, {"error": "Sandbox not found"})


async def test_of_a_pause_against_a_resume_some_are_500(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    verbs = ["pause", "resume"] * 3
    found = await statuses(*(alice.request("POST", f"{BOX}/{verb}") for verb in verbs))
    assert set(found) == {200, 500}
