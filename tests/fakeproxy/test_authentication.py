from collections.abc import AsyncGenerator

import pytest

from tests.fakeproxy.fake_app import ADMIN_KEY, Client, FakeApp, assert_error, exec_path

FORMAT = "Invalid Authorization header format. Expected: Bearer <api-key>"
USER_ROUTES = [
    ("GET", "/api/me"),
    ("POST", "/api/me/apikeys"),
    ("GET", "/api/me/apikeys"),
    ("DELETE", "/api/me/apikeys/00000000-0000-4000-8000-000000000000"),
    ("POST", "/api/sandboxes"),
    ("GET", "/api/sandboxes"),
    ("GET", "/api/sandboxes/box"),
    ("DELETE", "/api/sandboxes/box"),
    ("POST", "/api/sandboxes/box/pause"),
    ("POST", "/api/sandboxes/box/resume"),
    ("POST", exec_path()),
    ("GET", "/proxy/box/anything/else"),
]
NO_ID = "00000000-0000-4000-8000-000000000000"
ADMIN_ROUTES = [
    ("POST", "/api/admin/users"),
    ("GET", "/api/admin/users"),
    ("GET", f"/api/admin/users/{NO_ID}"),
    ("PUT", f"/api/admin/users/{NO_ID}"),
    ("DELETE", f"/api/admin/users/{NO_ID}"),
    ("POST", f"/api/admin/users/{NO_ID}/apikeys"),
    ("GET", f"/api/admin/users/{NO_ID}/apikeys"),
    ("DELETE", f"/api/admin/apikeys/{NO_ID}"),
    ("POST", "/_fake/clock/advance"),
    ("POST", "/_fake/reset"),
    ("GET", "/_fake/requests"),
    ("GET", "/_fake/state"),
    ("PUT", "/_fake/seed"),
    ("PUT", "/_fake/sandboxes/alice/box/failure-mode"),
]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "Missing Authorization header"),
        (" ", "Missing Authorization header"),
        (" \t", "Missing Authorization header"),
        ("Basic abc", FORMAT),
        ("bearer abc", FORMAT),
        ("BEARER abc", FORMAT),
        ("sk_live_abc", FORMAT),
        ("Bearer", FORMAT),
        ("Bearer ", FORMAT),
        ("Bearer  two-spaces", FORMAT),
        ("Bearer two words", FORMAT),
    ],
)
async def test_a_faulty_header_is_401(fake: FakeApp, header: str, message: str) -> None:
    reply = await fake.anonymous.request("GET", "/api/me", headers={"Authorization": header})
    assert_error(reply, 401, "Unauthorized", message)


@pytest.mark.parametrize(("method", "path"), USER_ROUTES + ADMIN_ROUTES)
async def test_every_route_needs_a_header(fake: FakeApp, method: str, path: str) -> None:
    reply = await fake.anonymous.request(method, path)
    assert_error(reply, 401, "Unauthorized", "Missing Authorization header")


@pytest.mark.parametrize("after", [" ", "\t", " \t  "])
async def test_blanks_after_a_key_are_stripped(fake: FakeApp, alice: Client, after: str) -> None:
    for key, path in ((alice.key, "/api/me"), (ADMIN_KEY, "/api/admin/users")):
        reply = await fake.anonymous.request(
            "GET", path, headers={"Authorization": f"Bearer {key}{after}"}
        )
        assert reply.status_code == 200


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
async def test_every_user_route_needs_a_users_key(fake: FakeApp, method: str, path: str) -> None:
    reply = await fake.admin.request(method, path)
    assert_error(reply, 401, "Unauthorized", "Invalid API key")


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
async def test_every_admin_route_needs_the_admin_key(
    fake: FakeApp, alice: Client, method: str, path: str
) -> None:
    reply = await alice.request(method, path)
    assert_error(reply, 403, "Forbidden", "Invalid admin API key")


@pytest.mark.parametrize("key", [b"sk_live_" + b"x" * 32, b"\xff\xfe"])
async def test_an_unknown_key_opens_nothing(fake: FakeApp, key: bytes) -> None:
    headers = [(b"Authorization", b"Bearer " + key)]  # as bytes: no text may hold all of them
    reply = await fake.http.get("/api/me", headers=headers)
    assert_error(reply, 401, "Unauthorized", "Invalid API key")
    reply = await fake.http.get("/api/admin/users", headers=headers)
    assert_error(reply, 403, "Forbidden", "Invalid admin API key")


async def revoke(fake: FakeApp, username: str) -> None:
    path = f"/api/admin/users/{fake.users[username]}/apikeys"
    for key in (await fake.admin.request("GET", path)).json()["api_keys"]:
        await fake.admin.request("DELETE", f"/api/admin/apikeys/{key['id']}")


async def set_active(fake: FakeApp, username: str, *, active: bool) -> None:
    path = f"/api/admin/users/{fake.users[username]}"
    await fake.admin.request("PUT", path, {"is_active": active})


async def test_a_revoked_key_opens_nothing(fake: FakeApp, alice: Client) -> None:
    await revoke(fake, "alice")
    reply = await alice.request("GET", "/api/me")
    assert_error(reply, 401, "Unauthorized", "API key is inactive")


async def test_a_deactivated_user_is_refused_until_activated_again(
    fake: FakeApp, alice: Client
) -> None:
    await set_active(fake, "alice", active=False)
    reply = await alice.request("GET", "/api/me")
    assert_error(reply, 401, "Unauthorized", "User account is inactive")
    await set_active(fake, "alice", active=True)
    assert (await alice.request("GET", "/api/me")).status_code == 200


async def test_a_key_opens_until_the_instant_of_its_expiry(fake: FakeApp, alice: Client) -> None:
    late = Client(fake.http, await fake.new_key("alice", expires_at="2026-01-01T01:00:00Z"))
    fake.clock.advance(3599.999999)
    assert (await late.request("GET", "/api/me")).status_code == 200
    fake.clock.advance(0.000001)
    reply = await late.request("GET", "/api/me")
    assert_error(reply, 401, "Unauthorized", "API key has expired")


async def test_an_expiry_in_the_past_is_accepted_and_the_key_expired(
    fake: FakeApp, alice: Client
) -> None:
    late = Client(fake.http, await fake.new_key("alice", expires_at="2020-01-01"))
    reply = await late.request("GET", "/api/me")
    assert_error(reply, 401, "Unauthorized", "API key has expired")


async def test_revoked_is_said_before_inactive_and_inactive_before_expired(
    fake: FakeApp, alice: Client
) -> None:
    late = Client(fake.http, await fake.new_key("alice", expires_at="2020-01-01"))
    await set_active(fake, "alice", active=False)
    assert (await late.request("GET", "/api/me")).json()["message"] == "User account is inactive"
    await revoke(fake, "alice")
    assert (await late.request("GET", "/api/me")).json()["message"] == "API key is inactive"


async def test_the_key_of_a_deleted_user_is_unknown(fake: FakeApp, alice: Client) -> None:
    await fake.admin.request("DELETE", f"/api/admin/users/{fake.users['alice']}")
    assert_error(await alice.request("GET", "/api/me"), 401, "Unauthorized", "Invalid API key")


@pytest.mark.parametrize("key", ["", "two words", "é", "line\n"])
async def test_an_admin_key_that_no_header_can_carry_is_refused(key: str) -> None:
    from sandbox_fakeproxy import ScriptedRuntime, create_app  # noqa: PLC0415  (beside its use)

    with pytest.raises(ValueError, match="admin key must be printable ASCII"):
        create_app(admin_key=key, runtime=ScriptedRuntime())


@pytest.mark.parametrize(
    "path",
    ["/api/sandboxes", "/api/me/apikeys", "/api/sandboxes/mine/pause", exec_path("mine")],
)
@pytest.mark.parametrize("change", ["deleted", "deactivated"])
async def test_a_user_removed_while_the_body_arrives_is_refused(
    fake: FakeApp, alice: Client, path: str, change: str
) -> None:
    await fake.ready_sandbox(alice, "mine")
    user = f"/api/admin/users/{fake.users['alice']}"

    async def body() -> AsyncGenerator[bytes]:
        yield b'{"name": '
        if change == "deleted":
            await fake.admin.request("DELETE", user)
        else:
            await fake.admin.request("PUT", user, {"is_active": False})
        yield b'"box"}'

    headers = {"Authorization": f"Bearer {alice.key}", "Content-Type": "application/json"}
    reply = await fake.http.post(path, content=body(), headers=headers)
    assert reply.status_code == 401
