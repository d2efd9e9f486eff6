from tests.fakeproxy.world import Caller, World, assert_refused

KEYS = "/api/me/apikeys"
NO_ID = "00000000-0000-4000-8000-000000000000"


async def test_a_user_asks_who_they_are(world: World, alice: Caller) -> None:
    reply = await alice("GET", "/api/me")
    assert reply.status_code == 200
    user = {"id": world.users["alice"], "username": "alice", "email": None}
    assert reply.json() == {"user": user}


async def test_a_user_makes_another_key_and_it_opens(world: World, alice: Caller) -> None:
    reply = await alice("POST", KEYS, {"name": "second"})
    assert reply.status_code == 201
    second = Caller(world.http, reply.json()["api_key"])
    assert (await second("GET", "/api/me")).json()["user"]["username"] == "alice"


async def test_a_user_lists_only_the_own_keys(alice: Caller, bob: Caller) -> None:
    await alice("POST", KEYS, {"name": "second"})
    listed = (await alice("GET", KEYS)).json()
    assert listed["count"] == 2
    assert [key["name"] for key in listed["api_keys"]] == ["second", None]


async def test_revoking_the_key_in_use_works(alice: Caller) -> None:
    key_id = (await alice("GET", KEYS)).json()["api_keys"][0]["id"]
    reply = await alice("DELETE", f"{KEYS}/{key_id}")
    assert reply.status_code == 200
    assert reply.json() == {"success": True, "message": "API key revoked successfully"}
    assert_refused(await alice("GET", KEYS), 401, "Unauthorized", "API key is inactive")


async def test_another_users_key_is_403(alice: Caller, bob: Caller) -> None:
    key_id = (await alice("GET", KEYS)).json()["api_keys"][0]["id"]
    reply = await bob("DELETE", f"{KEYS}/{key_id}")
    assert_refused(reply, 403, "Forbidden", "You do not own this API key")
    assert (await alice("GET", "/api/me")).status_code == 200


async def test_an_unknown_key_is_404_and_an_id_that_is_none_400(alice: Caller) -> None:
    reply = await alice("DELETE", f"{KEYS}/{NO_ID}")
    assert_refused(reply, 404, "Not Found", "API key not found")
    assert (await alice("DELETE", f"{KEYS}/1")).status_code == 400
