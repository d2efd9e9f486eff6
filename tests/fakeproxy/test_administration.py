import re
from typing import Any

import pytest

from tests.fakeproxy.world import Caller, World, assert_refused

USERS = "/api/admin/users"
NO_ID = "00000000-0000-4000-8000-000000000000"
NOW = "2026-01-01T00:00:00.000Z"


async def test_a_user_is_made_and_shown(world: World) -> None:
    body = {"username": "carol", "email": "carol@example.org"}
    reply = await world.admin("POST", USERS, body)
    assert reply.status_code == 201
    user_id = reply.json()["user"]["id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", user_id)
    user = {"id": user_id, "created_at": NOW, "is_active": True, **body}
    assert reply.json() == {"success": True, "user": user}
    shown = await world.admin("GET", f"{USERS}/{user_id.upper()}")
    assert shown.status_code == 200
    assert shown.json() == {"user": user | {"updated_at": NOW}}


async def test_an_email_is_optional(world: World) -> None:
    reply = await world.admin("POST", USERS, {"username": "carol"})
    assert reply.json()["user"]["email"] is None


@pytest.mark.parametrize("body", [{}, {"username": ""}, {"username": None}])
async def test_a_username_is_required(world: World, body: dict[str, Any]) -> None:
    reply = await world.admin("POST", USERS, body)
    assert_refused(reply, 400, "Bad Request", "username is required")


@pytest.mark.parametrize("name", ["a", "0", "a-b", "9lives", "x" * 58])
async def test_a_username_is_a_dns_label(world: World, name: str) -> None:
    assert (await world.admin("POST", USERS, {"username": name})).status_code == 201


@pytest.mark.parametrize(
    "name", ["-a", "a-", "A", "a.b", "a b", "ä", "x" * 59, "a\n", "../x", 7, True, ["a"], {"a": 1}]
)
async def test_a_bad_username_is_400_with_the_rule(world: World, name: object) -> None:
    reply = await world.admin("POST", USERS, {"username": name})
    assert reply.status_code == 400
    assert "DNS label of at most 58 characters" in reply.json()["message"]


@pytest.mark.parametrize("email", ["e" * 256, 7, ["a"]])
async def test_a_bad_email_is_400(world: World, alice: Caller, email: object) -> None:
    made = await world.admin("POST", USERS, {"username": "carol", "email": email})
    changed = await world.admin("PUT", f"{USERS}/{world.users['alice']}", {"email": email})
    for reply in (made, changed):
        assert reply.status_code == 400
        assert "255" in reply.json()["message"]


async def test_a_username_that_is_taken_is_409(world: World, alice: Caller) -> None:
    reply = await world.admin("POST", USERS, {"username": "alice"})
    assert_refused(reply, 409, "Conflict", "User with username 'alice' already exists")


async def test_a_user_named_admin_exists_from_the_start(world: World) -> None:
    reply = await world.admin("GET", USERS)
    assert [user["username"] for user in reply.json()["users"]] == ["admin"]


async def test_users_are_listed_newest_first_also_within_one_instant(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.user(name)
    reply = (await world.admin("GET", USERS)).json()
    assert [user["username"] for user in reply["users"]] == ["c", "b", "a", "admin"]
    assert reply["count"] == 4
    assert set(reply["users"][0]) == {"id", "username", "email", "created_at", "is_active"}


async def test_only_active_users_are_listed_on_request(world: World, alice: Caller) -> None:
    await world.admin("PUT", f"{USERS}/{world.users['alice']}", {"is_active": False})
    assert (await world.admin("GET", USERS)).json()["count"] == 2
    assert (await world.admin("GET", f"{USERS}?active_only=false")).json()["count"] == 2
    assert (await world.admin("GET", f"{USERS}?active_only=true")).json()["count"] == 1


async def test_a_user_is_changed(world: World, alice: Caller) -> None:
    world.clock.advance(1)
    path = f"{USERS}/{world.users['alice']}"
    reply = await world.admin("PUT", path, {"email": "a@example.org", "is_active": False})
    assert reply.status_code == 200
    assert reply.json() == {
        "success": True,
        "user": {
            "id": world.users["alice"],
            "username": "alice",
            "email": "a@example.org",
            "updated_at": "2026-01-01T00:00:01.000Z",
            "is_active": False,
        },
    }
    assert (await world.admin("PUT", path, {"email": None})).json()["user"]["email"] is None


async def test_an_empty_change_changes_nothing(world: World, alice: Caller) -> None:
    world.clock.advance(1)
    reply = await world.admin("PUT", f"{USERS}/{world.users['alice']}", {})
    assert reply.status_code == 200
    assert reply.json()["user"]["updated_at"] == NOW


@pytest.mark.parametrize("value", [None, "yes", 1])
async def test_is_active_is_true_or_false(world: World, alice: Caller, value: object) -> None:
    path = f"{USERS}/{world.users['alice']}"
    assert (await world.admin("PUT", path, {"is_active": value})).status_code == 400


async def test_a_user_is_deleted_with_keys_and_sandboxes(world: World, alice: Caller) -> None:
    await world.sandbox(alice)
    sandbox_id = world.sandbox_id("alice")
    path = f"{USERS}/{world.users['alice']}"
    reply = await world.admin("DELETE", path)
    assert reply.status_code == 200
    assert reply.json() == {"success": True, "message": "User 'alice' deleted successfully"}
    assert_refused(await world.admin("DELETE", path), 404, "Not Found", "User not found")
    assert world.store.sandbox_ids() == []
    assert world.runtime.removed == [sandbox_id]  # type: ignore[attr-defined]  # scripted
    again = await world.user("alice")
    assert (await again("GET", "/api/sandboxes")).json()["count"] == 0
    assert (await again("POST", "/api/sandboxes", {"name": "box"})).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{USERS}/%s"),
        ("PUT", f"{USERS}/%s"),
        ("DELETE", f"{USERS}/%s"),
        ("POST", f"{USERS}/%s/apikeys"),
        ("GET", f"{USERS}/%s/apikeys"),
    ],
)
async def test_a_user_who_does_not_exist_is_404_and_an_id_that_is_none_400(
    world: World, method: str, path: str
) -> None:
    reply = await world.admin(method, path % NO_ID)
    assert_refused(reply, 404, "Not Found", "User not found")
    for bad in ("1", "x" * 36, f"{NO_ID}%0a"):
        reply = await world.admin(method, path % bad)
        assert_refused(reply, 400, "Bad Request", "user id must be a UUID")


async def test_a_key_is_made_and_shown_once(world: World, alice: Caller) -> None:
    path = f"{USERS}/{world.users['alice']}/apikeys"
    fields = {"name": "laptop", "expires_at": "2026-02-01T00:00:00+01:00"}
    reply = await world.admin("POST", path, fields)
    assert reply.status_code == 201
    made = reply.json()
    assert made["success"] is True
    assert re.fullmatch(r"sk_live_[A-Za-z0-9_-]{32}", made["api_key"])
    info = {
        "id": made["key_info"]["id"],
        "key_prefix": made["api_key"][:12],
        "name": "laptop",
        "created_at": NOW,
        "expires_at": "2026-01-31T23:00:00.000Z",
    }
    assert made["key_info"] == info
    listed = await world.admin("GET", path)
    assert made["api_key"] not in listed.text
    assert listed.json()["count"] == 2
    assert listed.json()["api_keys"][0] == info | {"last_used_at": None, "is_active": True}


async def test_the_use_of_a_key_is_noted(world: World, alice: Caller) -> None:
    world.clock.advance(60)
    await alice("GET", "/api/me")
    reply = await world.admin("GET", f"{USERS}/{world.users['alice']}/apikeys")
    assert reply.json()["api_keys"][0]["last_used_at"] == "2026-01-01T00:01:00.000Z"


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_at": "soon"},
        {"expires_at": ""},
        {"expires_at": 1767225600000},
        {"expires_at": True},
        {"expires_at": "0001-01-01T00:00:00+23:00"},
        {"name": "n" * 256},
        {"name": 7},
    ],
)
async def test_a_bad_field_of_a_key_is_400(
    world: World, alice: Caller, fields: dict[str, Any]
) -> None:
    path = f"{USERS}/{world.users['alice']}/apikeys"
    assert (await world.admin("POST", path, fields)).status_code == 400
    assert (await alice("POST", "/api/me/apikeys", fields)).status_code == 400


async def test_a_key_is_revoked_again_and_again_and_stays_listed(
    world: World, alice: Caller
) -> None:
    path = f"{USERS}/{world.users['alice']}/apikeys"
    key_id = (await world.admin("GET", path)).json()["api_keys"][0]["id"]
    for _ in range(2):
        reply = await world.admin("DELETE", f"/api/admin/apikeys/{key_id}")
        assert reply.status_code == 200
        assert reply.json() == {"success": True, "message": "API key revoked successfully"}
    listed = (await world.admin("GET", path)).json()
    assert [key["is_active"] for key in listed["api_keys"]] == [False]


async def test_an_unknown_key_is_404(world: World) -> None:
    reply = await world.admin("DELETE", f"/api/admin/apikeys/{NO_ID}")
    assert_refused(reply, 404, "Not Found", "API key not found")
    reply = await world.admin("DELETE", "/api/admin/apikeys/1")
    assert_refused(reply, 400, "Bad Request", "key id must be a UUID")
