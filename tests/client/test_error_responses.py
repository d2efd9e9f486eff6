"""The error for each reply outside 2xx."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import (
    KeyRejected,
    NotReady,
    ProxyFailed,
    ProxyRefused,
    QuotaReached,
    SandboxError,
    SandboxNotFound,
)
from sandbox_client.api import accounts, files, runtime, sandboxes, shell
from sandbox_client.api.message import Reply, Request
from sandbox_client.api.runtime import Task
from sandbox_client.error_responses import RULES, Rule, error_from_response
from sandbox_client.errors import AdminKeyRejected, InvalidResponse, RateLimited
from sandbox_client.presentation.errors import next_step

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
    "describe": runtime.describe("box"),
    "read file": files.read("box", "/f"),
    "users": accounts.users(),
    "me": accounts.me(),
    "health": accounts.health(),
}
_ABOUT_ONE = ["status", "execute", "delete", "pause", "resume"]
every_operation = pytest.mark.parametrize("operation", _REQUESTS)


def mapped(operation: str, response: httpx.Response, kind: type[SandboxError]) -> SandboxError:
    """Return the error for the reply, after checking its exact class, message and advice."""
    error = error_from_response(_REQUESTS[operation], as_reply(response))
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    assert is_one_printable_line(error.message)
    assert next_step(error, format_verb)
    return error


# A row for each rule of the table, in its order: operation, status, the proxy's message, and the
# error's message. The proxy's own words are left out where they would only repeat it.
ROWS: list[tuple[str, int, str, str]] = [
    ("users", 403, "No admin", "The proxy does not accept the admin key: No admin"),
    ("status", 401, "API key has expired", "The API key has expired"),
    ("status", 401, "User account is inactive", "The key's user is not active"),
    ("status", 401, "API key is inactive", "The API key was revoked: API key is inactive"),
    ("status", 401, "No header", "The proxy does not know the API key: No header"),
    ("create", 403, "The quota is 10", "No room for sandbox 'box': The quota is 10"),
    ("create", 500, "exceeded quota: 10", "No room for sandbox 'box': exceeded quota: 10"),
    ("execute", 503, "Sandbox not ready", "Sandbox 'box' is not ready"),
    ("status", 500, "No database", "The proxy failed (500): No database"),
    ("status", 502, "", "The proxy answered 502 with JSON that holds no message"),
    ("status", 429, "slow down", "The proxy asks for fewer requests: slow down"),
    ("status", 429, "", "The proxy asks for fewer requests: too many requests"),
    ("status", 404, "", "The proxy answered 404 with JSON that holds no message"),
    (
        "execute",
        409,
        "Session s1 still runs: make",
        "Sandbox 'box' cannot take the command now: Session s1 still runs: make",
    ),
    (
        "view",
        404,
        "Session not found: s1",
        "Sandbox 'box' has no such session: Session not found: s1",
    ),
    (
        "execute",
        400,
        "Bad session id",
        "The proxy refused the request (400): Bad session id",
    ),
    ("create", 409, "Sandbox 'box' already exists", "The name 'box' is taken"),
    ("users", 409, "User 'ben' already exists", "The name is taken: User 'ben' already exists"),
    (
        "status",
        404,
        "Route GET /x not found",
        "The proxy has no such route: Route GET /x not found",
    ),
    ("list", 404, "no page", "The proxy has no such route: no page"),
    ("list", 403, "No namespace", "The proxy refused the request (403): No namespace"),
    ("create", 403, "No namespace", "The proxy refused the request (403): No namespace"),
    (
        "read file",
        404,
        "Not Found",
        "The runtime of sandbox 'box' has no file API: Not Found",
    ),
    ("view", 404, "Not Found", "The runtime of sandbox 'box' has no shell API: Not Found"),
    (
        "execute",
        400,
        "Directory not found: /sandbox/x",
        "Sandbox 'box' has no such directory: Directory not found: /sandbox/x",
    ),
    (
        "describe",
        404,
        "Not Found",
        "The runtime of sandbox 'box' does not describe itself: Not Found",
    ),
    ("delete", 404, "Sandbox not found", "No sandbox 'box' of yours"),
    ("pause", 403, "You do not have access to this sandbox", "No sandbox 'box' of yours"),
    ("status", 403, "No access", "No sandbox 'box' of yours: No access"),
    ("pause", 409, "conflict", "The proxy refused the request (409): conflict"),
    ("pause", 413, "too much", "The proxy refused the request (413): too much"),
]


@pytest.mark.parametrize(("row", "rule"), list(zip(ROWS, RULES, strict=True)))
def test_each_rule_of_the_table_decides_its_responses(
    row: tuple[str, int, str, str], rule: Rule
) -> None:
    operation, status, said, message = row
    request = _REQUESTS[operation]

    error = mapped(operation, error_reply(status, said, said), rule.error)

    assert error.message == message
    assert next(each for each in RULES if each.applies_to(request, status, said)) is rule
    assert rule.advice in {None, error.advice}
    assert (error.status == status) == (rule.error is ProxyFailed)


def test_the_proxys_message_is_left_out_only_if_it_adds_nothing() -> None:
    error = mapped("status", error_reply(401, "API key has expired at noon"), KeyRejected)

    assert error.message == "The API key has expired: API key has expired at noon"


@every_operation
def test_401_is_a_rejected_key_for_every_operation(operation: str) -> None:
    kind = AdminKeyRejected if operation == "users" else KeyRejected
    mapped(operation, error_reply(401, "Invalid API key"), kind)


@pytest.mark.parametrize("operation", ["list", "me", "health", "users"])
def test_the_advice_for_a_failure_is_no_list_where_a_list_would_fail_too(operation: str) -> None:
    error = mapped(operation, error_reply(500, "no database"), ProxyFailed)

    assert error.advice == (
        "Try again in a while; if it keeps failing, tell the proxy's administrator."
    )


@pytest.mark.parametrize("operation", _ABOUT_ONE)
def test_403_and_404_have_the_same_message_and_advice(operation: str) -> None:
    said = "You do not have access to this sandbox"
    errors = [
        mapped(operation, error_reply(status, said), SandboxNotFound) for status in (403, 404)
    ]

    assert [error.message for error in errors] == ["No sandbox 'box' of yours"] * 2
    assert "<list>" in next_step(errors[0], format_verb)
    assert errors[0].advice == errors[1].advice


@pytest.mark.parametrize(
    ("operation", "is_advised"),
    [("execute", True), ("status", True), ("pause", False), ("view", False), ("delete", False)],
)
def test_a_new_sandbox_is_advised_only_where_it_is_of_use(
    operation: str, *, is_advised: bool
) -> None:
    error = mapped(operation, error_reply(403, "No access"), SandboxNotFound)

    assert ("{create}" in error.advice) is is_advised


@pytest.mark.parametrize("status", [403, 500])
def test_only_create_reports_a_used_up_quota(status: int) -> None:
    reply = as_reply(error_reply(status, "write: Disk quota exceeded"))

    assert not isinstance(error_from_response(_REQUESTS["execute"], reply), QuotaReached)


@pytest.mark.parametrize(
    "said",
    [
        "Database not ready",
        "Sandbox database not ready",
        "Sandbox 'other' not ready",
        "The proxy is not ready",
        "Scheduler of sandbox box not ready",
    ],
)
def test_503_about_anything_else_is_the_proxys_failure(said: str) -> None:
    error = mapped("execute", error_reply(503, said), ProxyFailed)

    assert error.message == f"The proxy failed (503): {said}"


@pytest.mark.parametrize("said", ["The quota service is down", "Unknown quota of user ada"])
def test_a_failure_of_the_quota_itself_is_no_used_up_quota(said: str) -> None:
    mapped("create", error_reply(500, said), ProxyFailed)


@pytest.mark.parametrize("operation", ["execute", "status", "read file"])
@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_of_something_else_is_no_missing_sandbox(operation: str, status: int) -> None:
    mapped(operation, error_reply(status, "Blocked by policy 17"), ProxyRefused)


@pytest.mark.parametrize("said", ["Sandbox 'box' is not ready", "Sandbox box not ready yet"])
def test_not_ready_may_name_the_sandbox(said: str) -> None:
    mapped("execute", error_reply(503, said), NotReady)


@pytest.mark.parametrize("operation", ["delete", "pause", "resume", "status"])
def test_a_conflict_of_another_request_is_no_taken_name(operation: str) -> None:
    mapped(operation, error_reply(409, "the object has been modified"), ProxyRefused)


@pytest.mark.parametrize("said", ["Sandbox not ready", "Sandbox service not ready"])
def test_not_ready_tells_the_usual_seconds(said: str) -> None:
    error = mapped("execute", error_reply(503, said, "Service Unavailable"), NotReady)

    assert error.message.startswith("Sandbox 'box' is not ready")
    assert ("service" in error.message) == ("service" in said)
    assert "10 to 30 s" in error.advice
    assert "<status>" in next_step(error, format_verb)


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
    error = error_from_response(
        _REQUESTS["status"], as_reply(httpx.Response(status, content=content))
    )

    assert error.message == f"The proxy answered {status} with {words}"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_5xx_to_a_command_warns_that_it_may_have_run(status: int) -> None:
    error = mapped("execute", error_reply(status, "fetch failed"), ProxyFailed)

    assert "may have run" in error.advice
    assert "before you send it again" in error.advice.replace("\n", " ")
    assert not error.retryable


@every_operation
def test_an_unknown_route_points_at_the_path_in_proxy_url(operation: str) -> None:
    error = mapped(
        operation, error_reply(404, "Route GET /x/api/sandboxes not found"), InvalidResponse
    )

    assert "path in proxyUrl" in error.advice


def test_429_tells_the_seconds_to_wait() -> None:
    reply = Reply(429, b'{"message": "slow down"}', retry_after=7.0)

    error = error_from_response(_REQUESTS["status"], reply)

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

    error = error_from_response(_REQUESTS["status"], reply)

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

    error = error_from_response(request, reply)

    assert isinstance(error, SandboxError)
    assert is_one_printable_line(error.message)
    assert KEY not in shown_text(error)
    assert len(error.message) < 500
