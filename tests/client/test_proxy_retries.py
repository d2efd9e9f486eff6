"""What is repeatable is sent again where that can help; nothing else is ever sent twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from sandbox_client import _shell_wire, _wire
from sandbox_client._errors import SandboxError

from tests.client.doubles import Answer, Clock, Upstream, page, proxy_over, ran, says
from tests.client.states import ALPHA_READY

if TYPE_CHECKING:
    from sandbox_client._message import Request

OK = ALPHA_READY.response()
STATUS = _wire.status("box")

_PASSING: dict[str, Answer] = {
    "connection refused": httpx.ConnectError("refused"),
    "connection reset": httpx.ReadError("reset"),
    "connection cut": httpx.RemoteProtocolError("Server disconnected"),
    "connect time-out": httpx.ConnectTimeout("late"),
    "no HTTP": httpx.RemoteProtocolError("illegal"),
    "write fault": httpx.WriteError("reset"),
    "502": says(502, "Bad gateway"),
    "502 page": page(502),
    "503": says(503, "Service Unavailable"),
    "503 page": page(503),
    "504": says(504, "Gateway Timeout"),
    "504 page": page(504),
    "429": says(429, "slow down"),
    "429 with Retry-After": says(429, "slow down", retry_after="3"),
    "503 with Retry-After": says(503, "maintenance", retry_after="3"),
}
_LASTING: dict[str, Answer] = {
    "401": says(401, "Invalid API key"),
    "403": says(403, "no"),
    "404": says(404, "no"),
    "409": says(409, "exists"),
    "418": says(418, "teapot"),
    "500": says(500, "fetch failed"),
    "501": says(501, "no"),
    "not ready": says(503, "Sandbox not ready"),
    "no service": says(503, "Sandbox service not ready"),
    "quota": says(500, "exceeded quota"),
    "redirect": httpx.Response(302, headers={"location": "https://elsewhere.test/"}),
    "redirect 307": httpx.Response(307, headers={"location": "https://elsewhere.test/"}),
    "page 404": page(404),
    "Retry-After of an hour": says(429, "slow down", retry_after="3600"),
    "503, Retry-After of an hour": says(503, "maintenance", retry_after="3600"),
}
_REPEATABLE = [
    STATUS,
    _wire.listing(),
    _shell_wire.view("box", "s1"),
    _shell_wire.open_session("box", "s1"),
    _shell_wire.list_sessions("box"),
]
_ONCE: dict[str, Request] = {
    "create": _wire.create("box", image=None, port=8888),
    "kill": _shell_wire.kill("box", "s1"),
    "execute": _shell_wire.execute("box", "s1", "make"),
    "delete": _wire.delete("box"),
    "pause": _wire.pause("box"),
    "resume": _wire.resume("box"),
}


@pytest.mark.parametrize("name", _PASSING)
@pytest.mark.parametrize("request_", _REPEATABLE, ids=lambda it: str(it.operation))
async def test_what_is_repeatable_is_sent_again_after_a_passing_fault(
    request_: Request, name: str, clock: Clock
) -> None:
    upstream = Upstream([_PASSING[name], OK])

    async with proxy_over(upstream, clock) as proxy:
        reply = await proxy.send(request_)

    assert reply.status == 200
    assert upstream.asked == [f"{request_.method} /prefix{request_.path}"] * 2
    assert len(clock.slept) == 1


@pytest.mark.parametrize("name", _PASSING)
async def test_a_get_is_given_up_after_four_times_with_the_last_fault(
    name: str, clock: Clock
) -> None:
    upstream = Upstream([_PASSING[name]])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(STATUS)

    assert len(upstream.requests) == 4
    assert len(clock.slept) == 3


@pytest.mark.parametrize("name", _LASTING)
async def test_a_get_is_not_sent_again_after_a_lasting_answer(name: str, clock: Clock) -> None:
    upstream = Upstream([_LASTING[name], OK])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(STATUS)

    assert len(upstream.requests) == 1
    assert clock.slept == []


@pytest.mark.parametrize("name", _PASSING | _LASTING)
@pytest.mark.parametrize("verb", _ONCE)
async def test_nothing_else_is_ever_sent_twice(verb: str, name: str, clock: Clock) -> None:
    upstream = Upstream([(_PASSING | _LASTING)[name], ran()])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(_ONCE[verb])

    assert len(upstream.requests) == 1
    assert clock.slept == []


async def test_the_waits_between_tries_grow(clock: Clock) -> None:
    async with proxy_over(Upstream([page(502)]), clock) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(STATUS)

    first, second, third = clock.slept
    assert 0.25 <= first <= 0.5
    assert 0.5 <= second <= 0.75
    assert 1.0 <= third <= 1.25


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "waits"),
    [("0", [0.0]), ("1", [1.0]), ("10", [10.0])],
)
async def test_retry_after_is_waited_for_to_the_second(
    status: int, header: str, waits: list[float], clock: Clock
) -> None:
    upstream = Upstream([says(status, "slow down", retry_after=header), OK])

    async with proxy_over(upstream, clock) as proxy:
        await proxy.send(STATUS)

    assert clock.slept == waits


@pytest.mark.parametrize("header", ["soon", "-5", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
async def test_a_retry_after_that_counts_no_seconds_is_the_usual_wait(
    header: str, clock: Clock
) -> None:
    upstream = Upstream([says(429, "slow down", retry_after=header), OK])

    async with proxy_over(upstream, clock) as proxy:
        await proxy.send(STATUS)

    assert 0.25 <= clock.slept[0] <= 0.5


async def test_a_retry_after_that_is_too_long_is_left_to_the_person(clock: Clock) -> None:
    upstream = Upstream([says(429, "slow down", retry_after="90")])

    async with proxy_over(upstream, clock) as proxy:
        with pytest.raises(SandboxError) as caught:
            await proxy.send(STATUS)

    assert "Wait 90 s" in caught.value.advice
    assert clock.slept == []
