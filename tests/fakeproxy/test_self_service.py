from tests.fakeproxy.fake_app import Client, FakeApp, assert_error

KEYS = "/api/me/apikeys"
NO_ID = "00000000-0000-4000-8000-000000000000"


async def test_me_returns_the_user_of_the_key(fake: FakeApp, alice: Client) -> None:
    reply = await alice.request("GET", "/api/me")
    assert reply.status_code == 200
    user = {"id": fake.users["alice"], "username": "alice", "email": None}
    assert reply.json() == {"user": user}


async def test_a_user_makes_another_key_and_it_opens(fake: FakeApp, alice: Client) -> None:
    reply = await alice.request("POST", KEYS, {"name": "second"})
    assert reply.status_code == 201
    second = Client(fake.http, reply.json()["api_key"])
    assert (await second.request("GET", "/api/me")).json()["user"]["username"] == "alice"


async def test_a_user_lists_only_the_own_keys(alice: Client, bob: Client) -> None:
    await alice.request("POST", KEYS, {"name": "second"})
    listed = (await alice.request("GET", KEYS)).json()
    assert listed["count"] == 2
    assert [key["name"] for key in listed["api_keys"]] == ["second", None]


async def test_revoking_the_key_in_use_works(alice: Client) -> None:
    key_id = (await alice.request("GET", KEYS)).json()["api_keys"][0]["id"]
    reply = await alice.request("DELETE", f"{KEYS}/{key_id}")
    assert reply.status_code == 200
    assert reply.json() == {"success": True, "message": "API key revoked successfully"}
    assert_error(await alice.request("GET", KEYS), 401, "Unauthorized", "API key is inactive")


async def test_another_users_key_is_403(alice: Client, bob: Client) -> None:
    key_id = (await alice.request("GET", KEYS)).json()["api_keys"][0]["id"]
    reply = await bob.request("DELETE", f"{KEYS}/{key_id}")
    assert_error(reply, 403, "Forbidden", "You do not own this API key")
    assert (await alice.request("GET", "/api/me")).status_code == 200


async def test_an_unknown_key_is_404_and_an_id_that_is_none_400(alice: Client) -> None:
    reply = await alice.request("DELETE", f"{KEYS}/{NO_ID}")
    assert_error(reply, 404, "Not Found", "API key not found")
    assert (await alice.request("DELETE", f"{KEYS}/1")).status_code == 400
