import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from sandbox_fakeproxy import Command, Outcome, RuntimeUnreachable, ScriptedRuntime
from starlette.background import BackgroundTask
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.fakeproxy.fake_app import Client, FakeApp, assert_error, exec_path, fake_app

BOX = "/api/sandboxes/box"
TICK = 0.000001
LS = {"command": "ls"}
JSON = {"Content-Type": "application/json"}


async def test_a_command_is_answered_in_the_runtimes_wrapper() -> None:
    runtime = ScriptedRuntime(lambda _: Outcome("a\nb\n", 3))
    async with fake_app(runtime) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        reply = await alice.request("POST", exec_path(), {"command": "ls"})
    assert reply.status_code == 200
    answer = reply.json()
    session_id = answer["data"].pop("session_id")
    assert isinstance(session_id, str)
    assert session_id
    assert answer == {
        "success": True,
        "message": "Command executed",
        "data": {
            "command": "ls",
            "status": "completed",
            "output": "a\nb\n",
            "console": [{"ps1": "gem@sandbox:~$ ", "command": "ls", "output": "a\nb\n"}],
            "exit_code": 3,
        },
        "hint": None,
    }
    assert runtime.commands == [Command("ls")]


async def test_each_command_has_a_session_of_its_own(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    replies = [await alice.request("POST", exec_path(), LS) for _ in range(2)]
    assert len({reply.json()["data"]["session_id"] for reply in replies}) == 2


async def test_there_is_no_service_before_the_first_reconcile(fake: FakeApp, alice: Client) -> None:
    await alice.request("POST", "/api/sandboxes", {"name": "box"})
    fake.clock.advance(0.1 - TICK)
    reply = await alice.request("POST", exec_path(), LS)
    assert_error(reply, 503, "Service Unavailable", "Sandbox service not ready")


@pytest.mark.parametrize("after", [0.1, 1.5, 2 - TICK])
async def test_a_sandbox_that_is_not_ready_runs_nothing(
    fake: FakeApp, alice: Client, after: float
) -> None:
    await alice.request("POST", "/api/sandboxes", {"name": "box"})
    fake.clock.advance(after)
    reply = await alice.request("POST", exec_path(), LS)
    assert_error(reply, 503, "Service Unavailable", "Sandbox not ready")
    fake.clock.advance(2 - after)
    assert (await alice.request("POST", exec_path(), LS)).status_code == 200


@pytest.mark.parametrize("after", [0, 0.1, 60])
async def test_a_paused_sandbox_runs_nothing_from_the_request_on(
    fake: FakeApp, alice: Client, after: float
) -> None:
    await fake.ready_sandbox(alice)
    await alice.request("POST", f"{BOX}/pause")
    fake.clock.advance(after)
    reply = await alice.request("POST", exec_path(), LS)
    assert_error(reply, 503, "Service Unavailable", "Sandbox not ready")


@pytest.mark.parametrize("after", [0, 0.1, 2 - TICK])
async def test_a_resumed_sandbox_runs_nothing_until_it_is_ready(
    fake: FakeApp, alice: Client, after: float
) -> None:
    await fake.ready_sandbox(alice)
    await alice.request("POST", f"{BOX}/pause")
    fake.clock.advance(60)
    await alice.request("POST", f"{BOX}/resume")
    fake.clock.advance(after)
    reply = await alice.request("POST", exec_path(), LS)
    assert_error(reply, 503, "Service Unavailable", "Sandbox not ready")
    fake.clock.advance(2 - after)
    assert (await alice.request("POST", exec_path(), LS)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "v1"),
        ("DELETE", "v1/shell"),
        ("PATCH", "v1/shell/exec/more"),
        ("GET", "x?y=z"),
        ("GET", "%zz"),
    ],
)
async def test_any_other_path_is_404_in_the_runtimes_shape(
    fake: FakeApp, alice: Client, method: str, path: str
) -> None:
    await fake.ready_sandbox(alice)
    reply = await alice.request(method, f"/proxy/box/{path}")
    assert reply.status_code == 404
    assert reply.json() == {"detail": "Not Found"}


async def test_another_method_is_405_in_the_runtimes_shape(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    reply = await alice.request("GET", exec_path())
    assert reply.status_code == 405
    assert reply.json() == {"detail": "Method Not Allowed"}


async def test_a_trailing_slash_and_a_query_are_tolerated(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    assert (await alice.request("POST", f"{exec_path()}/?a=b", LS)).status_code == 200


MISSING = {"loc": ["body", "command"], "msg": "Field required", "type": "missing"}


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b"{}", JSON),
        (b'{"command": "ls"}', {"Content-Type": "text/plain"}),
    ],
)
async def test_a_command_is_required(
    fake: FakeApp, alice: Client, content: bytes, headers: dict[str, str]
) -> None:
    await fake.ready_sandbox(alice)
    reply = await alice.request("POST", exec_path(), content=content, headers=headers)
    assert reply.status_code == 422
    assert reply.json() == {"detail": [MISSING]}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "json_invalid"),
        (b"\xff", "json_invalid"),
        (b"[]", "model_attributes_type"),
        (b'"ls"', "model_attributes_type"),
        (b"null", "model_attributes_type"),
    ],
)
async def test_a_body_that_is_no_object_is_422(
    fake: FakeApp, alice: Client, content: bytes, kind: str
) -> None:
    await fake.ready_sandbox(alice)
    reply = await alice.request("POST", exec_path(), content=content, headers=JSON)
    assert reply.status_code == 422
    (issue,) = reply.json()["detail"]
    assert set(issue) == {"loc", "msg", "type"}
    assert issue["type"] == kind


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("command", 7),
        ("command", None),
        ("command", ["ls"]),
        ("command", "a\0b"),
        ("id", 7),
        ("truncate", "never"),
        ("strict", 2),
        ("hard_timeout", "five"),
        ("hard_timeout", True),
        ("hard_timeout", 0),
        ("hard_timeout", -1),
        ("hard_timeout", 1e300),
        ("exec_dir", 7),
        ("exec_dir", "here"),
        ("exec_dir", ""),
        ("exec_dir", "/a\0b"),
        ("async_mode", 2),
        ("timeout", "five"),
        ("timeout", -1),
        ("no_change_timeout", 0),
        ("no_change_timeout", 2.5),
        ("preserve_symlinks", 2),
    ],
)
async def test_a_field_that_is_wrong_is_422_and_runs_nothing(
    fake: FakeApp, alice: Client, field: str, value: object
) -> None:
    await fake.ready_sandbox(alice)
    reply = await alice.request("POST", exec_path(), {**LS, field: value})
    assert reply.status_code == 422
    assert [issue["loc"] for issue in reply.json()["detail"]] == [["body", field]]
    assert fake.runtime.commands == []  # type: ignore[attr-defined]  # scripted


async def test_every_default_is_accepted(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    defaults: dict[str, Any] = {
        "id": None,
        "exec_dir": None,
        "strict": False,
        "async_mode": False,
        "timeout": None,
        "no_change_timeout": 120,
        "hard_timeout": None,
        "truncate": True,
        "unknown": 1,
    }
    assert (await alice.request("POST", exec_path(), LS | defaults)).status_code == 200


async def test_limits_reach_the_runtime(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    await alice.request("POST", exec_path(), LS | {"hard_timeout": 2.5, "truncate": False})
    assert fake.runtime.commands == [Command("ls", 2.5, truncate=False)]  # type: ignore[attr-defined]  # scripted


async def test_an_unknown_session_is_404(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    reply = await alice.request("POST", exec_path(), LS | {"id": "none-such"})
    assert reply.status_code == 404
    assert "Session not found" in reply.json()["message"]
    assert reply.json()["success"] is False


async def test_a_large_body_is_forwarded(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    reply = await alice.request("POST", exec_path(), LS | {"rest": "x" * 200_000})
    assert reply.status_code == 200


async def test_a_runtime_without_an_answer_is_a_gateway_fault() -> None:
    def script(_command: Command) -> Outcome:
        raise RuntimeUnreachable("gone")

    async with fake_app(ScriptedRuntime(script)) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        reply = await alice.request("POST", exec_path(), LS)
        assert_error(reply, 502, "Bad Gateway", "gone")


async def test_a_defect_is_500_in_the_proxys_shape_and_is_raised_to_the_test() -> None:
    def script(_command: Command) -> Outcome:
        raise ZeroDivisionError("inner words")

    async with fake_app(ScriptedRuntime(script)) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        with pytest.raises(ZeroDivisionError):
            await alice.request("POST", exec_path(), LS)
        served = httpx.ASGITransport(fake.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=served, base_url="http://fake") as http:
            reply = await Client(http, alice.key).request("POST", exec_path(), LS)
        assert reply.status_code == 500
        assert reply.json()["error"] == "Internal Server Error"
        assert "inner words" not in reply.text


async def test_pausing_and_deleting_tell_the_runtime(fake: FakeApp, alice: Client) -> None:
    await fake.ready_sandbox(alice)
    sandbox_id = fake.sandbox_id("alice")
    await alice.request("POST", f"{BOX}/pause")
    await alice.request("DELETE", BOX)
    assert fake.runtime.stopped == [sandbox_id]  # type: ignore[attr-defined]  # scripted
    assert fake.runtime.removed == [sandbox_id]  # type: ignore[attr-defined]  # scripted


async def test_after_300_s_the_proxy_gives_up_and_the_work_goes_on() -> None:
    arrived, may_end = asyncio.Event(), asyncio.Event()
    ended = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await may_end.wait()
        ended.set()

    async with fake_app(upstream=slow) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        asking = asyncio.ensure_future(alice.request("GET", "/proxy/box/slow"))
        await arrived.wait()
        fake.clock.advance(299)
        await asyncio.sleep(0)
        assert not asking.done()
        fake.clock.advance(1)
        reply = await asking
        assert_error(
            reply,
            504,
            "Gateway Timeout",
            "The sandbox has not answered within 300 s; its command continues",
        )
        assert not ended.is_set()
        may_end.set()
        await ended.wait()


async def test_an_upstream_gets_the_request_without_the_key() -> None:
    seen: list[Request] = []

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        seen.append(request)
        await Response(body, 207, {"x-own": "1"}, "text/plain")(scope, receive, send)

    async with fake_app(upstream=echo) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        reply = await alice.request(
            "PATCH", "/proxy/box/a%20b/c?x=1&y=%2F", content=b"\xff\x00", headers={"X-Mine": "2"}
        )
    assert (reply.status_code, reply.content) == (207, b"\xff\x00")
    assert (reply.headers["x-own"], reply.headers["content-type"]) == (
        "1",
        "text/plain; charset=utf-8",
    )
    (request,) = seen
    assert (request.method, request.url.path, request.url.query) == ("PATCH", "/a b/c", "x=1&y=%2F")
    assert request.headers["x-mine"] == "2"
    assert request.url.hostname == "box.user-alice.svc.cluster.local"
    assert "authorization" not in request.headers
    assert alice.key is not None
    assert alice.key not in str(request.headers)


@pytest.mark.parametrize("content_type", ["application/json", ""])
async def test_an_upstream_that_claims_json_and_sends_none_is_502(content_type: str) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"content-type": content_type} if content_type else {}
        await Response(b"<html>", 200, headers)(scope, receive, send)

    async with fake_app(upstream=broken) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        reply = await alice.request("GET", "/proxy/box/page")
    assert_error(reply, 502, "Bad Gateway", "The sandbox's response is not JSON")


async def test_an_upstream_that_breaks_off_is_502() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    for upstream in (broken, silent):
        async with fake_app(upstream=upstream) as fake:
            alice = await fake.new_user()
            await fake.ready_sandbox(alice)
            reply = await alice.request("GET", "/proxy/box/page")
        assert (reply.status_code, reply.json()["error"]) == (502, "Bad Gateway")


async def test_head_of_an_upstream_keeps_the_length_of_the_body_it_leaves_out() -> None:
    async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["method"] == "HEAD"
        await Response(headers={"content-length": "5"}, media_type="text/plain")(
            scope, receive, send
        )

    async with fake_app(upstream=upstream) as fake:
        alice = await fake.new_user("alice")
        await fake.ready_sandbox(alice)
        reply = await alice.request("HEAD", "/proxy/box/mine")
    assert (reply.status_code, reply.headers["content-length"]) == (200, "5")


async def test_an_upstream_may_stream() -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            yield f"data: {number}\n\n".encode()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        answer = StreamingResponse(chunks(), media_type="text/event-stream")
        await answer(scope, receive, send)

    async with fake_app(upstream=stream) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        reply = await alice.request("GET", "/proxy/box/events")
    assert reply.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


async def test_an_upstream_may_compress_its_json() -> None:
    app = GZipMiddleware(JSONResponse({"a": "x" * 2000}))
    async with fake_app(upstream=app) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        reply = await alice.request("GET", "/proxy/box/x", headers={"Accept-Encoding": "gzip"})
    assert (reply.status_code, reply.headers["content-encoding"]) == (200, "gzip")
    assert reply.json() == {"a": "x" * 2000}


async def test_an_upstreams_background_task_does_not_delay_the_response() -> None:
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def afterwards() -> None:
        await may_end.wait()
        ended.set()

    app = JSONResponse({}, background=BackgroundTask(afterwards))
    async with fake_app(upstream=app) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        assert (await alice.request("GET", "/proxy/box/x")).status_code == 200
        assert not ended.is_set()
        may_end.set()
        await ended.wait()
