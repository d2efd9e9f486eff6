"""Long histories: the model beside them, and the shortest one that breaks a promise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_contract.clauses.stateful.model import Delays, Intent, ModelBox, ModelKey, ModelUser
from sandbox_contract.clauses.stateful.shortest_failure import ShortestFailure
from sandbox_contract.harness.actors import Key, SandboxHandle, User
from sandbox_contract.harness.api import DEACTIVATED, EXPIRED, REVOKED, UNKNOWN_KEY
from sandbox_contract.harness.clock import format_time, parse_time
from sandbox_contract.harness.readiness import Phase
from sandbox_contract.http.client import Caller, HttpClient
from sandbox_contract.http.exchange import Exchange
from sandbox_contract.http.expect import Reply, Violation

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

DELAYS = Delays(reconcile=100, ready=2_000)  # milliseconds
NOT_READY = {Phase.PENDING, Phase.STARTING}


async def unused(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("no request is sent here")


PERSON = User("alice", "1", "a-key", Caller(HttpClient("http://target", unused)))
KEY = Key("2", "a-secret", Reply(Exchange("POST", "/", {}, b"", 201, {}, b"", 0.0)))


def new_box() -> ModelBox:
    return ModelBox(SandboxHandle(PERSON, "box"), Intent(is_paused=False, since=0))


@pytest.mark.parametrize(
    ("now", "phases", "runs"),
    [
        (0, {Phase.CREATED}, False),
        (99, {Phase.CREATED}, False),
        (100, NOT_READY, False),
        (1_999, NOT_READY, False),
        (2_000, {Phase.READY}, True),
    ],
)
def test_a_sandbox_shows_after_the_delay_and_is_ready_to_the_tick(
    now: int, phases: set[Phase], runs: bool
) -> None:
    assert new_box().phases(now, DELAYS) == phases
    assert new_box().runs(now, DELAYS) is runs


@pytest.mark.parametrize(
    ("now", "phases", "runs"),
    [(5_099, {Phase.READY}, False), (5_100, {Phase.PAUSED}, False)],
)
def test_a_pause_ends_commands_at_once_and_shows_after_the_delay(
    now: int, phases: set[Phase], runs: bool
) -> None:
    box = new_box()
    box.change(is_paused=True, now=5_000, delays=DELAYS)
    assert (box.phases(now, DELAYS), box.runs(now, DELAYS)) == (phases, runs)


def test_a_pause_taken_back_before_it_shows_was_never_asked() -> None:
    box = new_box()
    box.change(is_paused=True, now=5_000, delays=DELAYS)
    box.change(is_paused=False, now=5_050, delays=DELAYS)
    assert (box.phases(5_060, DELAYS), box.runs(5_060, DELAYS)) == ({Phase.READY}, True)


def test_a_pause_asked_twice_counts_from_the_first() -> None:
    box = new_box()
    box.change(is_paused=True, now=5_000, delays=DELAYS)
    box.change(is_paused=True, now=5_090, delays=DELAYS)
    assert box.phases(5_100, DELAYS) == {Phase.PAUSED}


def test_on_a_clock_that_moves_only_a_sandbox_at_rest_is_certain() -> None:
    box = new_box()
    assert len(box.phases(0, None)) > 1
    assert box.runs(0, None) is None
    box.at_rest = Phase.READY
    assert (box.phases(0, None), box.runs(0, None)) == ({Phase.READY}, True)
    box.change(is_paused=True, now=1, delays=None)
    assert box.runs(1, None) is None


@pytest.mark.parametrize(
    ("user", "key", "refusal"),
    [
        ({}, None, None),
        ({}, {"expires": 1_001}, None),
        ({}, {"expires": 1_000}, EXPIRED),
        ({}, {"is_revoked": True}, REVOKED),
        ({"is_active": False}, None, DEACTIVATED),
        ({"is_active": False}, {"expires": 1_000}, DEACTIVATED),
        ({"is_active": False}, {"is_revoked": True, "expires": 1_000}, REVOKED),
        ({"is_deleted": True, "is_active": False}, {"is_revoked": True}, UNKNOWN_KEY),
    ],
)
def test_a_key_is_refused_for_the_first_reason_that_holds(
    user: dict[str, Any], key: dict[str, Any] | None, refusal: str | None
) -> None:
    model_key = None if key is None else replace(ModelKey(KEY), **key)
    assert replace(ModelUser(PERSON), **user).refusal(1_000, model_key) == refusal


def test_the_shortest_history_is_kept_until_the_patience_ends() -> None:
    now = [10.0]
    failure = ShortestFailure(time_limit=5.0, clock=lambda: now[0])
    assert not failure.is_closed
    for steps in (["a", "b"], ["a"], ["a", "b", "c"]):
        failure.record(Violation("this", "that"), steps)
    assert str(failure.shortest) == "expected this, received that, after: a"
    now[0] = 14.9
    assert not failure.is_closed
    now[0] = 15.0
    assert failure.is_closed


def test_a_chronicle_that_is_over_is_closed() -> None:
    failure = ShortestFailure(time_limit=5.0, clock=lambda: 0.0)
    failure.is_over = True
    assert failure.is_closed


def test_a_time_is_read_as_it_is_written() -> None:
    assert format_time(parse_time("2030-01-02T03:04:05.678Z")) == "2030-01-02T03:04:05.678Z"


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-02T03:04:05Z",
        "2030-01-02T03:04:05.678+00:00",
        "2030-13-02T03:04:05.678Z",
        "yesterday",
    ],
)
def test_another_form_of_a_time_breaks_the_promise(text: str) -> None:
    with pytest.raises(Violation, match="expected a time with milliseconds and Z"):
        parse_time(text)
