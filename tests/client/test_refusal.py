"""What a reply outside 2xx means, in the words of the issue's table."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import _shell_wire, _wire
from sandbox_client._errors import (
    AlreadyExists,
    BrokenReply,
    KeyRejected,
    NotReady,
    NotYours,
    ProxyFailed,
    ProxyRefused,
    QuotaReached,
    RateLimited,
    SandboxError,
    SessionBusy,
    SessionGone,
)
from sandbox_client._message import Reply, Request
from sandbox_client._refusal import refusal

from tests.client.doubles import KEY, page, reply_of, says
from tests.client.hostile import bodies, locations, many, texts
from tests.client.leaks import all_words, is_one_printable_line, spelled

_REQUESTS = {
    "create": _wire.create("box", image=None, port=8888),
    "list": _wire.listing(),
    "status": _wire.status("box"),
    "execute": _shell_wire.execute("box", "s1", "ls"),
    "view": _shell_wire.view("box", "s1"),
    "delete": _wire.delete("box"),
    "pause": _wire.pause("box"),
    "resume": _wire.resume("box"),
}
_ABOUT_ONE = ["status", "execute", "delete", "pause", "resume"]
_every_verb = pytest.mark.parametrize("verb", _REQUESTS)


def meaning(verb: str, response: httpx.Response, kind: type[SandboxError]) -> SandboxError:
    """The error that the reply means, checked for its exact kind and for what all keep."""
    error = refusal(_REQUESTS[verb], reply_of(response))
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    assert is_one_printable_line(error.message)
    assert error.next_step(spelled)
    return error


@_every_verb
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Invalid API key", "The proxy does not know the API key: Invalid API key"),
        ("API key is inactive", "The API key was revoked: API key is inactive"),
        # The proxy's words are left out where they would only say it again.
        ("API key has expired", "The API key has expired"),
        ("API key has expired at noon", "The API key has expired: API key has expired at noon"),
        ("User account is inactive", "The key's user is not active"),
        ("No header", "The proxy does not know the API key: No header"),
    ],
    ids=["unknown", "revoked", "expired", "other words", "user inactive", "header lost on the way"],
)
def test_a_bad_key_is_told_with_the_proxys_own_reason(verb: str, said: str, words: str) -> None:
    error = meaning(verb, says(401, said, "Unauthorized"), KeyRejected)

    assert error.message == words
    assert "key" in error.fault
    assert "administrator" in error.advice
    assert not error.retryable


@pytest.mark.parametrize("verb", _ABOUT_ONE)
def test_403_and_404_say_alike_that_there_is_no_such_sandbox_of_yours(verb: str) -> None:
    said = "You do not have access to this sandbox"
    errors = [meaning(verb, says(status, said), NotYours) for status in (403, 404)]

    assert [error.message for error in errors] == [f"No sandbox 'box' of yours: {said}"] * 2
    assert "<list>" in errors[0].next_step(spelled)
    assert errors[0].advice == errors[1].advice


def test_409_says_that_the_name_is_taken() -> None:
    error = meaning("create", says(409, "Sandbox 'box' already exists"), AlreadyExists)

    assert error.message == "The name 'box' is taken"
    assert "taken" in error.fault
    assert "<delete>" in error.next_step(spelled)


@pytest.mark.parametrize(
    "response",
    [
        says(403, "Quota reached: at most 10 sandboxes"),
        says(500, 'pods "box" is forbidden: exceeded quota: sandboxes', "Internal server error"),
    ],
    ids=["403", "500 as deployed"],
)
def test_a_used_up_quota_is_told_as_such(response: httpx.Response) -> None:
    error = meaning("create", response, QuotaReached)

    assert "No room for sandbox 'box'" in error.message
    assert "paused sandboxes count" in error.fault
    assert "<delete>" in error.next_step(spelled)
    assert not error.retryable


@pytest.mark.parametrize("verb", ["status", "execute", "delete", "pause", "resume", "list"])
@pytest.mark.parametrize("status", [403, 500])
def test_only_a_create_can_meet_the_quota(verb: str, status: int) -> None:
    error = refusal(_REQUESTS[verb], reply_of(says(status, "write: Disk quota exceeded")))

    assert not isinstance(error, QuotaReached)


@pytest.mark.parametrize("said", ["Sandbox not ready", "Sandbox service not ready"])
def test_not_ready_says_how_long_it_usually_takes(said: str) -> None:
    error = meaning("execute", says(503, said, "Service Unavailable"), NotReady)

    assert error.message.startswith("Sandbox 'box' is not ready")
    assert ("service" in error.message) == ("service" in said)
    assert "10 to 30 s" in error.advice
    assert "<status>" in error.next_step(spelled)


@_every_verb
@pytest.mark.parametrize("status", [500, 501, 502, 503, 520, 599])
def test_a_failure_is_told_with_the_proxys_message(verb: str, status: int) -> None:
    error = meaning(verb, says(status, "Unable to reach the database"), ProxyFailed)

    assert error.message == f"The proxy failed ({status}): Unable to reach the database"
    assert "not the request" in error.fault
    assert error.status == status


@_every_verb
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_load_balancers_page_is_told_as_such(verb: str, status: int) -> None:
    error = meaning(verb, page(status), ProxyFailed)

    assert error.message.startswith(f"The proxy answered {status} with an HTML page")
    assert "Bad Gateway" not in error.message


@_every_verb
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418])
def test_a_page_in_the_place_of_a_refusal_is_a_broken_reply(verb: str, status: int) -> None:
    error = meaning(verb, page(status), BrokenReply)

    assert f"answered {status} with an HTML page" in error.message
    assert "proxyUrl" in error.advice


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty body"),
        (b"oops", "a body of 4 bytes that is not JSON"),
        (b"o", "a body of 1 byte that is not JSON"),
        (b"{}", "JSON that holds no message"),
        (b"[1]", "JSON that holds no message"),
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_a_refusal_without_words_is_told_by_its_form(
    status: int, content: bytes, words: str
) -> None:
    error = refusal(_REQUESTS["status"], reply_of(httpx.Response(status, content=content)))

    assert error.message == f"The proxy answered {status} with {words}"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failed_prompt_warns_that_the_command_may_have_run(status: int) -> None:
    error = meaning("execute", says(status, "fetch failed"), ProxyFailed)

    assert "may have run" in error.advice
    assert "before you send it again" in error.advice.replace("\n", " ")
    assert not error.retryable


def test_a_session_that_is_not_there_is_told_apart_from_a_sandbox_that_is_not() -> None:
    error = meaning("view", says(404, "Session not found: s1"), SessionGone)

    assert error.message == "Sandbox 'box' has no such session: Session not found: s1"
    assert "<sessions>" in error.next_step(spelled)
    assert "pause" in error.fault


def test_a_session_that_runs_something_else_says_what_can_be_done() -> None:
    error = meaning("execute", says(409, "Session s1 still runs a command: make"), SessionBusy)

    assert "still runs a command: make" in error.message
    assert "<cancel>" in error.next_step(spelled)
    assert not error.retryable


@pytest.mark.parametrize("verb", ["create", "list"])
def test_403_without_a_sandbox_in_question_does_not_speak_of_one(verb: str) -> None:
    error = meaning(verb, says(403, "Namespace is terminating"), ProxyRefused)

    assert error.message == "The proxy refused the request (403): Namespace is terminating"


@_every_verb
def test_a_route_that_is_not_there_points_at_the_path_in_proxy_url(verb: str) -> None:
    error = meaning(verb, says(404, "Route GET /x/api/sandboxes not found"), BrokenReply)

    assert "path in proxyUrl" in error.advice


@pytest.mark.parametrize("status", [400, 413, 422])
def test_another_refusal_is_told_with_status_and_message(status: int) -> None:
    error = meaning("pause", says(status, "too much"), ProxyRefused)

    assert error.message == f"The proxy refused the request ({status}): too much"


def test_429_says_how_long_to_wait() -> None:
    reply = Reply(429, b'{"message": "slow down"}', retry_after=7.0)

    error = refusal(_REQUESTS["status"], reply)

    assert isinstance(error, RateLimited)
    assert error.advice.startswith("Wait 7 s")
    assert (error.retry_after, error.retryable) == (7.0, True)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
@_every_verb
def test_a_redirect_is_told_by_where_it_leads_and_not_followed(verb: str, status: int) -> None:
    response = httpx.Response(status, headers={"location": "https://login.test/in?next=1"})

    error = meaning(verb, response, BrokenReply)

    assert f"redirect ({status}) to https://login.test," in error.message
    assert "next=1" not in error.message
    assert "proxyUrl" in error.advice


def test_a_redirect_that_echoes_the_key_does_not_show_it_in_any_case() -> None:
    response = httpx.Response(302, headers={"location": f"https://{KEY}.test/{KEY}?{KEY}"})

    error = meaning("list", response, BrokenReply)

    assert KEY.lower() not in all_words(error).lower()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 503])
@_every_verb
def test_a_refusal_that_echoes_the_key_does_not_show_it(verb: str, status: int) -> None:
    error = refusal(_REQUESTS[verb], reply_of(says(status, f"no\n{KEY}\x1b[31m", error=KEY)))

    assert KEY not in all_words(error)
    assert is_one_printable_line(error.message)


@many
@given(
    request=st.sampled_from(list(_REQUESTS.values())),
    status=st.integers(-1, 999).filter(lambda status: not 200 <= status < 300),
    body=bodies,
    content_type=texts,
    location=locations,
    retry_after=st.one_of(st.none(), st.floats(0, 99999)),
)
def test_any_reply_outside_2xx_is_a_sandbox_error_of_one_line(
    request: Request,
    status: int,
    body: bytes,
    content_type: str,
    location: str,
    retry_after: float | None,
) -> None:
    reply = Reply(status, body, content_type, location, retry_after, KEY)

    error = refusal(request, reply)

    assert isinstance(error, SandboxError)
    assert is_one_printable_line(error.message)
    assert KEY not in all_words(error)
    assert len(error.message) < 500
