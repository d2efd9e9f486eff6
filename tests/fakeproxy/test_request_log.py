"""`GET /_fake/requests`: the last requests, their bodies on demand, and never a key."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sandbox_fakeproxy import ManualClock
from sandbox_fakeproxy.api.request_log import RequestLog
from starlette.types import Message

from tests.fakeproxy.fake_app import ADMIN_KEY, Client, FakeApp, assert_error, fake_app

REQUESTS = "/_fake/requests"


async def requests(fake: FakeApp, query: str = "") -> list[dict[str, Any]]:
    reply = await fake.admin.request("GET", f"{REQUESTS}{query}")
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
        "fault": None,
    }
    assert fake.app.state.fake.requests(limit=1)[0].items() >= noted.items()


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
    reply = await fake.admin.request("GET", f"{REQUESTS}?limit={limit}")
    message = f"limit has value '{limit}'. Expected a number, 0 or more"
    assert_error(reply, 400, "Bad Request", message)


async def test_requests_below_fake_are_left_out(fake: FakeApp) -> None:
    await fake.admin.request("POST", "/_fake/clock/advance", {"seconds": 1})
    assert await requests(fake) == []


def test_a_thousand_are_kept() -> None:
    log = RequestLog(ManualClock(), ADMIN_KEY)
    for number in range(1001):
        log.begin({"type": "http", "method": "GET", "path": f"/{number}"})
    assert [each["path"] for each in log.find()] == [f"/{n}" for n in range(1000, 0, -1)]


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
        assert fake.app.state.fake.requests(limit=1)[0]["status"] == 500


async def test_a_foreign_host_is_noted_too() -> None:
    async with fake_app(allowed_hosts=["fake"]) as fake:
        await fake.anonymous.request("GET", "/health", headers={"Host": "evil.example"})
        (noted,) = await requests(fake)
        assert (noted["status"], noted["route"]) == (400, None)


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
    said = (await fake.admin.request("GET", REQUESTS)).text
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
        (noted,) = fake.app.state.fake.requests()
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
        hidden, route = fake.app.state.fake.requests()
        assert route["path"] == "/api/admin/users"
        assert admin_key not in hidden["path"]


# Filters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ("method=POST&user=alice", [201]),
        ("route=/api/me", [401, 200]),
        ("route=/api/sandboxes/{name}", [200, 403]),
        ("route=/api/sandboxes/box", [200]),
        ("user=alice", [200, 200, 403, 201]),
        ("user=nobody", list[int]()),
        ("status=403", [403]),
        ("since=2026-01-01T00:00:05Z", [401, 200]),
        ("since=2026-01-01T01:00:05%2B01:00&user=alice", [200]),
        ("method=GET&status=200&limit=1", [200]),
    ],
)
async def test_a_query_chooses_requests(
    fake: FakeApp, alice: Client, query: str, statuses: list[int]
) -> None:
    await alice.request("POST", "/api/sandboxes", {"name": "box"})
    await alice.request("GET", "/api/sandboxes/other")
    await alice.request("GET", "/api/sandboxes/box")
    fake.app.state.fake.advance(5)
    await alice.request("GET", "/api/me")
    await fake.anonymous.request("GET", "/api/me")
    assert [each["status"] for each in await requests(fake, f"?{query}")] == statuses


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("routes=/", "Unknown query 'routes'. Expected some of: limit, method, route, since,"),
        ("json={}", "Unknown query 'json'. Expected some of: limit, method, route, since,"),
        ("status=ok", "status has value 'ok'. Expected a number, 0 or more"),
        ("since=now", "since has value 'now'. Expected a time such as 2026-01-31T12:00:00Z"),
        ("since=2026-01-01", "since has value '2026-01-01'. Expected a time such as"),
    ],
)
async def test_a_query_that_is_unknown_or_wrong_is_refused(
    fake: FakeApp, query: str, message: str
) -> None:
    reply = await fake.admin.request("GET", f"{REQUESTS}?{query}")
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(message)


async def test_the_old_name_answers_too(fake: FakeApp, alice: Client) -> None:
    await alice.request("GET", "/api/me")
    old = await fake.admin.request("GET", "/_fake/journal?route=/api/me")
    assert old.json() == (await fake.admin.request("GET", f"{REQUESTS}?route=/api/me")).json()


# Bodies ------------------------------------------------------------------------------------------


@pytest.fixture
async def logging_bodies() -> AsyncGenerator[FakeApp]:
    async with fake_app(log_bodies=True) as fake:
        yield fake


async def test_bodies_and_queries_are_kept_on_demand(logging_bodies: FakeApp) -> None:
    alice = await logging_bodies.new_user("alice")
    await alice.request("POST", "/api/sandboxes?a=b", {"name": "box"})
    await alice.request("POST", "/api/sandboxes", content=b"\xff<xml/>")
    await alice.request("GET", "/api/me")
    me, text, created = await requests(logging_bodies, "?limit=3")
    assert (created["query"], created["request_body"]) == ("a=b", {"name": "box"})
    assert created["response_body"]["success"] is True
    assert (text["request_body"], text["request_bytes"]) == ("\\xff<xml/>", 7)
    assert (me["query"], me["request_body"], me["request_bytes"]) == ("", None, 0)


@pytest.mark.parametrize("body", [b"1" * 30, b'{"name":"\\ud800"}', b"[" * 300 + b"]" * 300])
async def test_json_that_no_reply_could_repeat_is_shown(
    logging_bodies: FakeApp, body: bytes
) -> None:
    await logging_bodies.anonymous.request("POST", "/", content=body)
    (noted,) = await requests(logging_bodies)
    assert noted["request_bytes"] == len(body)


async def test_any_route_may_be_asked_for(fake: FakeApp) -> None:
    await fake.anonymous.request("GET", "/x/1/1")
    assert len(await requests(fake, "?route=/x/{a}/{a}")) == 1
    assert len(await requests(fake, "?route=/{name}/{name}/{1}")) == 1


async def test_a_large_body_is_not_kept(logging_bodies: FakeApp) -> None:
    for size in (65536, 65537):
        await logging_bodies.anonymous.request("POST", "/", content=b"x" * size)
    large, kept = await requests(logging_bodies)
    assert (large["request_body"], large["request_bytes"]) == (None, 65537)
    assert kept["request_body"] == "x" * 65536


@pytest.mark.parametrize("shown", [1, 4, 7, 10, 25, 39])
async def test_a_query_that_is_cut_shows_no_beginning_of_a_key(
    logging_bodies: FakeApp, shown: int
) -> None:
    for key in ("sk_live_" + "k" * 32, ADMIN_KEY):
        await logging_bodies.anonymous.request("GET", f"/?{'y' * (2000 - shown)}{key}")
    for noted in await requests(logging_bodies):
        assert len(noted["query"]) <= 2000
        assert noted["query"].rstrip("*").strip("y") == ""


async def test_an_admin_key_of_digits_is_masked_as_a_number_too() -> None:
    async with fake_app(admin_key="20260131", log_bodies=True) as fake:
        await fake.anonymous.request("POST", "/", {"pin": 20260131, "pins": [1.20260131]})
        (noted,) = fake.app.state.fake.requests()
        assert noted["request_body"] == {"pin": "***", "pins": ["***"]}


async def test_keys_are_masked_in_bodies_and_queries(logging_bodies: FakeApp) -> None:
    alice = await logging_bodies.new_user("alice")
    made = (await alice.request("POST", "/api/me/apikeys", {"name": alice.key})).json()["api_key"]
    assert alice.key is not None
    for key in (alice.key, made, ADMIN_KEY):
        escaped = key.replace("_", "\\u005f").replace("-", "\\u002d")
        command = json.dumps({"command": f'curl -d {{"key": "{escaped}"}}'})
        bodies = [
            command,
            f"key={key}",
            json.dumps({key: [key]}),
            f'"{escaped}"',
            key.replace("_", "%5F"),
        ]
        for body in bodies:
            await alice.request("POST", f"/api/x?k={key}", content=body.encode())
    said = (await logging_bodies.admin.request("GET", REQUESTS)).text
    for key in (alice.key, made, ADMIN_KEY):
        assert key[8:] not in said
    assert '{"***":["***"]}' in said


# In process --------------------------------------------------------------------------------------


async def test_requests_are_found_by_their_json(logging_bodies: FakeApp) -> None:
    alice = await logging_bodies.new_user("alice")
    for name in ("a", "b"):
        await alice.request("POST", "/api/sandboxes", {"name": name})
    fake = logging_bodies.app.state.fake
    (found,) = fake.requests(json={"name": "b"})
    assert found["request_body"] == {"name": "b"}
    assert fake.requests(json=None) == []
    fake.assert_requested("POST", "/api/sandboxes", json={"name": "a"}, times=1)


async def test_json_needs_a_log_with_bodies(fake: FakeApp) -> None:
    with pytest.raises(ValueError, match=r"the log keeps no bodies.*log_bodies=True"):
        fake.app.state.fake.assert_requested("POST", "/api/sandboxes", json={})


async def test_assert_requested_counts_what_fits(fake: FakeApp, alice: Client) -> None:
    proxy = fake.app.state.fake
    for _ in range(2):
        await alice.request("GET", "/api/me")
    proxy.assert_requested("GET", "/api/me")
    proxy.assert_requested("GET", "/api/me", times=2, user="alice", status=200)
    proxy.assert_requested("POST", "/api/me", times=0)
    for times in (0, 1, 3):
        with pytest.raises(AssertionError, match="but there were 2"):
            proxy.assert_requested("GET", "/api/me", times=times)


async def test_a_failed_assertion_shows_the_closest_requests(logging_bodies: FakeApp) -> None:
    alice = await logging_bodies.new_user("alice")
    await alice.request("GET", "/api/me")
    await alice.request("POST", "/api/sandboxes", {"name": "box"})
    with pytest.raises(AssertionError) as failed:
        logging_bodies.app.state.fake.assert_requested(
            "POST", "/api/sandboxes", json={"name": "other"}, user="alice"
        )
    lines = str(failed.value).splitlines()
    assert lines[0] == (
        "expected at least one request POST /api/sandboxes, but there were 0. Closest requests:"
    )
    assert lines[1] == "  201 POST /api/sandboxes (alice): another json {'name': 'box'}"
    assert "  200 GET /api/me (alice): another method, route, json" in lines


async def test_without_any_request_the_failed_assertion_says_so(fake: FakeApp) -> None:
    with pytest.raises(AssertionError, match=r"there were 0\. No request was made at all\.$"):
        fake.app.state.fake.assert_requested("GET", "/health")


async def test_wait_for_request_returns_a_request_once_it_is_over(fake: FakeApp) -> None:
    proxy = fake.app.state.fake
    waiting = asyncio.ensure_future(proxy.wait_for_request("GET", "/health"))
    await fake.anonymous.request("GET", "/nothing")
    await fake.anonymous.request("GET", "/health")
    assert (await asyncio.wait_for(waiting, 10))["status"] == 200
    assert (await proxy.wait_for_request("GET", "/health"))["status"] == 200


async def test_wait_for_request_ends_in_time(fake: FakeApp) -> None:
    await fake.anonymous.request("GET", "/health")
    with pytest.raises(TimeoutError) as failed:
        await fake.app.state.fake.wait_for_request("POST", "/health", within=0.01)
    first, closest = str(failed.value).splitlines()
    assert first == "no request POST /health was over within 0.01 s. Closest requests:"
    assert closest == "  200 GET /health (None): another method"


async def test_wait_for_request_shows_the_request_that_is_under_way(fake: FakeApp) -> None:
    fake.app.state.fake.faults.add(do="hang")
    hanging = asyncio.ensure_future(fake.anonymous.request("GET", "/health"))
    with pytest.raises(TimeoutError, match=r"GET /health .*: as expected, but not over yet"):
        await fake.app.state.fake.wait_for_request("GET", "/health", within=0.01)
    hanging.cancel()
    await asyncio.wait({hanging})
