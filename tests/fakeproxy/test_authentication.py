from collections.abc import AsyncGenerator

import pytest

from tests.fakeproxy.world import ADMIN_KEY, Caller, World, a_world, assert_refused, exec_path

ON_A_PORT_TOO = True

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
HEADER_FAULTS = [
    (None, "Missing Authorization header"),
    ("", "Missing Authorization header"),
    ("Basic abc", FORMAT),
    ("bearer abc", FORMAT),
    ("BEARER abc", FORMAT),
    ("sk_live_abc", FORMAT),
    ("Bearer", FORMAT),
    ("Bearer  two-spaces", FORMAT),
    ("Bearer two words", FORMAT),
]


@pytest.mark.parametrize(("method", "path"), USER_ROUTES + ADMIN_ROUTES)
@pytest.mark.parametrize(("header", "message"), HEADER_FAULTS)
async def test_a_faulty_header_is_401_on_every_route(
    world: World, method: str, path: str, header: str | None, message: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    reply = await world.nobody(method, path, headers=headers)
    assert_refused(reply, 401, "Unauthorized", message)


@pytest.mark.parametrize(("method", "path"), USER_ROUTES + ADMIN_ROUTES)
async def test_a_scheme_without_a_key_is_401_on_every_route(method: str, path: str) -> None:
    # In process only: on a port, httpx does not send a header that ends in a space.
    async with a_world() as world:
        reply = await world.nobody(method, path, headers={"Authorization": "Bearer "})
        assert_refused(reply, 401, "Unauthorized", FORMAT)


@pytest.mark.parametrize("after", [" ", "\t", " \t  "])
async def test_blanks_after_a_key_are_stripped(after: str) -> None:
    # In process only: on a port, httpx refuses to send them. The contract sends them there.
    for as_deployed in (False, True):
        async with a_world(as_deployed=as_deployed) as world:
            alice = await world.user("alice")
            for key, path in ((alice.key, "/api/me"), (ADMIN_KEY, "/api/admin/users")):
                caller = Caller(world.http, f"{key}{after}")
                assert (await caller("GET", path)).status_code == 200


@pytest.mark.parametrize("header", [" ", "\t", " \t"])
async def test_a_header_of_blanks_is_a_missing_one(header: str) -> None:
    async with a_world() as world:
        reply = await world.nobody("GET", "/api/me", headers={"Authorization": header})
        assert_refused(reply, 401, "Unauthorized", "Missing Authorization header")


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
@pytest.mark.parametrize("key", ["sk_live_" + "x" * 32, ADMIN_KEY, "\xff\xfe"])
async def test_an_unknown_key_is_401_on_every_user_route(
    world: World, method: str, path: str, key: str
) -> None:
    sent = [(b"Authorization", b"Bearer " + key.encode("latin-1"))]
    reply = await world.http.request(method, path, headers=sent)
    assert_refused(reply, 401, "Unauthorized", "Invalid API key")


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
async def test_only_the_admin_key_opens_an_admin_route(
    world: World, alice: Caller, method: str, path: str
) -> None:
    for caller in (alice, Caller(world.http, "sk_live_unknown"), Caller(world.http, "\xff")):
        reply = await world.http.request(
            method,
            path,
            headers=[(b"Authorization", b"Bearer " + str(caller.key).encode("latin-1"))],
        )
        assert_refused(reply, 403, "Forbidden", "Invalid admin API key")


async def revoke(world: World, username: str) -> None:
    path = f"/api/admin/users/{world.users[username]}/apikeys"
    for key in (await world.admin("GET", path)).json()["api_keys"]:
        await world.admin("DELETE", f"/api/admin/apikeys/{key['id']}")


async def set_active(world: World, username: str, *, active: bool) -> None:
    path = f"/api/admin/users/{world.users[username]}"
    await world.admin("PUT", path, {"is_active": active})


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
async def test_a_revoked_key_opens_nothing(
    world: World, alice: Caller, method: str, path: str
) -> None:
    await revoke(world, "alice")
    assert_refused(await alice(method, path), 401, "Unauthorized", "API key is inactive")


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
async def test_a_deactivated_user_gets_nothing(
    world: World, alice: Caller, method: str, path: str
) -> None:
    await set_active(world, "alice", active=False)
    assert_refused(await alice(method, path), 401, "Unauthorized", "User account is inactive")


async def test_a_user_activated_again_gets_in(world: World, alice: Caller) -> None:
    await set_active(world, "alice", active=False)
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
