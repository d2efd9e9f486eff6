"""Retries: a repeatable request is sent again after a transient fault, any other is sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from sandbox_client import SandboxError
from sandbox_client.api import sandboxes, shell
from sandbox_client.api.runtime import Task
from sandbox_client.polling import LONGEST_POLL, POLLS_AT_ONCE, LongPolls

from tests.client.statuses import ALPHA_READY
from tests.client.stubs import (
    Answer,
    FakeClock,
    SequenceStub,
    error_reply,
    executed,
    html_page,
    proxy_over,
)

if TYPE_CHECKING:
    from sandbox_client.api.message import Request

OK = ALPHA_READY.response()
STATUS = sandboxes.status("box")

_TRANSIENT: dict[str, Answer] = {
    "connection refused": httpx.ConnectError("refused"),
    "connection reset": httpx.ReadError("reset"),
    "connection cut": httpx.RemoteProtocolError("Server disconnected"),
    "connect time-out": httpx.ConnectTimeout("late"),
    "no HTTP": httpx.RemoteProtocolError("illegal"),
    "write fault": httpx.WriteError("reset"),
    "502": error_reply(502, "Bad gateway"),
    "502 page": html_page(502),
    "503": error_reply(503, "Service Unavailable"),
    "503 page": html_page(503),
    "504": error_reply(504, "Gateway Timeout"),
    "504 page": html_page(504),
    "429": error_reply(429, "slow down"),
    "429 with Retry-After": error_reply(429, "slow down", retry_after="3"),
    "503 with Retry-After": error_reply(503, "maintenance", retry_after="3"),
}
_PERMANENT: dict[str, Answer] = {
    "401": error_reply(401, "Invalid API key"),
    "403": error_reply(403, "no"),
    "404": error_reply(404, "no"),
    "409": error_reply(409, "exists"),
    "418": error_reply(418, "teapot"),
    "500": error_reply(500, "fetch failed"),
    "501": error_reply(501, "no"),
    "not ready": error_reply(503, "Sandbox not ready"),
    "no service": error_reply(503, "Sandbox service not ready"),
    "quota": error_reply(500, "exceeded quota"),
    "redirect": httpx.Response(302, headers={"location": "https://elsewhere.test/"}),
    "redirect 307": httpx.Response(307, headers={"location": "https://elsewhere.test/"}),
    "page 404": html_page(404),
    "Retry-After of an hour": error_reply(429, "slow down", retry_after="3600"),
    "503, Retry-After of an hour": error_reply(503, "maintenance", retry_after="3600"),
}
_REPEATABLE = [
    STATUS,
    sandboxes.listing(),
    shell.view("box", "s1"),
    shell.open_session("box", "s1"),
    shell.list_sessions("box"),
]
_ONCE: dict[str, Request] = {
    "create": sandboxes.create("box", image=None, port=8888),
    "kill": shell.kill("box", "s1"),
    "interrupt": shell.interrupt("box", "s1"),
    "execute": shell.execute("box", "s1", Task("make")),
    "delete": sandboxes.delete("box"),
    "pause": sandboxes.pause("box"),
    "resume": sandboxes.resume("box"),
}


@pytest.mark.parametrize("fault", _TRANSIENT)
async def test_a_repeatable_request_is_sent_again_after_a_transient_fault(
    fault: str, clock: FakeClock
) -> None:
    upstream = SequenceStub([_TRANSIENT[fault], OK])

    async with proxy_over(upstream, clock) as proxy:
        reply = await proxy.send(STATUS)

    assert reply.status == 200
    assert upstream.asked == [f"GET /prefix{STATUS.path}"] * 2
    assert len(clock.slept) == 1


@pytest.mark.parametrize("request_", _REPEATABLE, ids=lambda it: str(it.operation))
async def test_every_repeatable_request_is_sent_again(request_: Request) -> None:
    upstream = SequenceStub([html_page(502), OK])

    async with proxy_over(upstream) as proxy:
        await proxy.send(request_)

    assert upstream.asked == [f"{request_.method} /prefix{request_.path}"] * 2


@pytest.mark.parametrize("fault", ["connection refused", "502 page", "429 with Retry-After"])
async def test_a_repeatable_request_is_sent_four_times_at_most(
    fault: str, clock: FakeClock
) -> None:
    upstream = SequenceStub([_TRANSIENT[fault]])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(STATUS)

    assert len(upstream.requests) == 4
    assert len(clock.slept) == 3


@pytest.mark.parametrize("fault", _PERMANENT)
async def test_a_repeatable_request_is_not_sent_again_after_a_permanent_fault(
    fault: str, clock: FakeClock
) -> None:
    upstream = SequenceStub([_PERMANENT[fault], OK])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(STATUS)

    assert len(upstream.requests) == 1
    assert clock.slept == []


@pytest.mark.parametrize("fault", _TRANSIENT | _PERMANENT)
async def test_a_command_is_sent_once_after_any_fault(fault: str, clock: FakeClock) -> None:
    upstream = SequenceStub([(_TRANSIENT | _PERMANENT)[fault], executed()])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(_ONCE["execute"])

    assert len(upstream.requests) == 1
    assert clock.slept == []


@pytest.mark.parametrize("operation", _ONCE)
async def test_every_request_that_is_not_repeatable_is_sent_once(operation: str) -> None:
    upstream = SequenceStub([httpx.ConnectError("refused"), executed()])

    async with proxy_over(upstream) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(_ONCE[operation])

    assert len(upstream.requests) == 1


async def test_the_waits_between_attempts_grow(clock: FakeClock) -> None:
    async with proxy_over(SequenceStub([html_page(502)]), clock) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(STATUS)

    first, second, third = clock.slept
    assert 0.28 <= first <= 0.35
    assert 0.56 <= second <= 0.7
    assert 1.12 <= third <= 1.4


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "waits"),
    [("0", [0.0]), ("1", [1.0]), ("10", [10.0])],
)
async def test_retry_after_sets_the_wait_in_seconds(
    status: int, header: str, waits: list[float], clock: FakeClock
) -> None:
    upstream = SequenceStub([error_reply(status, "slow down", retry_after=header), OK])

    async with proxy_over(upstream, clock) as proxy:
        await proxy.send(STATUS)

    assert clock.slept == waits


@pytest.mark.parametrize(
    "header", ["soon", "-5", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "", "Mon, 99 Oct 0000"]
)
async def test_a_retry_after_without_a_number_of_seconds_is_ignored(
    header: str, clock: FakeClock
) -> None:
    upstream = SequenceStub([error_reply(429, "slow down", retry_after=header), OK])

    async with proxy_over(upstream, clock) as proxy:
        await proxy.send(STATUS)

    assert 0.28 <= clock.slept[0] <= 0.35


async def test_a_date_as_retry_after_is_compared_with_the_servers_clock(clock: FakeClock) -> None:
    busy = error_reply(429, "slow down", retry_after="Wed, 21 Oct 2026 07:28:05 GMT")
    busy.headers["date"] = "Wed, 21 Oct 2026 07:28:00 GMT"

    async with proxy_over(SequenceStub([busy, OK]), clock) as proxy:
        await proxy.send(STATUS)

    assert clock.slept == [5.0]


@pytest.mark.parametrize(
    ("status", "header", "words"),
    [
        (429, "90", "Wait 90 s, as the proxy asks"),
        (429, "3600000", "Wait 42 days"),
        (429, "9" * 40, "Wait 11574 days"),
        (503, "90", "Wait 90 s, as the proxy asks, then try again; if it keeps failing"),
    ],
)
async def test_a_retry_after_is_in_the_advice(
    status: int, header: str, words: str, clock: FakeClock
) -> None:
    upstream = SequenceStub([error_reply(status, "slow down", retry_after=header)])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError) as caught:
            await proxy.send(STATUS)

    assert words in caught.value.advice
    assert clock.slept == []


async def test_a_retry_after_longer_than_the_deadline_is_not_waited_for(clock: FakeClock) -> None:
    upstream = SequenceStub([error_reply(429, "slow down", retry_after="8"), OK])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError, match="fewer requests") as caught:
            await proxy.send(STATUS, deadline=5)

    assert "Wait 8 s" in caught.value.advice
    assert clock.slept == []


async def test_many_long_polls_are_shorter_and_leave_connections_free() -> None:
    polls, seconds = LongPolls(at_once=2), list[float]()
    release = anyio.Event()

    async def poll() -> None:
        async with polls.turn() as longest:
            seconds.append(longest)
            await release.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(poll)
        await anyio.wait_all_tasks_blocked()
        assert len(seconds) == 2, "the others wait for a turn"
        release.set()

    assert seconds[-1] == LONGEST_POLL
    assert min(seconds[2:]) < LONGEST_POLL
    assert POLLS_AT_ONCE < 100, "what httpx opens"
