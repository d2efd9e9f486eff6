from collections.abc import AsyncGenerator

import pytest

from tests.fakeproxy.world import ADMIN_KEY, Caller, World, assert_refused, exec_path

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
    ("GET", "/_fake/journal"),
    ("GET", "/_fake/state"),
    ("PUT", "/_fake/seed"),
    ("PUT", "/_fake/sandboxes/alice/box/fate"),
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
async def test_a_faulty_header_is_401(world: World, header: str, message: str) -> None:
    reply = await world.nobody("GET", "/api/me", headers={"Authorization": header})
    assert_refused(reply, 401, "Unauthorized", message)


@pytest.mark.parametrize(("method", "path"), USER_ROUTES + ADMIN_ROUTES)
async def test_every_route_needs_a_header(world: World, method: str, path: str) -> None:
    reply = await world.nobody(method, path)
    assert_refused(reply, 401, "Unauthorized", "Missing Authorization header")


@pytest.mark.parametrize("after", [" ", "\t", " \t  "])
async def test_blanks_after_a_key_are_stripped(world: World, alice: Caller, after: str) -> None:
    for key, path in ((alice.key, "/api/me"), (ADMIN_KEY, "/api/admin/users")):
        reply = await world.nobody("GET", path, headers={"Authorization": f"Bearer {key}{after}"})
        assert reply.status_code == 200


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
async def test_every_user_route_needs_a_users_key(world: World, method: str, path: str) -> None:
    reply = await world.admin(method, path)
    assert_refused(reply, 401, "Unauthorized", "Invalid API key")


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
async def test_every_admin_route_needs_the_admin_key(
    world: World, alice: Caller, method: str, path: str
) -> None:
    reply = await alice(method, path)
    assert_refused(reply, 403, "Forbidden", "Invalid admin API key")


@pytest.mark.parametrize("key", [b"sk_live_" + b"x" * 32, b"\xff\xfe"])
async def test_an_unknown_key_opens_nothing(world: World, key: bytes) -> None:
    headers = [(b"Authorization", b"Bearer " + key)]  # as bytes: no text may hold all of them
    reply = await world.http.get("/api/me", headers=headers)
    assert_refused(reply, 401, "Unauthorized", "Invalid API key")
    reply = await world.http.get("/api/admin/users", headers=headers)
    assert_refused(reply, 403, "Forbidden", "Invalid admin API key")


async def revoke(world: World, username: str) -> None:
    path = f"/api/admin/users/{world.users[username]}/apikeys"
    for key in (await world.admin("GET", path)).json()["api_keys"]:
        await world.admin("DELETE", f"/api/admin/apikeys/{key['id']}")


async def set_active(world: World, username: str, *, active: bool) -> None:
    path = f"/api/admin/users/{world.users[username]}"
    await world.admin("PUT", path, {"is_active": active})


async def test_a_revoked_key_opens_nothing(world: World, alice: Caller) -> None:
    await revoke(world, "alice")
    reply = await alice("GET", "/api/me")
    assert_refused(reply, 401, "Unauthorized", "API key is inactive")


async def test_a_deactivated_user_is_refused_until_activated_again(
    world: World, alice: Caller
) -> None:
    await set_active(world, "alice", active=False)
    reply = await alice("GET", "/api/me")
    assert_refused(reply, 401, "Unauthorized", "User account is inactive")
    await set_active(world, "alice", active=True)
    assert (await alice("GET", "/api/me")).status_code == 200


async def test_a_key_opens_until_the_instant_of_its_expiry(world: World, alice: Caller) -> None:
    late = Caller(world.http, await world.key("alice", expires_at="2026-01-01T01:00:00Z"))
    world.clock.advance(3599.999999)
    assert (await late("GET", "/api/me")).status_code == 200
    world.clock.advance(0.000001)
    reply = await late("GET", "/api/me")
    assert_refused(reply, 401, "Unauthorized", "API key has expired")


async def test_an_expiry_in_the_past_is_accepted_and_the_key_expired(
    world: World, alice: Caller
) -> None:
    late = Caller(world.http, await world.key("alice", expires_at="2020-01-01"))
    reply = await late("GET", "/api/me")
    assert_refused(reply, 401, "Unauthorized", "API key has expired")


async def test_revoked_is_said_before_inactive_and_inactive_before_expired(
    world: World, alice: Caller
) -> None:
    late = Caller(world.http, await world.key("alice", expires_at="2020-01-01"))
    await set_active(world, "alice", active=False)
    assert (await late("GET", "/api/me")).json()["message"] == "User account is inactive"
    await revoke(world, "alice")
    assert (await late("GET", "/api/me")).json()["message"] == "API key is inactive"


async def test_the_key_of_a_deleted_user_is_unknown(world: World, alice: Caller) -> None:
    await world.admin("DELETE", f"/api/admin/users/{world.users['alice']}")
    assert_refused(await alice("GET", "/api/me"), 401, "Unauthorized", "Invalid API key")


@pytest.mark.parametrize("key", ["", "two words", "é", "line\n"])
async def test_an_admin_key_that_no_header_can_carry_is_refused(key: str) -> None:
    from sandbox_fakeproxy import ScriptedRuntime, create_app  # noqa: PLC0415  (beside its use)

    with pytest.raises(ValueError, match="admin key must be printable ASCII"):
        create_app(admin_key=key, runtime=ScriptedRuntime())


@pytest.mark.parametrize("path", ["/api/sandboxes", "/api/me/apikeys"])
@pytest.mark.parametrize("fate", ["deleted", "deactivated"])
async def test_a_user_who_goes_while_the_body_arrives_is_refused(
    world: World, alice: Caller, path: str, fate: str
) -> None:
    user = f"/api/admin/users/{world.users['alice']}"

    async def body() -> AsyncGenerator[bytes]:
        yield b'{"name": '
        if fate == "deleted":
            await world.admin("DELETE", user)
        else:
            await world.admin("PUT", user, {"is_active": False})
        yield b'"box"}'

    headers = {"Authorization": f"Bearer {alice.key}", "Content-Type": "application/json"}
    reply = await world.http.post(path, content=body(), headers=headers)
    assert reply.status_code == 401
