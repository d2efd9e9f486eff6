"""`PUT /_fake/seed`, `GET /_fake/state` and `POST /_fake/reset`: set, show and clear all state."""

import json
import re
from random import Random
from typing import Any

import pytest
from sandbox_fakeproxy import InvalidDocument, ScriptedRuntime

from tests.fakeproxy.fake_app import ADMIN_KEY, Client, FakeApp, fake_app

SEED = "/_fake/seed"
KEY = "sk_live_" + "k" * 32
ALICE: dict[str, Any] = {
    "username": "alice",
    "email": "alice@example.org",
    "keys": [
        {"key": KEY, "name": "known"},
        {"name": "made"},
        {"key": "sk_live_" + "r" * 32, "is_active": False},
        {"key": "sk_live_" + "x" * 32, "expires_at": "2020-01-01T00:00:00Z"},
    ],
    "sandboxes": [
        {"name": "ready"},
        {"name": "paused", "state": "paused"},
        {"name": "starting", "state": "starting", "image": "mine:1"},
        {"name": "pending", "state": "pending"},
        {"name": "created", "state": "created"},
        {"name": "failed", "failure_mode": "failed"},
        {"name": "expired", "image": "fake/expired"},
        {"name": "mended", "image": "fake/expired", "failure_mode": "running"},
        {"name": "vanished", "failure_mode": "vanished"},
        {"name": "failed-later", "state": "created", "failure_mode": "failed"},
    ],
}
PHASES = {
    "ready": "ready",
    "paused": "paused",
    "starting": "starting",
    "pending": "pending",
    "created": "created",
    "failed": "failed",
    "expired": "expired",
    "mended": "ready",
    "vanished": "vanished",
    "failed-later": "created",
}


async def state(fake: FakeApp) -> dict[str, Any]:
    reply = await fake.admin.request("GET", "/_fake/state")
    assert reply.status_code == 200
    body: dict[str, Any] = reply.json()
    return body


async def plant(fake: FakeApp, *users: dict[str, Any]) -> dict[str, Any]:
    reply = await fake.admin.request("PUT", SEED, {"users": users})
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def test_a_document_replaces_all_state(fake: FakeApp) -> None:
    await fake.new_user("bob")
    made = await plant(fake, ALICE, {"username": "carol", "is_active": False, "keys": [{}]})
    assert made["success"] is True
    assert [user["username"] for user in made["users"]] == ["alice", "carol"]
    keys = [key["api_key"] for key in made["users"][0]["keys"]]
    assert keys[0] == KEY
    assert re.fullmatch(r"sk_live_[A-Za-z0-9_-]{32}", keys[1])
    assert [box["name"] for box in made["users"][0]["sandboxes"]] == list(PHASES)
    users = (await fake.admin.request("GET", "/api/admin/users")).json()["users"]
    assert [user["username"] for user in users] == ["carol", "alice", "admin"]
    for key in keys[:2]:
        me = (await Client(fake.http, key).request("GET", "/api/me")).json()["user"]
        assert (me["username"], me["email"]) == ("alice", "alice@example.org")
    carol = made["users"][1]["keys"][0]["api_key"]
    for key, message in (
        (keys[2], "API key is inactive"),
        (keys[3], "API key has expired"),
        (carol, "User account is inactive"),
    ):
        assert (await Client(fake.http, key).request("GET", "/api/me")).json()["message"] == message


async def test_seeded_sandboxes_are_at_once_as_far_as_the_document_says(fake: FakeApp) -> None:
    await plant(fake, ALICE)
    alice = Client(fake.http, KEY)
    (user, _) = (await state(fake))["users"]
    assert {box["name"]: box["phase"] for box in user["sandboxes"]} == PHASES
    paused = (await alice.request("GET", "/api/sandboxes/paused")).json()
    assert (paused["ready"], paused["replicas"]) == (True, 0)
    starting = (await alice.request("GET", "/api/sandboxes/starting")).json()
    assert starting["readyMessage"] == "Pod is Running but not Ready; Service Exists"
    fake.clock.advance(2)
    (user, _) = (await state(fake))["users"]
    later = dict.fromkeys(("starting", "pending", "created"), "ready")
    assert {box["name"]: box["phase"] for box in user["sandboxes"]} == {
        **PHASES,
        **later,
        "failed-later": "failed",
    }


async def test_without_delays_seeded_sandboxes_are_ready_too() -> None:
    async with fake_app(ready_after=0, reconcile_delay=0) as fake:
        await plant(fake, ALICE)
        (user, _) = (await state(fake))["users"]
        phases = {box["name"]: box["phase"] for box in user["sandboxes"]}
        assert phases["ready"] == phases["created"] == "ready"
        assert (phases["paused"], phases["failed"]) == ("paused", "failed")


async def test_the_state_shows_all_there_is_but_no_secret(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    await fake.set_failure_mode("failed")
    shown = await state(fake)
    assert shown["now"] == "2026-01-01T00:00:02.000Z"
    assert shown["profile"] == "v1alpha1"
    assert shown["counts"] == {"users": 2, "keys": 1, "sandboxes": 1}
    (user, admin) = shown["users"]
    assert admin["username"] == "admin"
    assert user["username"] == "alice"
    assert user["keys"][0]["key_prefix"] == str(alice.key)[:12]
    assert user["sandboxes"][0] == {
        "id": fake.sandbox_id("alice"),
        "name": "box",
        "image": "ghcr.io/agent-infra/sandbox:latest",
        "failure_mode": "failed",
        "phase": "ready",
        "ready": True,
        "is_paused": False,
        "created_at": "2026-01-01T00:00:00.000Z",
        "changed_at": "2026-01-01T00:00:02.000Z",
    }
    for secret in (str(alice.key), ADMIN_KEY):
        assert secret not in json.dumps(shown)


async def test_a_reset_forgets_all_but_the_time(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    sandbox_id = fake.sandbox_id("alice")
    reply = await fake.admin.request("POST", "/_fake/reset")
    assert reply.status_code == 200
    shown = await state(fake)
    assert shown["counts"] == {"users": 1, "keys": 0, "sandboxes": 0}
    assert shown["users"][0]["username"] == "admin"
    assert shown["now"] == "2026-01-01T00:00:02.000Z"
    assert (await fake.admin.request("GET", "/_fake/requests")).json()["count"] == 0
    assert isinstance(fake.runtime, ScriptedRuntime)
    assert fake.runtime.removed == [sandbox_id]
    assert (await alice.request("GET", "/api/me")).status_code == 401
    again = await fake.new_user("alice")
    assert (await again.request("POST", "/api/sandboxes", {"name": "box"})).status_code == 201


async def test_ids_and_keys_are_reproducible_over_resets_too() -> None:
    worlds: list[Any] = []
    for _ in range(2):
        async with fake_app(random=Random(7)) as fake:  # noqa: S311  (to be foretold)
            for _ in range(2):
                made = await plant(fake, ALICE)
                await fake.admin.request("POST", "/_fake/reset")
                bob = await fake.new_user("bob")
                worlds.append([made, bob.key, fake.users["bob"]])
    assert worlds[:2] == worlds[2:]


@pytest.mark.parametrize("forgetting", ["reset", "seed"])
async def test_a_forgotten_key_does_not_open_a_later_user(
    forgetting: str,
) -> None:
    async with fake_app(random=Random(7)) as fake:  # noqa: S311  (to be foretold)
        alice = await fake.new_user("alice")
        if forgetting == "reset":
            await fake.admin.request("POST", "/_fake/reset")
            await fake.new_user("carol")
        else:
            await keys_of_bob(fake, {})
        assert (await alice.request("GET", "/api/me")).status_code == 401


async def test_no_key_is_made_that_the_document_gives() -> None:
    async with fake_app(random=Random(7)) as fake:  # noqa: S311  (to be foretold)
        (foretold,) = await keys_of_bob(fake, {})
    async with fake_app(random=Random(7)) as fake:  # noqa: S311  (ditto)
        made, given = await keys_of_bob(fake, {}, {"key": foretold["api_key"]})
        assert given["api_key"] == foretold["api_key"]
        assert made["api_key"] != foretold["api_key"]


async def keys_of_bob(fake: FakeApp, *keys: dict[str, Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]]
    made = (await plant(fake, {"username": "bob", "keys": keys}))["users"][0]["keys"]
    return made


async def test_a_seed_that_fails_half_way_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fake_app(random=Random(7)) as fake:  # noqa: S311  (to be foretold)
        alice = await fake.new_user("alice")
        await fake.ready_sandbox(alice)
        await alice.request("GET", "/api/sandboxes")
        before = (await state(fake), fake.app.state.fake.requests())
        with monkeypatch.context() as patched:
            patched.setattr(fake.store, "add_sandbox", refuse)
            with pytest.raises(OSError, match="no room"):
                await fake.app.state.fake.seed({"users": [ALICE]})
        assert (await state(fake), fake.app.state.fake.requests()) == before
        assert isinstance(fake.runtime, ScriptedRuntime)
        assert fake.runtime.removed == []
        assert (await alice.request("POST", "/api/me/apikeys", {})).status_code == 201
        assert (await plant(fake, ALICE))["success"] is True


def refuse(_sandbox: object) -> None:
    raise OSError("no room")


async def test_without_a_seed_no_key_is_made_twice(fake: FakeApp) -> None:
    keys = {(await plant(fake, ALICE))["users"][0]["keys"][1]["api_key"] for _ in range(3)}
    assert len(keys) == 3


async def test_the_admin_may_be_in_the_document(fake: FakeApp) -> None:
    await plant(fake, {"username": "admin", "keys": [{"key": KEY}]})
    assert (await state(fake))["counts"]["users"] == 1
    me = (await Client(fake.http, KEY).request("GET", "/api/me")).json()["user"]
    assert me["username"] == "admin"


async def test_a_large_document_is_accepted_with_any_content_type(fake: FakeApp) -> None:
    users: list[Any] = [
        {"username": f"u{n}", "email": "e" * 250, "keys": [{}], "sandboxes": [{"name": "box"}]}
        for n in range(400)
    ]
    content = json.dumps({"users": users}).encode()
    assert len(content) > 100 * 1024
    reply = await fake.admin.request("PUT", SEED, content=content)
    assert reply.status_code == 200
    assert (await state(fake))["counts"] == {"users": 401, "keys": 400, "sandboxes": 400}


def user(**fields: Any) -> dict[str, Any]:
    return {"users": [{"username": "bob"}, {"username": "carol", **fields}]}


BAD: list[tuple[Any, str]] = [
    ([], "the document: expected an object"),
    (None, "the document: expected an object"),
    ({}, "users: required: a list, which may be empty"),
    ({"users": {}}, "users: expected a list"),
    ({"users": [], "sandboxes": []}, "the document.sandboxes: unknown field; expected some of: "),
    ({"users": ["bob"]}, "users[0]: expected an object"),
    ({"users": [{}]}, "users[0].username: username is required"),
    ({"users": [{"username": "B"}]}, "users[0].username: username must be a DNS label"),
    ({"users": [{"username": "b"}] * 2}, "users[1].username: has the same value as an earlier one"),
    (user(email=7), "users[1].email: email must be text"),
    (user(is_active="yes"), "users[1].is_active: expected true or false"),
    (user(name="x"), "users[1].name: unknown field; expected some of: email, is_active, keys,"),
    (user(keys={}), "users[1].keys: expected a list"),
    (user(keys=[{}, {"key": "sk_live_short"}]), "users[1].keys[1].key: expected sk_live_ and 32"),
    (user(keys=[{"key": 7}]), "users[1].keys[0].key: expected sk_live_ and 32"),
    (user(keys=[{"expires_at": "soon"}]), "users[1].keys[0].expires_at: expires_at must be an ISO"),
    (user(keys=[{"key": KEY}] * 2), "users[1].keys[1].key: has the same value as an earlier one"),
    (user(sandboxes=[{}]), "users[1].sandboxes[0].name: name is required"),
    (user(sandboxes=[{"name": "9"}]), "users[1].sandboxes[0].name: name must be a DNS label"),
    (user(sandboxes=[{"name": "a"}] * 2), "users[1].sandboxes[1].name: has the same value"),
    (user(sandboxes=[{"name": "a", "image": 7}]), "users[1].sandboxes[0].image: image must be"),
    (user(sandboxes=[{"name": "a", "state": "up"}]), "users[1].sandboxes[0].state: expected one"),
    (user(sandboxes=[{"name": "a", "state": []}]), "users[1].sandboxes[0].state: expected one of:"),
    (
        user(sandboxes=[{"name": "a", "failure_mode": "x"}]),
        "users[1].sandboxes[0].failure_mode: failure_mode must be one",
    ),
    (
        user(sandboxes=[{"name": f"a{n}"} for n in range(11)]),
        "users[1].sandboxes: expected at most 10",
    ),
]


@pytest.mark.parametrize(("document", "message"), BAD)
async def test_a_document_at_fault_is_400_with_the_place_and_changes_nothing(
    fake: FakeApp, alice: Client, document: Any, message: str
) -> None:
    await fake.ready_sandbox(alice)
    reply = await fake.admin.request("PUT", SEED, content=json.dumps(document).encode())
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(message)
    assert "short" not in reply.text  # from the malformed key
    assert (await alice.request("GET", "/api/sandboxes/box")).json()["ready"] is True
    with pytest.raises(InvalidDocument, match=re.escape(message)):
        await fake.app.state.fake.seed(document)


@pytest.mark.parametrize(
    "document",
    [
        {KEY: []},
        user(**{KEY: True}),
        user(keys=[{KEY: "laptop"}]),
        user(sandboxes=[{"name": "a", "failure_mode": KEY}]),
        user(keys=[{"expires_at": KEY}]),
        {"users": [{"username": KEY}]},
    ],
)
async def test_a_key_in_a_wrong_place_is_not_shown(fake: FakeApp, document: Any) -> None:
    reply = await fake.admin.request("PUT", SEED, document)
    assert reply.status_code == 400
    assert "kkk" not in reply.text


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"users: []"])
async def test_a_document_that_is_not_json_is_400(fake: FakeApp, content: bytes) -> None:
    reply = await fake.admin.request("PUT", SEED, content=content)
    assert reply.status_code == 400
    assert reply.json()["message"] == "the document: expected JSON"


async def test_a_user_is_added_in_process() -> None:
    async with fake_app() as fake:
        control = fake.app.state.fake
        alice = Client(fake.http, control.add_user("alice", email="a@example.org"))
        assert (await alice.request("GET", "/api/me")).json()["user"]["email"] == "a@example.org"
        with pytest.raises(ValueError, match="'alice' already exists"):
            control.add_user("alice")
        with pytest.raises(ValueError, match="DNS label"):
            control.add_user("Not A Label")
