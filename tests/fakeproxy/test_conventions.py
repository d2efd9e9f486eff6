import gzip
import re
from typing import Any

import pytest
from starlette.types import Message, Scope

from tests.fakeproxy.fake_app import ADMIN_KEY, Client, FakeApp, assert_error, fake_app

JSON = {"Content-Type": "application/json"}
BOX = b'{"name": "box"}'  # a body that is taken, where nothing else is wrong with it


async def test_health_needs_no_key(fake: FakeApp) -> None:
    reply = await fake.anonymous.request("GET", "/health")
    assert reply.status_code == 200
    assert reply.json() == {
        "status": "ok",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "database": "connected",
    }


async def test_health_admits_that_the_database_is_down(fake: FakeApp) -> None:
    fake.store.close()
    assert_error(
        await fake.anonymous.request("GET", "/health"),
        503,
        "Service Unavailable",
        "The database does not answer",
    )


async def test_a_reply_is_json_in_utf_8(fake: FakeApp) -> None:
    reply = await fake.anonymous.request("GET", "/health")
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("path", ["/health/", "/api/me/", "/api/sandboxes/"])
async def test_a_trailing_slash_is_tolerated(alice: Client, path: str) -> None:
    assert (await alice.request("GET", path)).status_code == 200


async def test_a_second_trailing_slash_is_not_tolerated(alice: Client) -> None:
    assert (await alice.request("GET", "/api/me//")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/proxy"),
        ("GET", "/proxy/"),
        ("POST", "/proxy/box"),
        ("POST", "/health"),
        ("OPTIONS", "/health"),
        ("GET", "/HEALTH"),
        ("GET", "/caf%C3%A9"),
        ("GET", "/bad%zz"),
    ],
)
async def test_an_unknown_route_is_404_without_a_key(fake: FakeApp, method: str, path: str) -> None:
    reply = await fake.anonymous.request(method, path)
    assert_error(reply, 404, "Not Found", f"Route {method} {path} not found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/nothing"),
        ("PATCH", "/api/sandboxes"),
        ("OPTIONS", "/api/sandboxes"),
        ("PUT", "/api/sandboxes/box"),
        ("GET", "/api/sandboxes/box/pause"),
        ("GET", "/api/sandboxes/a/b/c"),
    ],
)
async def test_an_unknown_route_below_api_needs_a_key_first(
    fake: FakeApp, alice: Client, method: str, path: str
) -> None:
    without = await fake.anonymous.request(method, path)
    assert_error(without, 401, "Unauthorized", "Missing Authorization header")
    reply = await alice.request(method, path)
    assert_error(reply, 404, "Not Found", f"Route {method} {path} not found")


async def test_an_unknown_route_below_admin_needs_the_admin_key(
    fake: FakeApp, alice: Client
) -> None:
    assert (await fake.anonymous.request("GET", "/api/admin/nothing")).status_code == 401
    assert (await alice.request("GET", "/api/admin/nothing")).status_code == 403
    assert (await fake.admin.request("GET", "/api/admin/nothing")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/api/me",
        "/api/me/apikeys",
        "/api/sandboxes",
        "/api/sandboxes/box",
        "/api/sandboxes/other",
        "/api/admin/users",
        "/_fake/state",
        "/proxy/box/v1/sandbox",
        "/proxy/box/v1/file/download?path=/sandbox/notes.txt",
    ],
)
async def test_head_answers_as_get_does_without_a_body(
    fake: FakeApp, alice: Client, path: str
) -> None:
    await fake.ready_sandbox(alice)
    file = {"file": "/sandbox/notes.txt", "content": "hello"}
    await alice.request("POST", "/proxy/box/v1/file/write", file)
    caller = fake.admin if path.startswith(("/api/admin", "/_fake")) else alice
    get, head = await caller.request("GET", path), await caller.request("HEAD", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    get_headers = {name: value for name, value in get.headers.items() if name != "date"}
    assert {name: head.headers[name] for name in get_headers} == get_headers
    assert int(head.headers["content-length"]) == len(get.content)


async def test_a_response_to_head_holds_no_body_before_a_server_sees_it(fake: FakeApp) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    for path in ("/health", "/nothing"):
        scope: Scope = {"type": "http", "method": "HEAD", "path": path, "query_string": b""}
        await fake.app({**scope, "headers": []}, receive, send)
    assert [message["status"] for message in sent if "status" in message] == [200, 404]
    assert [message["body"] for message in sent if "body" in message] == [b"", b""]


async def test_head_of_a_route_without_get_is_404_with_the_key_of_its_area(
    fake: FakeApp, alice: Client
) -> None:
    assert (await fake.anonymous.request("HEAD", "/nothing")).status_code == 404
    assert (await fake.anonymous.request("HEAD", "/api/me")).status_code == 401
    assert (await alice.request("HEAD", "/api/sandboxes/box/pause")).status_code == 404


async def test_an_unknown_route_leaves_the_query_out(fake: FakeApp) -> None:
    reply = await fake.anonymous.request("GET", "/nothing?a=b")
    assert reply.json()["message"] == "Route GET /nothing not found"


async def test_anything_below_a_sandbox_needs_a_key_first(fake: FakeApp) -> None:
    reply = await fake.anonymous.request("GET", "/proxy/box/")
    assert_error(reply, 401, "Unauthorized", "Missing Authorization header")


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"{", JSON),
        (b"   ", JSON),
        (b"\xff\xfe{}", JSON),
        (b"null", JSON),
        (b"1", JSON),
        (b'"text"', JSON),
        (b"true", JSON),
        (b'{"name": "box", "n": NaN}', JSON),
        (b'{"name": "box", "n": "\\ud800"}', JSON),
        (b"[" * 50_000, JSON),
        (b'{"name": "box", "n": ' + b"9" * 5000 + b"}", JSON),
        (BOX, {"Content-Type": "application/json; charset=nonsense"}),
        (BOX, {"Content-Type": "application/json; charset=utf-nonsense"}),
        (BOX, {"Content-Type": "application/json; charset=latin-1"}),
        (BOX, JSON | {"Content-Encoding": "gzip"}),
        (gzip.compress(BOX, mtime=0)[:-4], JSON | {"Content-Encoding": "gzip"}),
        (BOX, JSON | {"Content-Encoding": "br"}),
    ],
)
async def test_a_bad_body_is_400_and_only_after_authentication(
    fake: FakeApp, alice: Client, content: bytes, headers: dict[str, str]
) -> None:
    sent: dict[str, Any] = {"content": content, "headers": headers}
    assert (await fake.anonymous.request("POST", "/api/sandboxes", **sent)).status_code == 401
    reply = await alice.request("POST", "/api/sandboxes", **sent)
    assert reply.status_code == 400
    assert reply.json()["error"] == "Bad Request"


async def test_ownership_is_checked_before_the_body(alice: Client) -> None:
    reply = await alice.request("POST", "/api/sandboxes/none/pause", content=b"{", headers=JSON)
    assert reply.status_code == 403


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b"", JSON),
        (b"{}", JSON),
        (b"[]", JSON),
        (b'[{"name": "x"}]', JSON),
        (b'{"name": "x"}', {"Content-Type": "text/plain"}),
        (b"name=x", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b'{"name": "x"}', {}),
    ],
)
async def test_a_body_that_is_not_a_json_object_counts_as_an_empty_one(
    alice: Client, content: bytes, headers: dict[str, str]
) -> None:
    reply = await alice.request("POST", "/api/sandboxes", content=content, headers=headers)
    assert_error(reply, 400, "Bad Request", "name is required")


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b'{"name": "x"}', {"Content-Type": "Application/JSON"}),
        (b'{"name": "x"}', {"Content-Type": 'application/json; charset="UTF-8"'}),
        (
            '{"name": "x"}'.encode("utf-16"),
            {"Content-Type": "application/json; charset=utf-16"},
        ),
        (gzip.compress(b'{"name": "x"}', mtime=0), JSON | {"Content-Encoding": "gzip"}),
    ],
)
async def test_json_is_understood_however_it_is_labelled(
    alice: Client, content: bytes, headers: dict[str, str]
) -> None:
    reply = await alice.request("POST", "/api/sandboxes", content=content, headers=headers)
    assert reply.status_code == 201


async def test_a_body_of_100_kb_passes_and_one_byte_more_is_413(
    fake: FakeApp, alice: Client
) -> None:
    body = b'{"name": "x", "rest": "' + b"r" * (100 * 1024 - 25) + b'"}'
    assert len(body) == 100 * 1024
    assert (
        await alice.request("POST", "/api/sandboxes", content=body, headers=JSON)
    ).status_code == 201
    longer = await alice.request("POST", "/api/sandboxes", content=body + b" ", headers=JSON)
    assert_error(longer, 413, "Payload Too Large", "The body has more than 102400 bytes")
    unknown = await fake.anonymous.request(
        "POST", "/api/sandboxes", content=body + b" ", headers=JSON
    )
    assert unknown.status_code == 401


async def test_a_body_without_end_is_not_read_to_its_end(fake: FakeApp, alice: Client) -> None:
    read = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal read
        read += 1_000_000
        return {"type": "http.request", "body": bytes(1_000_000), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    for authorization, status in ((f"Bearer {alice.key}", 413), ("", 401)):
        headers = [(b"authorization", authorization.encode()), (b"content-length", b"1" * 15)]
        scope: Scope = {"type": "http", "method": "POST", "path": "/api/sandboxes"}
        await fake.app({**scope, "query_string": b"", "headers": headers}, receive, send)
        start, _ = sent[-2:]
        assert (start["status"], (b"connection", b"close") in start["headers"]) == (status, True)
    assert read < 150_000_000


async def test_a_compressed_body_counts_by_its_inflated_size(alice: Client) -> None:
    bomb = gzip.compress(b'{"name": "' + b"x" * 10_000_000 + b'"}', mtime=0)
    reply = await alice.request(
        "POST", "/api/sandboxes", content=bomb, headers=JSON | {"Content-Encoding": "gzip"}
    )
    assert reply.status_code == 413


@pytest.mark.parametrize("path", ["/api/sandboxes/%zz", "/api/sandboxes/%ff", "/proxy/%/x"])
async def test_bad_percent_encoding_is_400_after_authentication(
    fake: FakeApp, alice: Client, path: str
) -> None:
    # As bytes below httpx, which would mend the path.
    async def get(key: dict[str, str]) -> int:
        request = fake.http.build_request("GET", "/", headers=key)
        request.url = request.url.copy_with(raw_path=path.encode())
        return (await fake.http.send(request)).status_code

    assert await get({}) == 401
    assert await get({"Authorization": f"Bearer {alice.key}"}) == 400


@pytest.mark.parametrize("name", ["a%2Fb", "%2e%2e%2Fme", "%00", "box%20", "BOX"])
async def test_an_encoded_name_is_one_segment_and_an_unknown_sandbox(
    fake: FakeApp, alice: Client, name: str
) -> None:
    await fake.ready_sandbox(alice)
    for path in (f"/api/sandboxes/{name}", f"/proxy/{name}/v1/shell/exec"):
        reply = await alice.request("GET", path)
        assert_error(reply, 403, "Forbidden", "You do not have access to this sandbox")


async def test_a_name_may_be_percent_encoded(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    assert (await alice.request("GET", "/api/sandboxes/%62ox")).status_code == 200


async def test_times_are_iso_8601_in_utc_with_milliseconds(fake: FakeApp) -> None:
    fake.clock.advance(0.1239)
    timestamp = (await fake.anonymous.request("GET", "/health")).json()["timestamp"]
    assert timestamp == "2026-01-01T00:00:00.123Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp)


async def test_header_fields_over_16_kb_are_431_with_and_without_a_key(
    fake: FakeApp, alice: Client
) -> None:
    for caller in (alice, fake.anonymous):
        reply = await caller.request("GET", "/api/me", headers={"X-Long": "x" * 17_000})
        assert (reply.status_code, reply.content) == (431, b"")
        reply = await caller.request("GET", f"/api/{'x' * 17_000}")
        assert (reply.status_code, reply.content) == (431, b"")
    reply = await alice.request("GET", "/api/me", headers={"X-Long": "x" * 15_000})
    assert reply.status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:80"])
async def test_a_host_of_its_own_is_served(host: str) -> None:
    async with fake_app(allowed_hosts=["localhost", "127.0.0.1", "[::1]"]) as fake:
        reply = await fake.anonymous.request("GET", "/health", headers={"Host": host})
        assert reply.status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.2", ""])
async def test_a_foreign_host_is_refused_even_with_the_admin_key(host: str) -> None:
    async with fake_app(allowed_hosts=["localhost", "127.0.0.1", "[::1]"]) as fake:
        headers = {"Host": host, "Authorization": f"Bearer {ADMIN_KEY}"}
        reply = await fake.anonymous.request("GET", "/api/admin/users", headers=headers)
        assert reply.status_code == 400
        assert reply.text == "Invalid host header"


async def test_a_request_without_a_host_is_refused() -> None:
    async with fake_app(allowed_hosts=["localhost"]) as fake:
        request = fake.http.build_request("GET", "/health")
        del request.headers["Host"]
        assert (await fake.http.send(request)).status_code == 400
