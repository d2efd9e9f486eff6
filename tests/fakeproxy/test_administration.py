import re
from typing import Any

import pytest

from tests.fakeproxy.fake_app import Client, FakeApp, assert_error

USERS = "/api/admin/users"
NO_ID = "00000000-0000-4000-8000-000000000000"
NOW = "2026-01-01T00:00:00.000Z"


async def test_a_user_is_made_and_shown(fake: FakeApp) -> None:
    body = {"username": "carol", "email": "carol@example.org"}
    reply = await fake.admin.request("POST", USERS, body)
    assert reply.status_code == 201
    user_id = reply.json()["user"]["id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", user_id)
    user = {"id": user_id, "created_at": NOW, "is_active": True, **body}
    assert reply.json() == {"success": True, "user": user}
    shown = await fake.admin.request("GET", f"{USERS}/{user_id.upper()}")
    assert shown.status_code == 200
    assert shown.json() == {"user": user | {"updated_at": NOW}}


async def test_an_email_is_optional(fake: FakeApp) -> None:
    reply = await fake.admin.request("POST", USERS, {"username": "carol"})
    assert reply.json()["user"]["email"] is None


@pytest.mark.parametrize("body", [{}, {"username": ""}, {"username": None}])
async def test_a_username_is_required(fake: FakeApp, body: dict[str, Any]) -> None:
    reply = await fake.admin.request("POST", USERS, body)
    assert_error(reply, 400, "Bad Request", "username is required")


@pytest.mark.parametrize("name", ["a", "0", "a-b", "9lives", "x" * 58])
async def test_a_username_is_a_dns_label(fake: FakeApp, name: str) -> None:
    assert (await fake.admin.request("POST", USERS, {"username": name})).status_code == 201


@pytest.mark.parametrize(
    "name", ["-a", "a-", "A", "a.b", "a b", "ä", "x" * 59, "a\n", "../x", 7, True, ["a"], {"a": 1}]
)
async def test_a_bad_username_is_400_with_the_rule(fake: FakeApp, name: object) -> None:
    reply = await fake.admin.request("POST", USERS, {"username": name})
    assert reply.status_code == 400
    assert "DNS label of at most 58 characters" in reply.json()["message"]


@pytest.mark.parametrize("email", ["e" * 256, 7, ["a"]])
async def test_a_bad_email_is_400(fake: FakeApp, alice: Client, email: object) -> None:
    made = await fake.admin.request("POST", USERS, {"username": "carol", "email": email})
    changed = await fake.admin.request("PUT", f"{USERS}/{fake.users['alice']}", {"email": email})
    for reply in (made, changed):
        assert reply.status_code == 400
        assert "255" in reply.json()["message"]


async def test_a_username_that_is_taken_is_409(fake: FakeApp, alice: Client) -> None:
    reply = await fake.admin.request("POST", USERS, {"username": "alice"})
    assert_error(reply, 409, "Conflict", "User with username 'alice' already exists")


async def test_a_user_named_admin_exists_from_the_start(fake: FakeApp) -> None:
    reply = await fake.admin.request("GET", USERS)
    assert [user["username"] for user in reply.json()["users"]] == ["admin"]


async def test_users_are_listed_newest_first_also_within_one_instant(fake: FakeApp) -> None:
    for name in ("a", "b", "c"):
        await fake.new_user(name)
    reply = (await fake.admin.request("GET", USERS)).json()
    assert [user["username"] for user in reply["users"]] == ["c", "b", "a", "admin"]
    assert reply["count"] == 4
    assert set(reply["users"][0]) == {"id", "username", "email", "created_at", "is_active"}


async def test_only_active_users_are_listed_on_request(fake: FakeApp, alice: Client) -> None:
    await fake.admin.request("PUT", f"{USERS}/{fake.users['alice']}", {"is_active": False})
    assert (await fake.admin.request("GET", USERS)).json()["count"] == 2
    assert (await fake.admin.request("GET", f"{USERS}?active_only=false")).json()["count"] == 2
    assert (await fake.admin.request("GET", f"{USERS}?active_only=true")).json()["count"] == 1


async def test_a_user_is_changed(fake: FakeApp, alice: Client) -> None:
    fake.clock.advance(1)
    path = f"{USERS}/{fake.users['alice']}"
    reply = await fake.admin.request("PUT", path, {"email": "a@example.org", "is_active": False})
    assert reply.status_code == 200
    assert reply.json() == {
        "success": True,
        "user": {
            "id": fake.users["alice"],
            "username": "alice",
            "email": "a@example.org",
            "updated_at": "2026-01-01T00:00:01.000Z",
            "is_active": False,
        },
    }
    assert (await fake.admin.request("PUT", path, {"email": None})).json()["user"]["email"] is None


async def test_an_empty_change_changes_nothing(fake: FakeApp, alice: Client) -> None:
    fake.clock.advance(1)
    reply = await fake.admin.request("PUT", f"{USERS}/{fake.users['alice']}", {})
    assert reply.status_code == 200
    assert reply.json()["user"]["updated_at"] == NOW


@pytest.mark.parametrize("value", [None, "yes", 1])
async def test_is_active_is_true_or_false(fake: FakeApp, alice: Client, value: object) -> None:
    path = f"{USERS}/{fake.users['alice']}"
    assert (await fake.admin.request("PUT", path, {"is_active": value})).status_code == 400


async def test_a_user_is_deleted_with_keys_and_sandboxes(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    sandbox_id = fake.sandbox_id("alice")
    path = f"{USERS}/{fake.users['alice']}"
    reply = await fake.admin.request("DELETE", path)
    assert reply.status_code == 200
    assert reply.json() == {"success": True, "message": "User 'alice' deleted successfully"}
    assert_error(await fake.admin.request("DELETE", path), 404, "Not Found", "User not found")
    assert fake.store.ids_with_files() == []
    assert fake.runtime.removed == [sandbox_id]  # type: ignore[attr-defined]  # scripted
    again = await fake.new_user("alice")
    assert (await again.request("GET", "/api/sandboxes")).json()["count"] == 0
    assert (await again.request("POST", "/api/sandboxes", {"name": "box"})).status_code == 201


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
async def test_an_unknown_user_is_404_and_a_malformed_id_400(
    fake: FakeApp, method: str, path: str
) -> None:
    reply = await fake.admin.request(method, path % NO_ID)
    assert_error(reply, 404, "Not Found", "User not found")
    for bad in ("1", "x" * 36, f"{NO_ID}%0a"):
        reply = await fake.admin.request(method, path % bad)
        assert_error(reply, 400, "Bad Request", "user id must be a UUID")


async def test_a_key_is_made_and_shown_once(fake: FakeApp, alice: Client) -> None:
    path = f"{USERS}/{fake.users['alice']}/apikeys"
    fields = {"name": "laptop", "expires_at": "2026-02-01T00:00:00+01:00"}
    reply = await fake.admin.request("POST", path, fields)
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
    listed = await fake.admin.request("GET", path)
    assert made["api_key"] not in listed.text
    assert listed.json()["count"] == 2
    assert listed.json()["api_keys"][0] == info | {"last_used_at": None, "is_active": True}


async def test_the_use_of_a_key_is_noted(fake: FakeApp, alice: Client) -> None:
    fake.clock.advance(60)
    await alice.request("GET", "/api/me")
    reply = await fake.admin.request("GET", f"{USERS}/{fake.users['alice']}/apikeys")
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
    fake: FakeApp, alice: Client, fields: dict[str, Any]
) -> None:
    path = f"{USERS}/{fake.users['alice']}/apikeys"
    assert (await fake.admin.request("POST", path, fields)).status_code == 400
    assert (await alice.request("POST", "/api/me/apikeys", fields)).status_code == 400


async def test_a_key_is_revoked_again_and_again_and_stays_listed(
    fake: FakeApp, alice: Client
) -> None:
    path = f"{USERS}/{fake.users['alice']}/apikeys"
    key_id = (await fake.admin.request("GET", path)).json()["api_keys"][0]["id"]
    for _ in range(2):
        reply = await fake.admin.request("DELETE", f"/api/admin/apikeys/{key_id}")
        assert reply.status_code == 200
        assert reply.json() == {"success": True, "message": "API key revoked successfully"}
    listed = (await fake.admin.request("GET", path)).json()
    assert [key["is_active"] for key in listed["api_keys"]] == [False]


async def test_an_unknown_key_is_404(fake: FakeApp) -> None:
    reply = await fake.admin.request("DELETE", f"/api/admin/apikeys/{NO_ID}")
    assert_error(reply, 404, "Not Found", "API key not found")
    reply = await fake.admin.request("DELETE", "/api/admin/apikeys/1")
    assert_error(reply, 400, "Bad Request", "key id must be a UUID")
