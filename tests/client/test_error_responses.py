"""The error for each reply outside 2xx."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client.api import accounts, files, sandboxes, shell
from sandbox_client.api.message import Reply, Request
from sandbox_client.api.runtime import Task
from sandbox_client.error_responses import refusal
from sandbox_client.errors import (
    AdminKeyRejected,
    AlreadyExists,
    InvalidResponse,
    KeyRejected,
    NoSuchAPI,
    NotReady,
    ProxyFailed,
    ProxyRefused,
    QuotaReached,
    RateLimited,
    SandboxError,
    SandboxNotFound,
    SessionBusy,
    SessionNotFound,
)

from tests.client.secrecy import format_verb, is_one_printable_line, shown_text
from tests.client.strategies import malformed_bodies, many_examples, odd_locations, odd_texts
from tests.client.stubs import KEY, as_reply, error_reply, html_page

_REQUESTS = {
    "create": sandboxes.create("box", image=None, port=8888),
    "list": sandboxes.listing(),
    "status": sandboxes.status("box"),
    "execute": shell.execute("box", "s1", Task("ls")),
    "view": shell.view("box", "s1"),
    "delete": sandboxes.delete("box"),
    "pause": sandboxes.pause("box"),
    "resume": sandboxes.resume("box"),
    "read file": files.read("box", "/f"),
    "users": accounts.users(),
}
_ABOUT_ONE = ["status", "execute", "delete", "pause", "resume"]
every_operation = pytest.mark.parametrize("operation", _REQUESTS)


def mapped(operation: str, response: httpx.Response, kind: type[SandboxError]) -> SandboxError:
    """Return the error for the reply, after checking its exact class, message and advice."""
    error = refusal(_REQUESTS[operation], as_reply(response))
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    assert is_one_printable_line(error.message)
    assert error.next_step(format_verb)
    return error


@pytest.mark.parametrize(
    ("said", "message"),
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
def test_401_is_a_rejected_key_with_the_proxys_reason(said: str, message: str) -> None:
    error = mapped("status", error_reply(401, said, "Unauthorized"), KeyRejected)

    assert error.message == message
    assert "key" in error.fault
    assert "administrator" in error.advice
    assert not error.retryable


@every_operation
def test_401_is_a_rejected_key_for_every_operation(operation: str) -> None:
    mapped(operation, error_reply(401, "Invalid API key"), KeyRejected)


@pytest.mark.parametrize("operation", _ABOUT_ONE)
def test_403_and_404_have_the_same_message_and_advice(operation: str) -> None:
    said = "You do not have access to this sandbox"
    errors = [
        mapped(operation, error_reply(status, said), SandboxNotFound) for status in (403, 404)
    ]

    assert [error.message for error in errors] == [f"No sandbox 'box' of yours: {said}"] * 2
    assert "<list>" in errors[0].next_step(format_verb)
    assert errors[0].advice == errors[1].advice


def test_409_to_create_is_a_taken_name() -> None:
    error = mapped("create", error_reply(409, "Sandbox 'box' already exists"), AlreadyExists)

    assert error.message == "The name 'box' is taken"
    assert "taken" in error.fault
    assert "<delete>" in error.next_step(format_verb)


@pytest.mark.parametrize(
    "response",
    [
        error_reply(403, "Quota reached: at most 10 sandboxes"),
        error_reply(
            500, 'pods "box" is forbidden: exceeded quota: sandboxes', "Internal server error"
        ),
    ],
    ids=["403", "500 as deployed"],
)
def test_a_used_up_quota_has_its_own_error(response: httpx.Response) -> None:
    error = mapped("create", response, QuotaReached)

    assert "No room for sandbox 'box'" in error.message
    assert "paused sandboxes count" in error.fault
    assert "<delete>" in error.next_step(format_verb)
    assert not error.retryable


@pytest.mark.parametrize("status", [403, 500])
def test_only_create_reports_a_used_up_quota(status: int) -> None:
    reply = as_reply(error_reply(status, "write: Disk quota exceeded"))

    assert not isinstance(refusal(_REQUESTS["execute"], reply), QuotaReached)


@pytest.mark.parametrize("said", ["Sandbox not ready", "Sandbox service not ready"])
def test_not_ready_tells_the_usual_seconds(said: str) -> None:
    error = mapped("execute", error_reply(503, said, "Service Unavailable"), NotReady)

    assert error.message.startswith("Sandbox 'box' is not ready")
    assert ("service" in error.message) == ("service" in said)
    assert "10 to 30 s" in error.advice
    assert "<status>" in error.next_step(format_verb)


@pytest.mark.parametrize("status", [500, 501, 502, 503, 520, 599])
def test_5xx_is_a_failure_with_the_proxys_message(status: int) -> None:
    error = mapped("status", error_reply(status, "Unable to reach the database"), ProxyFailed)

    assert error.message == f"The proxy failed ({status}): Unable to reach the database"
    assert "not the request" in error.fault
    assert error.status == status


@every_operation
def test_5xx_is_a_failure_for_every_operation(operation: str) -> None:
    mapped(operation, error_reply(500, "Unable to reach the database"), ProxyFailed)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_html_page_with_5xx_is_a_failure_without_the_pages_text(status: int) -> None:
    error = mapped("status", html_page(status), ProxyFailed)

    assert error.message.startswith(f"The proxy answered {status} with an HTML page")
    assert "Bad Gateway" not in error.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418])
def test_an_html_page_with_4xx_is_an_invalid_reply(status: int) -> None:
    error = mapped("status", html_page(status), InvalidResponse)

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
def test_an_error_without_a_message_tells_the_form_of_its_body(
    status: int, content: bytes, words: str
) -> None:
    error = refusal(_REQUESTS["status"], as_reply(httpx.Response(status, content=content)))

    assert error.message == f"The proxy answered {status} with {words}"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_5xx_to_a_command_warns_that_it_may_have_run(status: int) -> None:
    error = mapped("execute", error_reply(status, "fetch failed"), ProxyFailed)

    assert "may have run" in error.advice
    assert "before you send it again" in error.advice.replace("\n", " ")
    assert not error.retryable


@pytest.mark.parametrize(
    ("operation", "part"), [("execute", "shell"), ("view", "shell"), ("read file", "file")]
)
def test_a_runtime_without_the_api_advises_another_image(operation: str, part: str) -> None:
    error = mapped(operation, error_reply(404, "Not Found"), NoSuchAPI)

    assert error.message == f"The runtime of sandbox 'box' has no {part} API: Not Found"
    assert "image" in error.advice


def test_403_from_an_administrators_route_is_a_rejected_admin_key() -> None:
    error = mapped("users", error_reply(403, "Invalid admin API key"), AdminKeyRejected)

    assert error.message == "The proxy does not accept the admin key: Invalid admin API key"


def test_an_unknown_session_is_not_an_unknown_sandbox() -> None:
    error = mapped("view", error_reply(404, "Session not found: s1"), SessionNotFound)

    assert error.message == "Sandbox 'box' has no such session: Session not found: s1"
    assert "<sessions>" in error.next_step(format_verb)
    assert "A pause ends every session" in error.advice


def test_a_busy_session_advises_to_wait_or_cancel() -> None:
    error = mapped(
        "execute", error_reply(409, "Session s1 still runs a command: make"), SessionBusy
    )

    assert "still runs a command: make" in error.message
    assert "<cancel>" in error.next_step(format_verb)
    assert not error.retryable


@pytest.mark.parametrize("operation", ["create", "list"])
def test_403_to_create_and_list_names_no_sandbox(operation: str) -> None:
    error = mapped(operation, error_reply(403, "Namespace is terminating"), ProxyRefused)

    assert error.message == "The proxy refused the request (403): Namespace is terminating"


@every_operation
def test_an_unknown_route_points_at_the_path_in_proxy_url(operation: str) -> None:
    error = mapped(
        operation, error_reply(404, "Route GET /x/api/sandboxes not found"), InvalidResponse
    )

    assert "path in proxyUrl" in error.advice


@pytest.mark.parametrize("status", [400, 413, 422])
def test_any_other_4xx_has_its_status_and_message(status: int) -> None:
    error = mapped("pause", error_reply(status, "too much"), ProxyRefused)

    assert error.message == f"The proxy refused the request ({status}): too much"


def test_429_tells_the_seconds_to_wait() -> None:
    reply = Reply(429, b'{"message": "slow down"}', retry_after=7.0)

    error = refusal(_REQUESTS["status"], reply)

    assert isinstance(error, RateLimited)
    assert error.advice.startswith("Wait 7 s")
    assert (error.retry_after, error.retryable) == (7.0, True)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
def test_3xx_names_the_host_of_the_redirect(status: int) -> None:
    response = httpx.Response(status, headers={"location": "https://login.test/in?next=1"})

    error = mapped("status", response, InvalidResponse)

    assert f"redirect ({status}) to https://login.test," in error.message
    assert "next=1" not in error.message
    assert "proxyUrl" in error.advice


def test_a_key_in_a_redirect_is_hidden_in_upper_and_lower_case() -> None:
    response = httpx.Response(302, headers={"location": f"https://{KEY}.test/{KEY}?{KEY}"})

    error = mapped("list", response, InvalidResponse)

    assert KEY.lower() not in shown_text(error).lower()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 503])
def test_an_echoed_key_is_not_shown(status: int) -> None:
    reply = as_reply(error_reply(status, f"no\n{KEY}\x1b[31m", error=KEY))

    error = refusal(_REQUESTS["status"], reply)

    assert KEY not in shown_text(error)
    assert is_one_printable_line(error.message)


@many_examples
@given(
    request=st.sampled_from(list(_REQUESTS.values())),
    status=st.integers(-1, 999).filter(lambda status: not 200 <= status < 300),
    body=malformed_bodies,
    content_type=odd_texts,
    location=odd_locations,
    retry_after=st.one_of(st.none(), st.floats(0, 99999)),
)
def test_any_reply_outside_2xx_is_one_printable_line(
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
    assert KEY not in shown_text(error)
    assert len(error.message) < 500
