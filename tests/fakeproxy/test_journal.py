"""`GET /_fake/journal`: the last requests, and never a key or a body."""

import asyncio
from typing import Any

import pytest
from sandbox_fakeproxy import ManualClock
from sandbox_fakeproxy._proxy.journal import Journal
from starlette.types import Message

from tests.fakeproxy.fake_app import ADMIN_KEY, Client, FakeApp, assert_error, fake_app

JOURNAL = "/_fake/journal"


async def requests(fake: FakeApp, query: str = "") -> list[dict[str, Any]]:
    reply = await fake.admin.request("GET", f"{JOURNAL}{query}")
    assert reply.status_code == 200
    body = reply.json()
    assert body["count"] == len(body["requests"])
    listed: list[dict[str, Any]] = body["requests"]
    return listed


async def test_a_request_is_noted_with_its_route_its_caller_and_its_answer(
    fake: FakeApp, alice: Client
) -> None:
    fake.clock.advance(1.5)
    await alice.request("GET", "/api/sandboxes/box?a=b")
    (noted, *_) = await requests(fake)
    assert noted.pop("milliseconds") >= 0
    assert noted == {
        "time": "2026-01-01T00:00:01.500Z",
        "method": "GET",
        "path": "/api/sandboxes/box",
        "route": "/api/sandboxes/{name}",
        "caller": "alice",
        "status": 403,
    }
    assert fake.app.state.fake.journal(1)[0].items() >= noted.items()


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/health", "/health"),
        ("GET", "/health/", "/health"),
        ("POST", "/api/sandboxes/a%2Fb/pause", "/api/sandboxes/{name}/pause"),
        ("PATCH", "/proxy/box/v1/a/b", "/proxy/{name}/{path}"),
        ("GET", "/api/nothing", None),
        ("GET", "/api/admin/nothing", None),
        ("HEAD", "/health", "/health"),
        ("HEAD", "/nothing", None),
    ],
)
async def test_the_route_is_its_template_and_an_unknown_one_none(
    fake: FakeApp, method: str, path: str, route: str | None
) -> None:
    await fake.anonymous.request(method, path)
    (noted,) = await requests(fake)
    assert (noted["method"], noted["path"], noted["route"]) == (method, path, route)


async def test_the_caller_is_admin_a_username_or_none(fake: FakeApp, alice: Client) -> None:
    await fake.admin.request("GET", "/api/admin/users")
    await alice.request("GET", "/api/me")
    await alice.request("GET", "/api/admin/users")
    await fake.anonymous.request("GET", "/api/me")
    listed = await requests(fake, "?limit=4")
    assert [each["caller"] for each in listed] == [None, None, "alice", "admin"]
    assert [each["status"] for each in listed] == [401, 403, 200, 200]


async def test_the_newest_come_first_and_only_so_many_as_asked(
    fake: FakeApp, alice: Client
) -> None:
    for name in ("a", "b", "c"):
        await alice.request("GET", f"/api/sandboxes/{name}")
    newest = [each["path"][-1] for each in await requests(fake, "?limit=2")]
    assert newest == ["c", "b"]
    assert await requests(fake, "?limit=0") == []
    assert len(await requests(fake)) == 5


@pytest.mark.parametrize("limit", ["-1", "x", "", "1.5", "1" * 10])
async def test_a_limit_is_a_number(fake: FakeApp, limit: str) -> None:
    reply = await fake.admin.request("GET", f"{JOURNAL}?limit={limit}")
    message = f"limit has value '{limit}'. Expected a number, 0 or more"
    assert_error(reply, 400, "Bad Request", message)


async def test_requests_below_fake_are_left_out(fake: FakeApp) -> None:
    await fake.admin.request("POST", "/_fake/clock/advance", {"seconds": 1})
    assert await requests(fake) == []


def test_a_thousand_are_kept() -> None:
    journal = Journal(ManualClock(), ADMIN_KEY)
    for number in range(1001):
        journal.begin({"type": "http", "method": "GET", "path": f"/{number}"})
    assert [each["path"] for each in journal.shown()] == [f"/{n}" for n in range(1000, 0, -1)]


async def test_a_request_under_way_is_there_without_a_status() -> None:
    reached, over = asyncio.Event(), asyncio.Event()

    async def upstream(_scope: object, _receive: object, _send: object) -> None:
        reached.set()
        await over.wait()

    async with fake_app(upstream=upstream) as fake:
        alice = await fake.new_user("alice")
        await fake.ready_sandbox(alice)
        asking = asyncio.ensure_future(alice.request("GET", "/proxy/box/mine"))
        await asyncio.wait_for(reached.wait(), 10)
        (noted, *_) = await requests(fake)
        assert (noted["status"], noted["milliseconds"]) == (None, None)
        assert noted["caller"] == "alice"
        over.set()
        assert (await asking).status_code == 502
        assert (await requests(fake))[0]["status"] == 502


async def test_a_defect_is_noted_as_500() -> None:
    async with fake_app() as fake:
        alice = await fake.new_user("alice")
        fake.store.close()
        with pytest.raises(Exception, match="closed database"):
            await alice.request("GET", "/api/me")
        assert fake.app.state.fake.journal(1)[0]["status"] == 500


async def test_a_foreign_host_is_noted_too() -> None:
    async with fake_app(allowed_hosts=["fake"]) as fake:
        await fake.anonymous.request("GET", "/health", headers={"Host": "evil.example"})
        (noted,) = await requests(fake)
        assert (noted["status"], noted["route"]) == (421, None)


async def test_no_key_and_no_body_gets_in(fake: FakeApp, alice: Client) -> None:
    made = (await alice.request("POST", "/api/me/apikeys", {"name": "the-body"})).json()
    encoded = alice.key.replace("_", "%5F") if alice.key else ""
    paths = [
        f"/api/sandboxes/{alice.key}",
        f"/api/sandboxes/x-{alice.key}-y?key={alice.key}",
        f"/proxy/box/{made['api_key']}/{ADMIN_KEY}",
        f"/{encoded}",
        f"/{ADMIN_KEY.replace('-', '%2D')}/{ADMIN_KEY}",
    ]
    for path in paths:
        await alice.request("GET", path)
        await fake.admin.request("GET", path)
    said = (await fake.admin.request("GET", JOURNAL)).text
    assert alice.key is not None
    for secret in (alice.key, alice.key[8:], made["api_key"][8:], ADMIN_KEY, "the-body", "%5F"):
        assert secret not in said
    shown = [each["path"] for each in await requests(fake, "?limit=10")]
    assert shown[::-2] == [
        "/api/sandboxes/***",
        "/api/sandboxes/x-***",
        "/proxy/box/***/***",
        "/***",
        "/***/***",
    ]


@pytest.mark.parametrize(
    ("admin_key", "encodings"),
    [
        *(("An-Admin-Key", encodings) for encodings in (0, 1, 2, 3, 12)),
        ("a%41b-secret", 0),
        ("a%41b-secret", 1),
        ("a/b-secret", 0),
        ("a/b-secret", 1),
    ],
)
async def test_a_key_is_masked_however_it_is_encoded(admin_key: str, encodings: int) -> None:
    key = admin_key if encodings else admin_key.upper()
    for _ in range(encodings):
        key = "".join(f"%{ord(character):02X}" for character in key)
    async with fake_app(admin_key=admin_key) as fake:
        await fake.app(
            {
                "type": "http",
                "method": "GET",
                "path": "/",
                "raw_path": f"/x/{key}"[:60_000].encode(),
                "query_string": b"",
                "headers": [],
            },
            nothing_more,
            ignore,
        )
        (noted,) = fake.app.state.fake.journal()
    assert noted["path"] in {"/x/***", "***"}


async def nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ignore(_message: Message) -> None:
    pass


@pytest.mark.parametrize("shown", [1, 4, 7, 10, 25, 39])
async def test_a_path_that_is_cut_shows_no_beginning_of_a_key(fake: FakeApp, shown: int) -> None:
    for key in ("sk_live_" + "k" * 32, ADMIN_KEY):
        await fake.anonymous.request("GET", "/x/" + "y" * (1997 - shown) + key)
        await fake.anonymous.request("GET", "/x/" + "y" * (1996 - shown) + "/" + key)
    for noted in await requests(fake):
        assert len(noted["path"]) <= 2000
        assert noted["path"].rstrip("*/").strip("/x").strip("y") == ""


@pytest.mark.parametrize("admin_key", ["admin", "users", "a/b", "api"])
async def test_an_admin_key_that_is_a_word_of_the_api_hides_no_route(admin_key: str) -> None:
    async with fake_app(admin_key=admin_key) as fake:
        await fake.anonymous.request("GET", "/api/admin/users")
        await fake.anonymous.request("GET", f"/x/{admin_key}")
        hidden, route = fake.app.state.fake.journal()
        assert route["path"] == "/api/admin/users"
        assert admin_key not in hidden["path"]
