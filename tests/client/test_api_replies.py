"""Reading replies: values, or one error that describes the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import example, given
from sandbox_client import Sandbox, SandboxError, SessionRow
from sandbox_client.api import accounts, pipes, sandboxes, shell
from sandbox_client.api.message import Reply
from sandbox_client.api.pipes import PipeSnapshot
from sandbox_client.api.shell import Snapshot
from sandbox_client.errors import InvalidResponse

from tests.client.secrecy import assert_presentable
from tests.client.statuses import ALPHA_NEW, ALPHA_READY, BETA_PAUSED, StatusRow
from tests.client.strategies import malformed_bodies, many_examples, odd_texts
from tests.client.stubs import CREATED_AT, KEY, as_reply, created, error_reply, html_page, succeeded

if TYPE_CHECKING:
    from collections.abc import Callable

_READERS: dict[str, Callable[[Reply], object]] = {
    "sandbox": lambda reply: sandboxes.read_sandbox(reply, "box"),
    "listing": sandboxes.read_listing,
    "created": lambda reply: sandboxes.read_created(reply, "box"),
    "done": sandboxes.read_done,
    "executed": shell.read_executed,
    "viewed": shell.read_view,
    "sessions": shell.read_sessions,
    "pipe executed": pipes.read_executed,
    "pipe output": lambda reply: pipes.read_output(reply, 0, 0),
    "pipe sessions": pipes.read_sessions,
}

_READERS_OF_MINE: dict[str, Callable[[Reply], object]] = {
    "executed": lambda reply: shell.read_executed(reply, "mine"),
    "viewed": lambda reply: shell.read_view(reply, session="mine"),
    "pipe executed": lambda reply: pipes.read_executed(reply, "mine"),
    "pipe output": lambda reply: pipes.read_output(reply, 0, 0, "mine"),
    "pipe opened": lambda reply: pipes.read_opened(reply, "mine"),
}


def json_reply(value: object, status: int = 200) -> Reply:
    return as_reply(httpx.Response(status, json=value))


@pytest.mark.parametrize("row", [ALPHA_NEW, ALPHA_READY, BETA_PAUSED], ids=lambda row: str(row.id))
def test_a_status_is_read_with_all_its_fields(row: StatusRow) -> None:
    sandbox = sandboxes.read_sandbox(json_reply(row.body()), "box")

    assert (sandbox.ready, sandbox.replicas) == (row.ready, row.replicas)
    assert (sandbox.reason, sandbox.message) == (row.reason or "", row.message or "")
    assert (sandbox.name, sandbox.created_at) == ("box", CREATED_AT)


def test_a_list_keeps_the_order_of_the_proxy_and_has_no_replicas() -> None:
    rows = [ALPHA_READY.listed("new"), ALPHA_NEW.listed("old")]

    listed = sandboxes.read_listing(json_reply({"count": 2, "sandboxes": rows}))

    assert [(each.name, each.ready, each.replicas) for each in listed] == [
        ("new", True, None),
        ("old", False, None),
    ]


def test_a_status_of_another_sandbox_is_not_taken_for_the_right_one() -> None:
    with pytest.raises(InvalidResponse, match="reply is about sandbox other, not 'box'"):
        sandboxes.read_sandbox(json_reply(ALPHA_READY.body("other")), "box")


def test_the_creation_of_another_sandbox_or_user_is_not_taken_for_the_right_one() -> None:
    with pytest.raises(InvalidResponse, match="reply is about sandbox other, not 'box'"):
        sandboxes.read_created(as_reply(created("other")), "box")
    user = {"id": "1", "username": "bob", "is_active": True}
    with pytest.raises(InvalidResponse, match="reply is about user bob, not 'ada'"):
        accounts.read_made_user(json_reply({"user": user}, 201), "ada")


@pytest.mark.parametrize("count", [0, 2, True, "1"])
def test_a_list_with_another_count_than_its_rows_is_not_taken_as_whole(count: object) -> None:
    rows: list[dict[str, object]] = [ALPHA_READY.listed()]
    content = {"count": count, "sandboxes": rows, "users": rows}

    with pytest.raises(InvalidResponse, match=r"1 row, and says that it has [02]|as count"):
        sandboxes.read_listing(json_reply(content))
    with pytest.raises(InvalidResponse, match=r"1 row, and says that it has [02]|as count"):
        accounts.read_users(json_reply(content))


def test_a_list_may_lack_its_count() -> None:
    assert len(sandboxes.read_listing(json_reply({"sandboxes": [ALPHA_READY.listed()]}))) == 1


def test_an_empty_list_is_read() -> None:
    assert sandboxes.read_listing(json_reply({"count": 0, "sandboxes": []})) == []


@pytest.mark.parametrize(
    ("value", "image"),
    [
        ({"success": True, "sandbox": {"name": "box", "image": "aio:1"}}, "aio:1"),
        ({"success": True, "sandbox": {"name": "box", "image": None}}, ""),
    ],
)
def test_the_image_of_a_new_sandbox_is_read_if_present(value: object, image: str) -> None:
    assert sandboxes.read_created(json_reply(value, 201), "box") == image


@pytest.mark.parametrize("more", [{}, {"sandbox": {}}, {"sandbox": None}, {"sandbox": {"name": 1}}])
def test_a_creation_without_the_sandbox_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(InvalidResponse, match=r"as (sandbox|name), where the contract says"):
        sandboxes.read_created(json_reply({"success": True, **more}, 201), "box")


def test_a_reply_with_success_is_accepted() -> None:
    sandboxes.read_done(as_reply(succeeded("Sandbox 'box' paused successfully", replicas=0)))


@pytest.mark.parametrize("read", [_READERS["done"], _READERS["created"]])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"success": False, "message": "no room"}, "answered 200 without success: no room"),
        ({"success": False}, "answered 200 without success: no reason given"),
        ({}, "has nothing as success, where the contract says true"),
        ({"success": "true"}, "has a string as success, where the contract says true"),
        ({"sandbox": {"name": "box", "image": "aio:1"}}, "has nothing as success"),
    ],
)
def test_a_reply_without_success_is_refused(
    read: Callable[[Reply], object], value: object, words: str
) -> None:
    with pytest.raises(InvalidResponse, match=words):
        read(json_reply(value))


@pytest.mark.parametrize("read", _READERS_OF_MINE.values(), ids=_READERS_OF_MINE)
def test_the_output_of_another_session_is_refused(read: Callable[[Reply], object]) -> None:
    data = {"session_id": "mine", "status": "completed", "exit_code": 0}

    read(json_reply({"success": True, "data": data}))
    with pytest.raises(InvalidResponse, match="is about session theirs, not 'mine'"):
        read(json_reply({"success": True, "data": data | {"session_id": "theirs"}}))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("NaN", "has NaN as a number, which JSON does not know"),
        ("-Infinity", "has -Infinity as a number, which JSON does not know"),
        ("1e999", "has 1e999 as a number, which is too large"),
        ("-1" + "0" * 400 + ".5", "has -1000000000000000000 as a number, which is too large"),
        ("1.5", "has the number 1.5 as replicas, where the contract says a whole number"),
        ("1e2", "has the number 100 as replicas, where the contract says a whole number"),
        ('"1"', "has a string as replicas, where the contract says a whole number"),
    ],
)
def test_an_impossible_number_is_named(number: str, words: str) -> None:
    body = f'{{"name": "box", "ready": true, "replicas": {number}}}'.encode()

    with pytest.raises(InvalidResponse, match=words):
        sandboxes.read_sandbox(Reply(200, body), "box")


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (html_page(200), "an HTML page"),
        (httpx.Response(200, content=b"<!doctype html>"), "an HTML page"),
        (httpx.Response(200), "an empty body"),
        (httpx.Response(200, content=b"\xff\xfe\x00"), "a body of 3 bytes that is not JSON"),
        (httpx.Response(200, json=[]), "an array"),
        (httpx.Response(200, json="ok"), "a string"),
        (httpx.Response(200, content=b"null"), "nothing"),
    ],
    ids=["HTML", "HTML without its type", "empty", "bytes", "array", "string", "null"],
)
def test_a_body_that_is_not_an_object_is_described(response: httpx.Response, words: str) -> None:
    with pytest.raises(InvalidResponse, match=words) as caught:
        sandboxes.read_sandbox(as_reply(response), "box")

    assert "proxyUrl" in caught.value.advice


@pytest.mark.parametrize("reader", _READERS)
def test_every_reader_rejects_an_array(reader: str) -> None:
    with pytest.raises(InvalidResponse, match="an array"):
        _READERS[reader](json_reply([]))


def _without(field: str) -> dict[str, object]:
    body = ALPHA_READY.body()
    del body[field]
    return body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (_without("name"), "name"),
        (_without("ready"), "ready"),
        (_without("replicas"), "replicas"),
        (ALPHA_READY.body() | {"name": 1}, "name"),
        (ALPHA_READY.body() | {"ready": "true"}, "ready"),
        (ALPHA_READY.body() | {"ready": 1}, "ready"),
        (ALPHA_READY.body() | {"replicas": True}, "replicas"),
        (ALPHA_READY.body() | {"replicas": "1"}, "replicas"),
        (ALPHA_READY.body() | {"readyReason": 0}, "readyReason"),
        (ALPHA_READY.body() | {"createdAt": 0}, "createdAt"),
    ],
)
def test_the_error_for_a_wrong_field_names_the_field(body: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidResponse, match=f" as {field}, where the contract says "):
        sandboxes.read_sandbox(json_reply(body), "box")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"error": "Conflict", "message": "Sandbox 'x' already exists"}, "already exists"),
        ({"error": "Conflict"}, "Conflict"),
        ({"error": "Conflict", "message": ""}, "Conflict"),
        ({"error": "Conflict", "message": 7}, "Conflict"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body"], "msg": "Field required"}]}, "Field required"),
    ],
)
def test_the_proxys_message_comes_before_its_reason_phrase(value: object, words: str) -> None:
    assert words in json_reply(value, 409).message()


@pytest.mark.parametrize("value", [{}, [], "x", 1, None, {"message": None}, {"error": {}}])
def test_a_reply_without_a_message_has_an_empty_message(value: object) -> None:
    assert json_reply(value, 400).message() == ""


@many_examples
@given(text=odd_texts)
@example(text=f"a\r\nb\x1b[31m\u202e{KEY}" * 50)
def test_the_proxys_text_becomes_one_short_printable_line_without_the_key(text: str) -> None:
    line = as_reply(error_reply(400, "")).clean(text)

    assert line.isprintable()
    assert len(line) <= 300
    assert KEY not in line
    assert line == line.strip()


def test_the_key_is_masked_in_upper_and_lower_case() -> None:
    reply = as_reply(error_reply(400, ""), secret="Admin-Key")  # not in the form of a user's key

    assert reply.clean("no such host: admin-key.test") == "no such host: [key].test"


def test_the_repr_of_a_reply_hides_the_key() -> None:
    assert KEY not in repr(as_reply(created()))


def _texts_of(value: object) -> list[str]:
    """Return the texts of a value that are shown, without the output of commands."""
    if isinstance(value, list):
        return [text for row in value for text in _texts_of(row)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # a list of anything
    if isinstance(value, Sandbox):
        return [value.name, value.reason, value.message, value.service, value.created_at]
    if isinstance(value, SessionRow):
        return [value.id, value.created_at, value.used_at]
    return [value] if isinstance(value, str) else []


@many_examples
@given(body=malformed_bodies)
def test_every_reader_returns_a_value_or_raises_a_sandbox_error(body: bytes) -> None:
    for read in _READERS.values():
        try:
            value = read(Reply(200, body, secret=KEY))
        except SandboxError as error:
            assert_presentable(error, secret=KEY)
            continue
        for text in _texts_of(value):
            assert text.isprintable()
            assert KEY not in text
        # Output may have several lines, but has to be valid Unicode.
        if isinstance(value, Snapshot):
            value.output.encode()
        if isinstance(value, PipeSnapshot):
            "".join(chunk.text for chunk in value.chunks).encode()
