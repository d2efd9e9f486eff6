"""Requests as a judge sends them, and expectations of answers."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
from sandbox_contract.http.client import Caller, HttpClient, Unreachable
from sandbox_contract.http.exchange import Exchange, Redactor
from sandbox_contract.http.expect import NoAnswer, Reply, Violation, require
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

KEY = "sk_live_" + "k" * 32


def reply(body: Any, status: int = 200, content_type: str = "application/json") -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": content_type}
    return Reply(Exchange("GET", "/x", {}, b"", status, headers, content, 0.1))


# Redaction --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (f"Bearer {KEY}", "Bearer ***"),
        (f"Basic {KEY}", "Basic ***"),
        (KEY, "***"),
        ("Bearer", "***"),
        ("", ""),
    ],
)
def test_of_an_authorization_header_the_scheme_is_shown(sent: str, shown: str) -> None:
    assert Redactor().header("Authorization", sent) == shown


def test_keys_are_masked_wherever_they_stand() -> None:
    redactor = Redactor()
    redactor.keep("an admin's secret")
    redactor.keep(None)
    text = f'{{"api_key": "{KEY}", "said": "an admin\'s secret"}}'
    assert redactor.text(text) == '{"api_key": "sk_live_***", "said": "***"}'


def test_of_two_secrets_the_one_within_the_other_leaves_no_trace() -> None:
    redactor = Redactor()
    redactor.keep("abcdef")
    redactor.keep("abcdefghi")
    assert redactor.text("abcdefghi abcdef") == "*** ***"


def test_a_key_that_is_no_more_than_a_word_is_masked_in_its_header_alone() -> None:
    redactor = Redactor()
    redactor.keep("admin")
    assert redactor.text("/api/admin/users") == "/api/admin/users"
    assert redactor.header("Authorization", "Bearer admin") == "Bearer ***"


def test_an_exchange_is_shown_without_keys_and_cut() -> None:
    body = b'{"api_key": "' + KEY.encode() + b'", "more": "' + b"x" * 9000 + b'"}'
    sent = {"authorization": f"Bearer {KEY}", "x-other": KEY}
    exchange = Exchange("POST", f"/a/{KEY}", sent, b"\xff\xfe", 201, {"x": KEY}, body, 0.5)
    shown = exchange.redacted()
    assert KEY not in repr(shown)
    assert shown.request == "POST /a/sk_live_*** (2 bytes that are no text)"
    assert re.fullmatch(r"201 \{.*x… \(\d+ characters more\)", shown.answer)


# Expectations -----------------------------------------------------------------------------------


def violated(expectation: Callable[[], object]) -> str:
    with pytest.raises(Violation) as raised:
        expectation()
    return str(raised.value)


def test_a_status_among_the_expected_ones_passes() -> None:
    assert reply({}, 409).expect(201, 409).status == 409
    said = violated(lambda: reply({}, 500).expect(201, 409))
    assert said == "expected one of 201, 409, received 500 {}"


def test_fields_may_be_more_and_must_be_right() -> None:
    assert reply({"a": 1, "b": 2}).expect_fields(a=1)["b"] == 2
    wrongs: list[Any] = [{"a": "1"}, {"b": 1}, [], 5, {"a": 2}]
    for wrong in wrongs:
        assert "a=1" in violated(partial(reply(wrong).expect_fields, 200, a=1))
    assert violated(lambda: reply({"a": 1}, 201).expect_fields(a=1)).startswith("expected 200,")


def test_a_field_that_is_missing_is_the_targets_fault() -> None:
    body = reply({"user": {}}).expect_fields()
    assert violated(lambda: body["user"]["id"]) == "expected a field 'id', received {}"


@pytest.mark.parametrize(("body", "wanted"), [({"a": 1}, True), ({"a": True}, 1), ({"a": 1.0}, 1)])
def test_true_is_no_number(body: Any, wanted: object) -> None:
    assert f"with a {wanted!r}" in violated(lambda: reply(body).expect_fields(a=wanted))


@pytest.mark.parametrize(
    ("body", "field", "shape"),
    [
        (b'{"user": []}', "user", "an object"),
        (b'{"users": {}}', "users", "a list of objects"),
        (b'{"users": [{}, 1]}', "users", "a list of objects"),
        (b'{"id": 5}', "id", "text"),
    ],
)
def test_a_field_of_another_shape_is_the_targets_fault(body: bytes, field: str, shape: str) -> None:
    fields = reply(body).expect_fields()
    assert f"a field {field!r} that is {shape}" in violated(lambda: fields[field])


def test_a_body_that_is_no_json_or_no_object_is_the_targets_fault() -> None:
    assert "a body of JSON" in violated(reply(b"<html>").json)
    assert "a JSON object" in violated(reply([]).fields)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "Forbidden"},
        {"message": "no"},
        {"error": "Nope", "message": "no"},
        {"error": "Forbidden", "message": ""},
        {"error": "Forbidden", "message": 5},
        {"error": "Forbidden", "message": "yes"},
        ["Forbidden", "no"],
        b"Forbidden",
    ],
)
def test_a_refusal_has_phrase_and_message(body: Any) -> None:
    violated(lambda: reply(body, 403).expect_refusal(403, "no"))


def test_a_refusal_may_be_told_by_a_part_of_its_message() -> None:
    refused = reply({"error": "Forbidden", "message": "no: too many"}, 403)
    refused.expect_refusal(403)
    refused.expect_refusal(403, re.compile("too many"))
    assert "and message 'too few'" in violated(
        lambda: refused.expect_refusal(403, re.compile("too few"))
    )


@pytest.mark.parametrize("phrase", ["Payload Too Large", "Content Too Large"])
def test_a_status_with_two_names_may_have_either(phrase: str) -> None:
    reply({"error": phrase, "message": "too large"}, 413).expect_refusal(413)


def test_an_answer_may_have_to_be_like_another() -> None:
    reply({"a": 1}).expect_like(reply({"a": 1}))
    assert "the same answer as" in violated(lambda: reply({"a": 1}).expect_like(reply({"a": 2})))
    assert "the same answer as" in violated(lambda: reply({}, 403).expect_like(reply({}, 404)))


def test_long_values_are_cut_in_a_sentence() -> None:
    said = violated(lambda: require(False, "little", "x" * 5000))
    assert len(said) < 700


# Requests ---------------------------------------------------------------------------------------


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    if scope["path"].endswith("/moved"):
        await RedirectResponse("/elsewhere")(scope, receive, send)
        return
    said = {
        "path": "?".join(
            filter(None, [scope["raw_path"].decode(), scope["query_string"].decode()])
        ),
        "authorization": request.headers.get("authorization"),
        "cookie": request.headers.get("cookie"),
        "body": (await request.body()).decode(),
    }
    await JSONResponse(said, headers={"set-cookie": "session=1"})(scope, receive, send)


async def test_no_caller_gets_the_cookies_of_another() -> None:
    wire = HttpClient("http://target.test", echo)
    for caller in (Caller.with_key(wire, KEY), Caller(wire)):
        assert (await caller("GET", "/")).fields()["cookie"] is None
    await wire.close()


async def test_a_path_is_sent_as_it_is_written_below_the_base() -> None:
    wire = HttpClient("http://target/prefix/", echo)
    caller = Caller(wire)
    for path in ("/a%2Fb", "/%2e%2e/x", "/a//b/", "/a?b=%2F&c"):
        assert (await caller("GET", path)).fields()["path"] == f"/prefix{path}"
    await wire.close()


async def test_no_redirect_is_followed() -> None:
    wire = HttpClient("http://target", echo)
    (await Caller.with_key(wire, KEY)("GET", "/moved")).expect(307)
    await wire.close()


async def test_without_a_key_no_authorization_header_is_sent() -> None:
    wire = HttpClient("http://target", echo)
    nobody = Caller(wire)
    assert (await nobody("GET", "/")).fields()["authorization"] is None
    assert (await nobody.saying("")("GET", "/")).fields()["authorization"] == ""
    said = (await Caller.with_key(wire, KEY)("POST", "/", {"a": 1})).fields()
    assert (said["authorization"], said["body"]) == (f"Bearer {KEY}", '{"a":1}')
    await wire.close()


async def test_observers_see_every_exchange() -> None:
    wire, seen = HttpClient("http://target", echo), list[Exchange]()
    wire.observers.append(seen.append)
    await Caller(wire)("PUT", "/x", content=b"abc")
    assert [(each.method, each.path, each.request_body, each.status) for each in seen] == [
        ("PUT", "/x", b"abc", 200)
    ]
    await wire.close()


async def test_an_app_that_breaks_is_an_answer_of_500() -> None:
    async def breaks(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("a defect")

    wire = HttpClient("http://target", breaks)
    (await Caller(wire)("GET", "/")).expect(500)
    await wire.close()


async def test_a_refused_connection_is_not_the_targets_fault() -> None:
    wire = HttpClient("http://127.0.0.1:1", None)
    with pytest.raises(Unreachable, match=r"nothing answers at http://127\.0\.0\.1:1 \(Connect"):
        await Caller(wire)("GET", "/")
    await wire.close()


async def test_no_answer_within_the_time_is_a_promise_broken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wire = HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}", None)
        with pytest.raises(NoAnswer, match=r"an answer to GET /, received no complete one within"):
            await Caller(wire)("GET", "/", seconds=0.1)
        await wire.close()


async def test_blanks_around_a_headers_value_are_sent_as_they_are() -> None:
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 201 Created\r\nX-Mine: yes\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        wire = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base", None)
        reply = await Caller(wire, "Bearer key \t")("GET", "/a%2Fb")
        await wire.close()
    assert (reply.expect_fields(201), reply.headers["x-mine"]) == ({}, "yes")
    line, *fields = received[0].split(b"\r\n")
    assert line == b"GET /base/a%2Fb HTTP/1.1"
    assert b"Authorization: Bearer key \t" in fields


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n"])
async def test_an_answer_to_such_a_request_that_is_no_http_is_no_answer(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        wire = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
        with pytest.raises(NoAnswer):
            await Caller(wire, "Bearer key ")("GET", "/")
        await wire.close()


async def test_a_raw_request_may_be_refused_or_time_out() -> None:
    wire = HttpClient("http://127.0.0.1:1", None)
    with pytest.raises(Unreachable):
        await Caller(wire, "Bearer key ")("GET", "/")
    await wire.close()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wire = HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}", None)
        with pytest.raises(NoAnswer, match="no complete one within"):
            await Caller(wire, "Bearer key ")("GET", "/", seconds=0.1)
        await wire.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def endless(block: bytes, pause: float = 0) -> AsyncGenerator[HttpClient]:
    """Serve answers that consist of a block, sent again until the client leaves."""
    handlers = set[asyncio.Task[None] | None]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"%x\r\n%b\r\n" % (len(block), block))
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        wire = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
        try:
            yield wire
        finally:
            await wire.close()
            await asyncio.gather(*filter(None, handlers))


# A blank after the key has the request sent verbatim, by a thread.
@pytest.mark.parametrize("authorization", ["Bearer key", "Bearer key "])
async def test_an_answer_that_comes_byte_by_byte_ends_at_its_deadline(authorization: str) -> None:
    async with endless(b" ", pause=0.01) as wire:
        with pytest.raises(NoAnswer, match=r"no complete one within 0\.[1-9] s"):
            await Caller(wire, authorization)("GET", "/", seconds=0.2)


@pytest.mark.parametrize("authorization", ["Bearer key", "Bearer key "])
async def test_an_answer_without_end_is_read_up_to_a_limit(authorization: str) -> None:
    async with endless(b" " * 65_536) as wire:
        with pytest.raises(NoAnswer, match="an answer to GET / of at most 16 MB, received more"):
            await Caller(wire, authorization)("GET", "/")


async def test_after_an_interruption_a_target_that_hangs_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox_contract.http.client._INTERRUPTED_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wire = HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}", None)
        wire.interrupt()
        with pytest.raises(NoAnswer, match="no complete one within"):
            await Caller(wire)("GET", "/")
        with pytest.raises(NoAnswer, match="not sent, since an earlier request was not answered"):
            await Caller(wire)("GET", "/")
        await wire.close()
