"""The states of a sandbox in both controller profiles, and the wait for one on a fake clock."""

from __future__ import annotations

from itertools import islice

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import (
    KeyRejected,
    ProxyFailed,
    ProxyUnreachable,
    Sandbox,
    SandboxError,
    SandboxNotFound,
    State,
    WaitResult,
    polling,
)
from sandbox_client.api import sandboxes
from sandbox_client.errors import DeadlineExceeded, InvalidResponse, RateLimited
from sandbox_client.polling import Timing, backoff
from sandbox_client.readiness import READY_DEADLINE, wait_for_state

from tests.client.statuses import (
    ALPHA_FAILED,
    ALPHA_NEW,
    ALPHA_PAUSED,
    ALPHA_PENDING,
    ALPHA_READY,
    ALPHA_STALE,
    ALPHA_STARTING,
    BETA_EXPIRED,
    BETA_PAUSED,
    BETA_READY,
    STATUS_ROWS,
    StatusRow,
)
from tests.client.strategies import many_examples
from tests.client.stubs import FakeClock, RecordedProgress, as_reply, timing_on


def sandbox(row: StatusRow) -> Sandbox:
    return sandboxes.read_sandbox(as_reply(row.response()), "box")


class StatusSequence:
    """Return or raise the statuses and errors in order, then repeat the last one."""

    def __init__(self, *answers: StatusRow | SandboxError) -> None:
        self.answers = answers
        self.given: list[float] = []

    async def __call__(self, seconds: float) -> Sandbox:
        answer = self.answers[min(len(self.given), len(self.answers) - 1)]
        self.given.append(seconds)
        if isinstance(answer, SandboxError):
            raise answer
        return sandbox(answer)


async def wait(
    looks: StatusSequence, clock: FakeClock, progress: RecordedProgress, random: float = 0.0
) -> WaitResult:
    time = Timing(clock, clock.sleep, lambda: random)
    return await wait_for_state(
        State.READY, looks, report=progress, timing=time, deadline=READY_DEADLINE
    )


@pytest.mark.parametrize("row", STATUS_ROWS, ids=lambda row: str(row.id))
def test_each_row_of_the_readiness_table_has_its_state(row: StatusRow) -> None:
    assert sandbox(row).state is row.state


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ALPHA_NEW, "the controller has not seen it yet"),
        (ALPHA_PENDING, "Pod exists with phase: Pending; Service Exists"),
    ],
    ids=["no condition yet", "with a message"],
)
def test_the_reason_is_the_controllers_message(row: StatusRow, reason: str) -> None:
    assert sandbox(row).explanation == reason


def test_a_row_that_the_proxy_cannot_read_is_unknown() -> None:
    listed = Sandbox(name="box", ready=False, service="error")

    assert listed.state is State.UNKNOWN
    assert not listed.state.is_over


@pytest.mark.parametrize("ready", [True, False])
def test_a_row_of_a_list_is_ready_or_pending(ready: bool) -> None:
    listed = Sandbox(name="box", ready=ready)

    assert listed.state is (State.READY if ready else State.PENDING)


def test_a_sandbox_that_is_not_ready_is_pending_with_replicas_too() -> None:
    assert Sandbox("box", ready=False, replicas=1, reason="DependenciesReady").state is (
        State.PENDING
    )


def test_only_failed_and_expired_are_final() -> None:
    assert {state for state in State if state.is_over} == {State.FAILED, State.EXPIRED}


async def test_a_sandbox_that_is_paused_meanwhile_ends_the_wait(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    looks = StatusSequence(ALPHA_PAUSED, ALPHA_PENDING, ALPHA_PAUSED)

    result = await wait(looks, clock, progress)

    assert (result.reached, result.state) == (False, State.PAUSED)
    assert len(looks.given) == 3, "the first may be the status before the resume"


@many_examples
@given(st.booleans(), st.none() | st.integers(), st.text(), st.text())
def test_any_combination_of_fields_has_a_state(
    ready: bool, replicas: int | None, reason: str, message: str
) -> None:
    state = Sandbox("box", ready, replicas, reason, message).state

    assert state is not State.READY or ready


def test_delays_grow_from_a_quarter_of_a_second_to_two() -> None:
    assert list(islice(backoff(), 5)) == [0.25, 0.5, 1.0, 2.0, 2.0]
    assert list(islice(backoff(0.02, 1.0), 8))[-3:] == [0.64, 1.0, 1.0]


@many_examples
@given(st.lists(st.floats(0, 1), min_size=30, max_size=30))
def test_jitter_shortens_each_delay_by_a_fifth_at_most(numbers: list[float]) -> None:
    delays = zip(backoff(), backoff(random=iter(numbers).__next__), strict=False)

    for longest, delay in islice(delays, 20):
        assert 0.8 * longest <= delay <= longest
    assert list(islice(backoff(random=lambda: 1.0), 2)) == [0.2, 0.4]


@pytest.mark.parametrize("row", [ALPHA_READY, BETA_READY], ids=lambda row: str(row.id))
async def test_a_ready_sandbox_ends_the_wait_at_once(
    row: StatusRow, clock: FakeClock, progress: RecordedProgress
) -> None:
    outcome = await wait(StatusSequence(row), clock, progress)

    assert (outcome.reached, outcome.waited, outcome.reason) == (True, 0.0, "")
    assert clock.slept == []


async def test_a_wait_reports_each_state(clock: FakeClock, progress: RecordedProgress) -> None:
    looks = StatusSequence(ALPHA_NEW, ALPHA_PENDING, ALPHA_STARTING, ALPHA_READY)

    outcome = await wait(looks, clock, progress)

    assert outcome.reached
    assert outcome.sandbox == sandbox(ALPHA_READY)
    assert outcome.waited == sum(clock.slept)
    assert progress.reasons == [
        "pending: the controller has not seen it yet",
        "pending: Pod exists with phase: Pending; Service Exists",
        "starting: Pod is Running but not Ready; Service Exists",
    ]
    assert [elapsed for elapsed, _, _ in progress.reports] == [0.0, 0.25, 0.25 + 0.5]
    assert {limit for _, limit, _ in progress.reports} == {60.0}


@pytest.mark.parametrize(
    "rows",
    [(ALPHA_PAUSED, ALPHA_STALE, ALPHA_PENDING, ALPHA_READY), (BETA_PAUSED, BETA_READY)],
    ids=["v1alpha1", "v1beta1"],
)
async def test_a_stale_state_after_a_resume_does_not_end_the_wait(
    rows: tuple[StatusRow, ...], clock: FakeClock, progress: RecordedProgress
) -> None:
    looks = StatusSequence(*rows)

    outcome = await wait(looks, clock, progress)

    assert outcome.reached
    assert len(looks.given) == len(rows)


async def test_a_wait_for_readiness_ends_after_60_s(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    outcome = await wait(StatusSequence(ALPHA_PENDING, ALPHA_STARTING), clock, progress, random=0.5)

    assert not outcome.reached
    assert outcome.waited == pytest.approx(60.0)
    assert outcome.reason == "starting: Pod is Running but not Ready; Service Exists"
    assert outcome.sandbox == sandbox(ALPHA_STARTING)
    assert min(clock.slept[:-1]) >= 0.2
    assert max(clock.slept) <= 2.0


@pytest.mark.parametrize(
    "row",
    [ALPHA_FAILED, BETA_EXPIRED],
    ids=lambda row: str(row.id),
)
async def test_a_final_state_ends_the_wait(
    row: StatusRow, clock: FakeClock, progress: RecordedProgress
) -> None:
    outcome = await wait(StatusSequence(ALPHA_PENDING, row), clock, progress)

    assert not outcome.reached
    assert outcome.reason == f"{row.state.value}: {row.message}"
    assert clock.slept == [0.25]


@pytest.mark.parametrize(
    "fault",
    [
        ProxyUnreachable("Connection refused"),
        DeadlineExceeded("no answer"),
        ProxyFailed("The proxy failed (500): hiccup", status=500),
        RateLimited("slow down"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_retryable_error_is_reported_and_does_not_end_the_wait(
    fault: SandboxError, clock: FakeClock, progress: RecordedProgress
) -> None:
    outcome = await wait(StatusSequence(fault, ALPHA_PENDING, fault, ALPHA_READY), clock, progress)

    assert outcome.reached
    assert progress.reasons[0] == f"its status cannot be read: {fault.message}"


async def test_a_poll_waits_for_retry_after(clock: FakeClock, progress: RecordedProgress) -> None:
    busy = RateLimited("The proxy asks for fewer requests", retry_after=30.0)

    outcome = await wait(StatusSequence(busy, ALPHA_READY), clock, progress)

    assert outcome.reached
    assert clock.slept == [30.0]


async def test_a_lasting_retryable_error_is_the_reason_at_the_end(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    outcome = await wait(StatusSequence(ProxyUnreachable("Connection refused")), clock, progress)

    assert (outcome.reached, outcome.sandbox, outcome.state) == (False, None, State.UNKNOWN)
    assert outcome.waited == outcome.unread_for == pytest.approx(60.0)
    assert outcome.reason == "its status cannot be read: Connection refused"
    assert isinstance(outcome.error, ProxyUnreachable)


async def test_an_outage_in_the_middle_of_a_wait_has_its_own_seconds(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    refused = ProxyUnreachable("Connection refused")

    outcome = await wait(StatusSequence(ALPHA_PENDING, ALPHA_STARTING, refused), clock, progress)

    assert (outcome.sandbox, outcome.state) == (sandbox(ALPHA_STARTING), State.UNKNOWN)
    assert outcome.unread_for == pytest.approx(60.0 - 0.25)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ALPHA_PENDING, "pending: Pod exists with phase: Pending; Service Exists"),
        (
            ProxyFailed("The proxy failed (500)"),
            "its status cannot be read: The proxy failed (500)",
        ),
    ],
    ids=["a state", "an error"],
)
async def test_the_short_limit_of_the_last_looks_does_not_hide_the_reason(
    answer: StatusRow | SandboxError, reason: str, clock: FakeClock, progress: RecordedProgress
) -> None:
    async def look(seconds: float) -> Sandbox:
        if seconds >= 5:
            return await StatusSequence(answer)(seconds)
        clock.now += seconds
        raise DeadlineExceeded(f"no answer within {seconds:g} s")

    outcome = await wait_for_state(
        State.READY, look, report=progress, timing=timing_on(clock), deadline=READY_DEADLINE
    )

    assert outcome.reason == reason


async def test_a_proxy_that_never_answers_is_the_reason(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    async def look(seconds: float) -> Sandbox:
        clock.now += min(seconds, 20.0)
        raise DeadlineExceeded(f"no answer within {min(seconds, 20.0):g} s")

    outcome = await wait_for_state(
        State.READY, look, report=progress, timing=timing_on(clock), deadline=READY_DEADLINE
    )

    assert outcome.reason == "its status cannot be read: no answer within 20 s"


async def test_a_retry_after_longer_than_the_wait_ends_it_at_once(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    busy = RateLimited("The proxy asks for fewer requests", retry_after=300.0)

    outcome = await wait(StatusSequence(ALPHA_PENDING, busy), clock, progress)

    assert (outcome.reached, outcome.error) == (False, busy)
    assert clock.slept == [0.25]
    assert outcome.reason.endswith("(the proxy asks to wait 300 s)")


@pytest.mark.parametrize(
    "fault",
    [KeyRejected("The API key has expired"), InvalidResponse("an HTML page")],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_permanent_error_ends_the_wait_with_the_last_state(
    fault: SandboxError, clock: FakeClock, progress: RecordedProgress
) -> None:
    outcome = await wait(StatusSequence(ALPHA_STARTING, fault), clock, progress)

    assert not outcome.reached
    assert outcome.sandbox == sandbox(ALPHA_STARTING)
    assert fault.message in outcome.reason
    assert clock.slept == [0.25]


async def test_a_sandbox_deleted_during_the_wait_is_an_error(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    with pytest.raises(SandboxNotFound, match="gone"):
        await wait(StatusSequence(ALPHA_PENDING, SandboxNotFound("gone")), clock, progress)


async def test_each_poll_gets_the_remaining_seconds(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    looks = StatusSequence(ALPHA_PENDING)

    outcome = await wait(looks, clock, progress)

    assert looks.given[:2] == [60.0, 59.75]
    assert min(looks.given) == 1.0
    assert outcome.waited <= 61.0


async def test_a_slow_poll_does_not_extend_the_wait(
    clock: FakeClock, progress: RecordedProgress
) -> None:
    async def slow(seconds: float) -> Sandbox:
        clock.now += min(25.0, seconds)
        return sandbox(ALPHA_PENDING)

    outcome = await wait_for_state(
        State.READY, slow, report=progress, timing=timing_on(clock), deadline=READY_DEADLINE
    )

    assert not outcome.reached
    assert outcome.waited <= 61.0


@pytest.mark.parametrize("is_later", [False, True], ids=["the first look", "a later look"])
async def test_a_slow_poll_reports_the_last_reason(
    is_later: bool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "REPORT_INTERVAL", 0)
    reported = anyio.Event()
    progress = RecordedProgress()
    looks = [ALPHA_PENDING, ALPHA_READY] if is_later else [ALPHA_READY]

    async def report(elapsed: float, limit: float | None, reason: str) -> None:
        await progress(elapsed, limit, reason)
        if not is_later or len(progress.reports) > 1:
            reported.set()

    async def slow(_: float) -> Sandbox:
        row = looks.pop(0)
        if not looks:
            await reported.wait()
        return sandbox(row)

    with anyio.fail_after(5):
        outcome = await wait_for_state(
            State.READY, slow, report=report, timing=timing_on(clock), deadline=READY_DEADLINE
        )

    assert outcome.reached
    expected = "pending: Pod exists" if is_later else "its status has not been read yet"
    assert progress.reasons[-1].startswith(expected)
    assert {limit for _, limit, _ in progress.reports} == {60.0}
