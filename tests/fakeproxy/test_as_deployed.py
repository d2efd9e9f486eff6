"""The quirks of the deployed proxy, one test per row of `deployed/behavior.py`."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sandbox_fakeproxy import (
    Command,
    LocalRuntime,
    Outcome,
    RuntimeUnreachable,
    ScriptedRuntime,
    Store,
    create_app,
)
from sandbox_fakeproxy.model import FailureMode, Intent, Sandbox
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from tests.fakeproxy.fake_app import Client, FakeApp, assert_error, exec_path, fake_app

BOX = "/api/sandboxes/box"
NO_UUID = "not-a-uuid"
LABEL_63 = "u" * 63
JSON = {"Content-Type": "application/json"}
UTF_16 = {"Content-Type": "application/json; charset=utf-16"}


@pytest.fixture
def options() -> dict[str, Any]:
    return {"as_deployed": True}


def assert_500(reply: httpx.Response, message: str | None = None) -> None:
    assert reply.status_code == 500, reply.text
    body = reply.json()
    assert body["error"] == "Internal server error"
    assert body["message"] == message or (message is None and body["message"])


# Routing ----------------------------------------------------------------------------------------


async def test_paths_match_without_regard_to_case(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    assert (await alice.request("GET", "/API/Sandboxes/box")).status_code == 200
    assert (
        await alice.request("POST", "/Proxy/box/v1/shell/exec", {"command": "ls"})
    ).status_code == 200
    assert (await alice.request("GET", "/api/sandboxes/BOX")).status_code == 403


async def test_404_bodies_of_unknown_routes_carry_endpoints(fake: FakeApp, alice: Client) -> None:
    for caller, path in ((fake.anonymous, "/nowhere"), (alice, "/api/nowhere")):
        reply = await caller.request("GET", path)
        assert reply.status_code == 404
        assert reply.json()["message"] == f"Route GET {path} not found"
        assert reply.json()["endpoints"]


async def test_json_answers_carry_a_weak_etag(fake: FakeApp, alice: Client) -> None:
    reply = await alice.request("GET", "/api/me")
    assert reply.headers["etag"].startswith('W/"')
    assert (await alice.request("GET", "/api/nowhere")).headers["etag"] != reply.headers["etag"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_if_none_match_answers_304(fake: FakeApp, alice: Client, method: str) -> None:
    etag = (await alice.request("GET", "/api/me")).headers["etag"]
    for known in (etag, f'W/"other", {etag}', "*"):
        reply = await alice.request(method, "/api/me", headers={"If-None-Match": known})
        assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", etag)
    other = await alice.request(method, "/api/me", headers={"If-None-Match": 'W/"other"'})
    assert other.status_code == 200


async def test_head_works_wherever_get_does(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    for path in ("/health", "/api/me", "/api/sandboxes", BOX):
        shown, head = await alice.request("GET", path), await alice.request("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(shown.content))
    assert (await alice.request("HEAD", f"{BOX}/pause")).status_code == 404


async def test_head_below_proxy_is_500(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    assert (await alice.request("HEAD", "/proxy/box/v1/sandbox")).status_code == 500


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/api/sandboxes", "GET, HEAD, POST"), (BOX, "DELETE, GET, HEAD"), (f"{BOX}/pause", "POST")],
)
async def test_options_on_a_known_route_lists_its_methods(
    fake: FakeApp, alice: Client, path: str, allow: str
) -> None:
    reply = await alice.request("OPTIONS", path)
    assert (reply.status_code, reply.text, reply.headers["allow"]) == (200, allow, allow)
    assert (await fake.anonymous.request("OPTIONS", path)).status_code == 401


async def test_options_on_an_unknown_route_is_404(fake: FakeApp, alice: Client) -> None:
    assert (await alice.request("OPTIONS", "/api/nowhere")).status_code == 404
    assert (await fake.anonymous.request("OPTIONS", "/health")).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", "nowhere"), ("PATCH", "users")])
async def test_an_unknown_admin_route_with_the_admin_key_is_401(
    fake: FakeApp, method: str, path: str
) -> None:
    reply = await fake.admin.request(method, f"/api/admin/{path}")
    assert reply.status_code == 401
    assert reply.json() == {"error": "Unauthorized", "message": "Invalid API key"}


async def test_a_badly_encoded_segment_is_500_after_authentication(
    fake: FakeApp, alice: Client
) -> None:
    assert_500(await alice.request("GET", "/api/sandboxes/%zz"), "Failed to decode param '%zz'")
    assert (await fake.anonymous.request("GET", "/api/sandboxes/%zz")).status_code == 401


async def test_an_encoded_nul_is_500_after_authentication(fake: FakeApp, alice: Client) -> None:
    assert_500(await alice.request("GET", "/api/sandboxes/%00"), "Failed to authorize request")
    assert (await fake.anonymous.request("GET", "/api/sandboxes/%00")).status_code == 401


# Bodies -----------------------------------------------------------------------------------------

BAD_BODIES = [
    pytest.param(b"{", JSON, id="malformed"),
    pytest.param(b"7", JSON, id="a scalar"),
    pytest.param(b"null", JSON, id="null"),
    pytest.param(b"{}", {"Content-Type": "application/json; charset=latin-9"}, id="bad charset"),
    pytest.param(b"{}", JSON | {"Content-Encoding": "gzip"}, id="bad gzip"),
    pytest.param(json.dumps({"name": "x" * 102_400}).encode(), JSON, id="over 100 KB"),
    pytest.param(
        gzip.compress(b'{"a":"%s"}' % (b"x" * 102_400)),
        JSON | {"Content-Encoding": "gzip"},
        id="over 100 KB inflated",
    ),
]


@pytest.mark.parametrize(("content", "headers"), BAD_BODIES)
async def test_a_bad_body_is_500(
    fake: FakeApp, alice: Client, content: bytes, headers: dict[str, str]
) -> None:
    assert_500(await alice.request("POST", "/api/sandboxes", content=content, headers=headers))


@pytest.mark.parametrize("path", ["/api/sandboxes", "/nowhere", "/health", "/proxy/box/x"])
async def test_a_bad_body_is_500_on_every_route_before_authentication(
    fake: FakeApp, path: str
) -> None:
    assert_500(await fake.anonymous.request("POST", path, content=b"{", headers=JSON))


# Users ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("username", ["", None, 0, False])
async def test_a_falsy_username_is_400(fake: FakeApp, username: Any) -> None:
    reply = await fake.admin.request("POST", "/api/admin/users", {"username": username})
    assert (reply.status_code, reply.json()["message"]) == (400, "username is required")


@pytest.mark.parametrize(("username", "text"), [(5, "5"), (7.0, "7"), (True, "true")])
async def test_a_username_that_is_a_number_or_true_is_taken_as_its_text(
    fake: FakeApp, username: Any, text: str
) -> None:
    reply = await fake.admin.request("POST", "/api/admin/users", {"username": username})
    assert (reply.status_code, reply.json()["user"]["username"]) == (201, text)


@pytest.mark.parametrize(
    "username", ["Bob", "a.b", "-a", {"a": 1}, ["a"], {}, [], 1.5, 1e21, 10**30, "u" * 64]
)
async def test_any_other_username_is_500(fake: FakeApp, username: Any) -> None:
    assert_500(await fake.admin.request("POST", "/api/admin/users", {"username": username}))


async def test_emails_are_not_checked(fake: FakeApp) -> None:
    for email, kept in ((5, "5"), ("no address", "no address")):
        body = {"username": f"u{kept[0]}", "email": email}
        reply = await fake.admin.request("POST", "/api/admin/users", body)
        assert (reply.status_code, reply.json()["user"]["email"]) == (201, kept)
    assert_500(
        await fake.admin.request("POST", "/api/admin/users", {"username": "x", "email": "e" * 256})
    )


@pytest.mark.parametrize(
    ("sent", "kept", "status"), [(None, None, 401), ("yes", True, 200), (True, True, 200)]
)
async def test_is_active_takes_null_and_yes(
    fake: FakeApp, alice: Client, sent: Any, kept: Any, status: int
) -> None:
    path = f"/api/admin/users/{fake.users['alice']}"
    reply = await fake.admin.request("PUT", path, {"is_active": sent})
    assert (reply.status_code, reply.json()["user"]["is_active"]) == (200, kept)
    assert (await alice.request("GET", "/api/me")).status_code == status


@pytest.mark.parametrize("sent", ["maybe", 1, 0, {}, []])
async def test_any_other_is_active_is_500(fake: FakeApp, alice: Client, sent: Any) -> None:
    path = f"/api/admin/users/{fake.users['alice']}"
    assert_500(await fake.admin.request("PUT", path, {"is_active": sent}))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"users/{NO_UUID}"),
        ("PUT", f"users/{NO_UUID}"),
        ("DELETE", f"users/{NO_UUID}"),
        ("GET", f"users/{NO_UUID}/apikeys"),
        ("POST", f"users/{NO_UUID}/apikeys"),
        ("DELETE", f"apikeys/{NO_UUID}"),
    ],
)
async def test_any_id_that_is_no_uuid_is_500(fake: FakeApp, method: str, path: str) -> None:
    assert_500(await fake.admin.request(method, f"/api/admin/{path}"))


async def test_deleting_a_user_is_500_although_user_and_keys_are_gone(
    fake: FakeApp, alice: Client
) -> None:
    path = f"/api/admin/users/{fake.users['alice']}"
    assert_500(await fake.admin.request("DELETE", path))
    assert (await alice.request("GET", "/api/me")).status_code == 401
    assert (await fake.admin.request("DELETE", path)).status_code == 404


async def test_a_user_made_again_finds_the_old_sandbox_names_taken(
    fake: FakeApp, alice: Client
) -> None:
    await fake.ready_sandbox(alice)
    await fake.admin.request("DELETE", f"/api/admin/users/{fake.users['alice']}")
    again = await fake.new_user("alice")
    assert_500(await again.request("POST", "/api/sandboxes", {"name": "box"}))
    assert (await again.request("GET", BOX)).status_code == 403
    assert (await again.request("POST", "/api/sandboxes", {"name": "other"})).status_code == 201


# Keys -------------------------------------------------------------------------------------------


async def test_two_blanks_before_a_key_make_it_an_unknown_key(fake: FakeApp, alice: Client) -> None:
    for blanks in ("  ", "   "):
        headers = {"Authorization": f"Bearer{blanks}{alice.key}"}
        reply = await fake.anonymous.request("GET", "/api/me", headers=headers)
        assert_error(reply, 401, "Unauthorized", "Invalid API key")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (1_900_000_000_000, "2030-03-17T17:46:40.000Z"),
        (8.64e15, "+275760-09-13T00:00:00.000Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (1.9, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-210_866_803_200_000, "-004713-11-24T00:00:00.000Z"),
        (True, "1970-01-01T00:00:00.001Z"),
        ("", None),
        (0, None),
        (None, None),
        ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00.000Z"),
    ],
)
async def test_expires_at_takes_milliseconds_and_empty(
    fake: FakeApp, alice: Client, sent: Any, kept: str | None
) -> None:
    reply = await alice.request("POST", "/api/me/apikeys", {"expires_at": sent})
    assert (reply.status_code, reply.json()["key_info"]["expires_at"]) == (201, kept)


@pytest.mark.parametrize(
    "sent", ["garbage", {"a": 1}, {}, [1], [], 8.64e15 + 1, -8.64e15, 1e300, 10**30]
)
async def test_any_other_expires_at_is_500(fake: FakeApp, alice: Client, sent: Any) -> None:
    assert_500(await alice.request("POST", "/api/me/apikeys", {"expires_at": sent}))


async def test_a_key_that_expires_after_the_year_9999_works_and_is_listed_so(
    fake: FakeApp, alice: Client
) -> None:
    late = Client(fake.http, await fake.new_key("alice", expires_at=8.64e15))
    keys = (await late.request("GET", "/api/me/apikeys")).json()["api_keys"]
    assert keys[0]["expires_at"] == "+275760-09-13T00:00:00.000Z"
    early = Client(fake.http, await fake.new_key("alice", expires_at=-210_866_803_200_000))
    reply = await early.request("GET", "/api/me")
    assert_error(reply, 401, "Unauthorized", "API key has expired")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (7, "7"),
        (0, "0"),
        (1.5, "1.5"),
        (1e-7, "1e-7"),
        (1e300, "1e+300"),
        (10**400, "Infinity"),
        (True, "true"),
        (False, "false"),
        ([1, "a"], '[1,"a"]'),
        ({"a": [True, None]}, '{"a":[true,null]}'),
        ("", ""),
        (None, None),
    ],
)
async def test_a_keys_name_is_any_json_value_as_its_text(
    fake: FakeApp, alice: Client, name: Any, text: str | None
) -> None:
    reply = await alice.request("POST", "/api/me/apikeys", {"name": name})
    assert (reply.status_code, reply.json()["key_info"]["name"]) == (201, text)
    assert (await alice.request("GET", "/api/me/apikeys")).json()["api_keys"][0]["name"] == text


@pytest.mark.parametrize("name", ["n" * 256, ["n" * 252]])
async def test_a_keys_name_over_255_is_500(fake: FakeApp, alice: Client, name: Any) -> None:
    assert_500(await alice.request("POST", "/api/me/apikeys", {"name": name}))


async def test_the_user_admin_has_an_email_address(fake: FakeApp) -> None:
    (admin,) = (await fake.admin.request("GET", "/api/admin/users")).json()["users"]
    assert (admin["username"], admin["email"]) == ("admin", "admin@example.com")


# Sandbox names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Box", "-a", "a-", "a_b", "a b", 5, True, ["a"], [], {}, "b" * 254]
)
async def test_a_name_that_is_no_label_is_500_and_not_spent(
    fake: FakeApp, alice: Client, name: Any
) -> None:
    assert_500(await alice.request("POST", "/api/sandboxes", {"name": name}))
    assert fake.store.count_reserved("user-alice") == 0


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a.b"},
        {"name": "b" * 64},
        {"name": "b" * 253},
        {"name": "long-image", "image": "i" * 513},
    ],
)
async def test_a_name_that_fails_by_half_is_spent(
    fake: FakeApp, alice: Client, body: dict[str, str]
) -> None:
    assert_500(await alice.request("POST", "/api/sandboxes", body))
    assert (await alice.request("GET", f"/api/sandboxes/{body['name']}")).status_code == 403
    assert (await alice.request("GET", "/api/sandboxes")).json()["count"] == 0
    assert_500(await alice.request("POST", "/api/sandboxes", {"name": body["name"]}))


async def test_spent_names_count_against_the_quota(fake: FakeApp, alice: Client) -> None:
    for number in range(10):
        assert_500(await alice.request("POST", "/api/sandboxes", {"name": f"a.{number}"}))
    reply = await alice.request("POST", "/api/sandboxes", {"name": "box"})
    assert "exceeded quota" in reply.json()["message"]


@pytest.mark.parametrize("image", [5, True, ["a"], {"a": 1}])
async def test_an_image_that_is_no_text_is_500(fake: FakeApp, alice: Client, image: Any) -> None:
    assert_500(await alice.request("POST", "/api/sandboxes", {"name": "box", "image": image}))


async def test_any_text_is_an_image_and_empty_is_the_default(fake: FakeApp, alice: Client) -> None:
    for name, image in (("odd", "no image at all!"), ("empty", "")):
        reply = await alice.request("POST", "/api/sandboxes", {"name": name, "image": image})
        assert reply.status_code == 201
        assert reply.json()["sandbox"]["image"] == image or not image


@pytest.mark.parametrize(("length", "status"), [(58, 201), (59, 500), (63, 500)])
async def test_a_user_of_59_characters_cannot_create_a_sandbox(
    fake: FakeApp, length: int, status: int
) -> None:
    user = await fake.new_user("u" * length)
    assert (await user.request("POST", "/api/sandboxes", {"name": "box"})).status_code == status


# Quota --------------------------------------------------------------------------------


async def test_the_11th_sandbox_is_500_and_a_duplicate_comes_first(
    fake: FakeApp, alice: Client
) -> None:
    for number in range(10):
        body = {"name": f"box{number}"}
        assert (await alice.request("POST", "/api/sandboxes", body)).status_code == 201
    reply = await alice.request("POST", "/api/sandboxes", {"name": "more"})
    assert_500(reply, reply.json()["message"])
    assert "exceeded quota" in reply.json()["message"]
    assert (await alice.request("POST", "/api/sandboxes", {"name": "box0"})).status_code == 409


# Below /proxy/ ----------------------------------------------------------------------------------


async def test_a_paused_sandbox_is_500_fetch_failed(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    await alice.request("POST", f"{BOX}/pause")
    assert_500(await alice.request("POST", exec_path(), {"command": "ls"}), "fetch failed")
    fake.clock.advance(1)
    assert_500(await alice.request("POST", exec_path(), {"command": "ls"}), "fetch failed")


async def test_a_runtime_that_refuses_is_500_fetch_failed() -> None:
    def script(_command: Command) -> Outcome:
        raise RuntimeUnreachable("gone")

    async with fake_app(ScriptedRuntime(script), as_deployed=True) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        assert_500(await alice.request("POST", exec_path(), {"command": "ls"}), "fetch failed")


@pytest.mark.parametrize(("seconds", "given_up"), [(300.9, False), (301, True)])
async def test_an_answer_that_takes_301_s_is_500(seconds: float, given_up: bool) -> None:
    arrived, may_end = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await may_end.wait()
        await JSONResponse({})(scope, receive, send)

    async with fake_app(upstream=slow, as_deployed=True) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        asking = asyncio.ensure_future(alice.request("GET", "/proxy/box/slow"))
        await arrived.wait()
        fake.clock.advance(seconds)
        if not given_up:
            may_end.set()
        assert (await asking).status_code == (500 if given_up else 200)
        may_end.set()


ANSWERS: dict[str, Callable[[], Response]] = {
    "/redirect": lambda: RedirectResponse("/landed", 302),
    "/keep": lambda: RedirectResponse("/landed", 307),
    "/loop": lambda: RedirectResponse("/loop", 302),
    "/to-the-runtime": lambda: RedirectResponse("/v1/sandbox", 302),
    "/text": lambda: Response("plain", media_type="text/plain"),
    "/download": lambda: Response(b"\x00\xff", media_type="application/octet-stream"),
    "/nan": lambda: Response("NaN", media_type="application/json"),
    "/deep": lambda: Response("[" * 100_000, media_type="application/json"),
    "/scalar": lambda: Response("7", 418, media_type="application/json"),
}


async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo the request as JSON, or answer as `ANSWERS` has it for the path."""
    request = Request(scope, receive)
    came = {
        "body": (await request.body()).decode(),
        "method": request.method,
        "path": request.url.path,
        "query": request.url.query,
        "headers": sorted(request.headers),
    }
    answer = ANSWERS.get(request.url.path, lambda: JSONResponse(came))()
    await answer(scope, receive, send)


@pytest.fixture
async def caller() -> AsyncGenerator[Client]:
    async with fake_app(upstream=upstream, as_deployed=True) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        yield alice


@pytest.mark.parametrize(
    ("sent", "path", "query"),
    [
        ("a%2Fb", "/a/b", ""),
        ("a%3Fb=c", "/a", "b=c"),
        ("a%253Fb", "/a%3Fb", ""),
        ("a?x=1", "/a", ""),
        ("a%20b", "/a b", ""),
    ],
)
async def test_the_path_is_decoded_once_and_the_query_dropped(
    caller: Client, sent: str, path: str, query: str
) -> None:
    got = (await caller.request("GET", f"/proxy/box/{sent}")).json()
    assert (got["path"], got["query"]) == (path, query)


@pytest.mark.parametrize("segment", ["%zz", "b%ff"])
async def test_a_badly_encoded_segment_below_proxy_is_500(caller: Client, segment: str) -> None:
    reply = await caller.request("GET", f"/proxy/box/a/{segment}")
    assert_500(reply, f"Failed to decode param '{segment}'")


async def test_headers_are_dropped(caller: Client) -> None:
    got = (await caller.request("POST", "/proxy/box/x", {"a": 1}, headers={"X-Mine": "1"})).json()
    assert got["headers"] == ["content-length", "content-type"]


@pytest.mark.parametrize(
    ("content", "headers", "body"),
    [
        (b'{"a":1}', JSON, '{"a": 1}'),
        (b"[1]", JSON, "[1]"),
        (gzip.compress(b'{"a":1}', mtime=0), JSON | {"Content-Encoding": "gzip"}, '{"a": 1}'),
        (
            '{"a":1}'.encode("utf-16"),
            {"Content-Type": "application/json; charset=utf-16"},
            '{"a": 1}',
        ),
        (b"", {}, "{}"),
        (b"plain", {"Content-Type": "text/plain"}, "{}"),
        (b"\x00\xff", {"Content-Type": "application/octet-stream"}, "{}"),
    ],
)
async def test_a_body_that_is_not_json_becomes_an_empty_object(
    caller: Client, content: bytes, headers: dict[str, str], body: str
) -> None:
    got = await caller.request("POST", "/proxy/box/x", content=content, headers=headers)
    assert got.json()["body"] == body


@pytest.mark.parametrize(
    ("path", "sent", "method", "body"),
    [
        ("redirect", "POST", "GET", ""),
        ("redirect", "PUT", "PUT", '{"a": 1}'),
        ("redirect", "GET", "GET", ""),
        ("keep", "POST", "POST", '{"a": 1}'),
    ],
)
async def test_redirects_are_followed_and_post_becomes_get(
    caller: Client, path: str, sent: str, method: str, body: str
) -> None:
    reply = await caller.request(sent, f"/proxy/box/{path}", {"a": 1})
    assert reply.status_code == 200
    landed = reply.json()
    assert (landed["path"], landed["method"], landed["body"]) == ("/landed", method, body)


async def test_a_redirect_to_the_runtimes_own_path_is_followed(caller: Client) -> None:
    reply = await caller.request("GET", "/proxy/box/to-the-runtime")
    assert (reply.status_code, reply.json()["home_dir"]) == (200, "/home/gem")


async def test_redirects_without_end_are_500(caller: Client) -> None:
    assert_500(await caller.request("GET", "/proxy/box/loop"), "fetch failed")


@pytest.mark.parametrize("path", ["text", "download", "nan", "deep"])
async def test_a_reply_that_is_not_json_is_500(caller: Client, path: str) -> None:
    assert_500(await caller.request("GET", f"/proxy/box/{path}"))


async def test_a_json_scalar_passes_with_its_status(caller: Client) -> None:
    reply = await caller.request("GET", "/proxy/box/scalar")
    assert (reply.status_code, reply.json()) == (418, 7)


async def test_the_runtime_has_no_pipe_api(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    reply = await alice.request("GET", "/proxy/box/v1/bash/sessions")
    assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})


# The fake's own routes ---------------------------------------------------------------------------


async def test_testers_routes_have_no_quirks(fake: FakeApp) -> None:
    reply = await fake.admin.request("PUT", "/_fake/seed", content=b"{", headers=JSON)
    assert (reply.status_code, reply.json()["error"]) == (400, "Bad Request")
    long = {"users": [{"username": "bob", "email": "x" * 200}], "more": "x" * 102_400}
    assert (await fake.admin.request("PUT", "/_fake/seed", long)).status_code == 400
    bad = {"content": b"{", "headers": JSON}
    assert (await fake.anonymous.request("POST", "/_fake/reset", **bad)).status_code == 401  # type: ignore[arg-type]
    assert (await fake.admin.request("GET", "/_FAKE/state")).status_code == 404


# Health -----------------------------------------------------------------------------------------


async def test_health_says_connected_with_the_database_down(fake: FakeApp) -> None:
    fake.store.close()
    reply = await fake.anonymous.request("GET", "/health")
    assert (reply.status_code, reply.json()["database"]) == (200, "connected")


# Backend gone ------------------------------------------------------------------------------------


async def test_a_sandbox_that_has_vanished_is_500_and_stays_in_the_way(
    fake: FakeApp, alice: Client
) -> None:
    await fake.ready_sandbox(alice)
    await fake.set_failure_mode("vanished")
    fake.clock.advance(1)
    (listed,) = (await alice.request("GET", "/api/sandboxes")).json()["sandboxes"]
    assert (listed["service"], listed["serviceFQDN"]) == ("error", "error")
    for _ in range(2):
        for method, path in (
            ("GET", "/api/sandboxes/box"),
            ("POST", exec_path()),
            ("DELETE", "/api/sandboxes/box"),
        ):
            reply = await alice.request(method, path)
            assert_500(reply, "HTTP request failed")
        assert (await alice.request("POST", "/api/sandboxes", {"name": "box"})).status_code == 409


async def test_a_name_with_a_leading_digit_is_made_and_never_becomes_ready(
    fake: FakeApp, alice: Client
) -> None:
    assert (await alice.request("POST", "/api/sandboxes", {"name": "9box"})).status_code == 201
    fake.clock.advance(1_000_000)
    shown = (await alice.request("GET", "/api/sandboxes/9box")).json()
    assert (shown["service"], shown["serviceFQDN"]) == ("pending", "pending")
    assert (shown["replicas"], shown["ready"]) == (1, False)
    assert shown["readyReason"] == "ReconcilerError"
    assert shown["readyMessage"].startswith("Error seen: ")
    reply = await alice.request("POST", exec_path("9box"), {"command": "ls"})
    assert_error(reply, 503, "Service Unavailable", "Sandbox service not ready")


# Directories ------------------------------------------------------------------------------------


def test_without_as_deployed_the_kept_files_are_forgotten() -> None:
    store = Store()
    now = datetime.now(UTC)
    intent = Intent(FailureMode.RUNNING, is_paused=False, since=now)
    store.keep_files("user-alice", Sandbox("s", "u", "box", "image", now, intent))
    create_app(admin_key="key", store=store, as_deployed=True)
    assert store.kept_id("user-alice", "box") == "s"
    create_app(admin_key="key", store=store)
    assert store.kept_id("user-alice", "box") is None


async def test_a_new_sandbox_finds_the_files_of_one_of_its_name(
    tmp_path: Path,
) -> None:
    runtime = LocalRuntime(tmp_path / "sandboxes", as_deployed=True)
    async with fake_app(runtime, as_deployed=True) as fake:

        async def files_of(user: Client, name: str) -> str:
            await fake.ready_sandbox(user, name)
            sent = {"command": "ls -A; ls -A ~ | wc -l; cat file", "exec_dir": "/sandbox"}
            output: str = (await user.request("POST", exec_path(name), sent)).json()["data"][
                "output"
            ]
            return output

        alice, bob = await fake.new_user("alice"), await fake.new_user("bob")
        await fake.ready_sandbox(alice)
        sent = {"command": "echo kept >file; touch ~/lost", "exec_dir": "/sandbox"}
        await alice.request("POST", exec_path(), sent)
        await alice.request("DELETE", BOX)
        runtime.recover(fake.store.ids_with_files())  # as at a start of the fake
        assert "kept" not in await files_of(alice, "other")
        assert "kept" not in await files_of(bob, "box")
        assert await files_of(alice, "box") == "file\n0\nkept\n"
        await alice.request("DELETE", BOX)
        await fake.admin.request("POST", "/_fake/reset")
        assert list((tmp_path / "sandboxes").iterdir()) == []
