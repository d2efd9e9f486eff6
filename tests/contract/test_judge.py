"""A check's outcome, and a run's cleanup, waiting and memory."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_contract import (
    CLAUSES,
    Clause,
    Judge,
    ManualTime,
    Outcome,
    Result,
    Target,
    Verdict,
    judge,
)
from sandbox_contract.clauses.catalogue import BY_ID, LAST
from sandbox_contract.harness.cleanup import CleanupStack
from sandbox_contract.harness.leftovers import run_of
from sandbox_contract.harness.readiness import Phase, phase_of, profile_of, rows_of
from sandbox_contract.harness.run import Run
from sandbox_contract.http.client import Caller, HttpClient, Unreachable
from sandbox_contract.http.expect import Violation
from sandbox_contract.runner import Silence
from sandbox_contract.target import CannotRun, Need, Unsupported
from starlette.responses import JSONResponse, Response

from tests.contract.serving import ADMIN_KEY, serve_fake
from tests.contract.targets import in_process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MUST, SHOULD = (
    BY_ID["health.answer.shape"],
    BY_ID["conventions.order.malformed-after-authentication"],
)


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"status": "ok"})(scope, receive, send)


def try_check(
    check: Callable[[Run], Awaitable[None]],
    clause: Any = MUST,
    target: Target | None = None,
) -> tuple[Verdict, Judge]:
    target = target or Target(base_url="http://target", app=fine)
    with Judge(target, run_id="00aa11") as judging:
        return judging.try_clause(replace(clause, check=check)), judging


# Ends of a check --------------------------------------------------------------------------------


def test_a_must_that_is_broken_fails() -> None:
    async def check(run: Run) -> None:
        (await run.actors.anonymous("GET", "/health?key=sk_live_" + "x" * 32)).expect(201)

    verdict, _ = try_check(check)
    assert (verdict.outcome, verdict.expected) == (Outcome.FAIL, "201")
    assert verdict.received == '200 {"status":"ok"}'
    assert verdict.decisive is not None
    assert verdict.decisive.request == "GET /health?key=sk_live_***"
    assert [each.request for each in verdict.exchanges] == [verdict.decisive.request]


def test_a_should_that_is_broken_is_a_finding() -> None:
    async def check(_run: Run) -> None:
        raise Violation("this", "that")

    assert try_check(check, SHOULD)[0].outcome is Outcome.FINDING


def test_a_check_that_breaks_is_an_error_and_says_where() -> None:
    async def check(run: Run) -> None:
        run.note(str(1 // len(run.notes)))

    verdict, _ = try_check(check)
    assert verdict.outcome is Outcome.ERROR
    assert re.fullmatch(r"ZeroDivisionError: .+ \(runner\.py:\d+\)", verdict.detail)


def _unsupported(reason: str) -> Unsupported:
    return Unsupported(reason=reason)


@pytest.mark.parametrize("kind", [ValueError, _unsupported, partial(Violation, "none")])
def test_a_verdict_shows_no_key_however_the_check_ends(kind: Callable[[str], Exception]) -> None:
    async def check(_run: Run) -> None:
        raise kind(f"the keys {KEY} and an-admin-key")

    target = Target(base_url="http://target", app=fine, admin_key="an-admin-key")
    verdict, _ = try_check(check, target=target)
    assert "the keys sk_live_*** and ***" in verdict.detail + verdict.received


def test_a_target_that_is_gone_is_an_error() -> None:
    async def check(_run: Run) -> None:
        raise Unreachable("nothing answers")

    verdict, _ = try_check(check)
    assert verdict.outcome is Outcome.ERROR
    assert verdict.detail.startswith("Unreachable: nothing answers")


def test_a_need_found_missing_during_a_check_makes_the_clause_unsupported() -> None:
    async def check(_run: Run) -> None:
        raise Unsupported(reason="more room")

    verdict, _ = try_check(check)
    assert (verdict.outcome, verdict.detail) == (Outcome.UNSUPPORTED, "needs more room")


def test_a_missing_need_is_named_without_any_request() -> None:
    async def check(_run: Run) -> None:
        raise AssertionError("must not be tried")

    needs = (Need.WAITING, Need.ADMIN, Need.PROBE)
    verdict, _ = try_check(check, replace(MUST, needs=needs))
    assert verdict.outcome is Outcome.UNSUPPORTED
    assert verdict.detail == f"needs {Need.ADMIN.value}; {Need.PROBE.value}"


STANDING_CLOCK = ManualTime(lambda _seconds: None, ready_after=2.0)
MOVING_CLOCK = ManualTime(lambda _seconds: None)


@pytest.mark.parametrize(
    ("given", "supplied"),
    [
        ({}, set[Need]()),
        ({"api_key": "a"}, {Need.USER}),
        ({"second_api_key": "b"}, set[Need]()),
        ({"api_key": "a", "second_api_key": "b"}, {Need.USER, Need.SECOND_USER}),
        ({"admin_key": "c"}, {Need.USER, Need.SECOND_USER, Need.ADMIN}),
        ({"time": STANDING_CLOCK}, {Need.EXACT_CLOCK, Need.LONG_WAIT}),
        ({"time": MOVING_CLOCK}, set[Need]()),
        ({"may_take_minutes": True}, {Need.LONG_WAIT}),
        ({"serves_probe": True}, {Need.PROBE}),
        ({"failure_images": {"failed": "an:image"}}, {Need.FAILURE_IMAGES}),
        ({"outage": nullcontext}, {Need.OUTAGE}),
        ({"stored": bytes}, {Need.STORAGE}),
    ],
)
def test_a_target_supplies_the_needs_that_it_was_given(
    given: dict[str, Any], supplied: set[Need]
) -> None:
    target = Target(base_url="http://target", **given)
    always = {Need.WAITING, Need.RUNTIME, Need.PIPES}  # which a clause finds out by asking
    assert {need for need in Need if target.has(need)} == supplied | always


def test_notes_are_the_clauses_own() -> None:
    async def check(run: Run) -> None:
        run.note("one way")
        run.note("one way")

    assert try_check(check)[0].notes == ("one way",)


# Cleanup ----------------------------------------------------------------------------------------


def test_a_failing_check_is_cleaned_up_too(tmp_path: Path) -> None:
    async def check(run: Run) -> None:
        visitor = await run.actors.temporary_user()
        await run.sandboxes.new(visitor)
        assert await visitor.names()
        raise Violation("this", "that")

    with in_process(tmp_path) as target:
        verdict, judging = try_check(check, BY_ID["admin.user-get.reply"], target)
        assert verdict.outcome is Outcome.FAIL
        assert judging.left == []
        with Judge(target, run_id="22bb33") as after:
            assert after.prepare() == []


async def test_things_are_removed_the_newest_first_and_one_that_stays_keeps_no_other() -> None:
    removed, reported, stack = list[str](), list[tuple[str, bool]](), CleanupStack()
    creator = Caller.with_key(HttpClient("http://target", fine), "key")

    async def remove(what: str) -> bool:
        if what == "second":
            raise Violation("200", "500")
        removed.append(what)
        return what == "first"

    def report(created: tuple[str, str], was_there: bool) -> None:
        reported.append((created[0], was_there))

    for what in ("first", "second", "third"):
        stack.register(what, creator, partial(remove, what))
    await stack.clean_up(report)
    assert removed == ["third", "first"]
    assert reported == [("third", False), ("first", True)]
    await stack.clean_up(report)
    assert len(removed) == 2


def test_earlier_leftovers_are_told_with_their_run(tmp_path: Path) -> None:
    with in_process(tmp_path) as target:
        judging = Judge(target, run_id="00aa11")
        with judging, Judge(target, run_id="22bb33") as other:
            runner = judging._runner  # pyright: ignore[reportPrivateUsage]
            runner.run(judging.run.actors.alice())
            assert other.prepare() == ["user contract-00aa11-alice of run 00aa11"]


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("contract-00aa11-box", "00aa11"),
        ("-contract-00aa11-box", "00aa11"),
        ("1contract-00aa11-box", "00aa11"),
        ("contract-lawyer", None),
        ("contract-00AA11-box", None),
        ("my-contract-00aa11-box", None),
        (None, None),
    ],
)
def test_only_names_with_the_runs_prefix_belong_to_the_run(
    name: str | None, run_id: str | None
) -> None:
    assert run_of(name) == run_id


def test_after_an_outage_only_what_was_created_is_perhaps_left(tmp_path: Path) -> None:
    with ExitStack() as serving:
        url, _ = serving.enter_context(serve_fake(tmp_path))

        async def check(run: Run) -> None:
            alice = await run.actors.alice()
            gone = await run.actors.temporary_user()
            await run.actors.admin("DELETE", f"/api/admin/users/{gone.id}")
            await run.sandboxes.new(alice)
            shared = await run.sandboxes.shared()
            bob = await run.actors.temporary_user()
            (await run.sandboxes.handle(bob, name=shared.name).create()).expect(201)
            await run.end_clause()
            serving.close()
            await run.sandboxes.new(alice)

        target = Target(base_url=url, admin_key=ADMIN_KEY)
        verdict, judging = try_check(check, BY_ID["sandboxes.delete.reply"], target)
    assert verdict.outcome is Outcome.ERROR
    assert judging.left == ["sandbox contract-00aa11-box", "user contract-00aa11-alice"]
    assert judging.run.cleanup.listing_error.startswith(f"nothing answers at {url} ")
    assert judging.stopped.startswith(f"nothing answers at {url} ")


# Waiting and remembering ------------------------------------------------------------------------


class Clock:
    """A clock that records each step by which it was moved."""

    budget, ready_after, reconcile_delay = 10.0, None, None

    def __init__(self) -> None:
        self.steps: list[float] = []

    async def advance(self, seconds: float) -> None:
        self.steps.append(seconds)


async def test_waiting_grows_longer_ends_in_time_and_is_told() -> None:
    clock, told = Clock(), list[tuple[str, float]]()
    target = Target(base_url="http://target", app=fine, time=clock)
    run = Run(target, "00aa11", on_wait=lambda what, waited, _: told.append((what, waited)))

    async def never() -> None:
        return None

    with pytest.raises(Violation, match="expected the end within 10 s, received not yet"):
        await run.clock.until("the end", never, last=lambda: "not yet")
    assert 10 <= sum(clock.steps) <= 10.2
    assert clock.steps[:-1] == sorted(clock.steps[:-1])
    assert max(clock.steps) <= clock.budget / 90 + 0.01
    assert told[0] == ("the end", 0.0)
    assert [waited for _, waited in told] == sorted(waited for _, waited in told)


async def test_an_existing_sandbox_is_not_waited_for() -> None:
    clock = Clock()
    run = Run(Target(base_url="http://target", app=fine, time=clock), "00aa11")

    async def look() -> int:
        return 5

    assert await run.clock.until("it", look, last=str) == 5
    assert clock.steps == []


async def test_an_observation_is_made_once_even_if_it_fails() -> None:
    run, asked = Run(Target(base_url="http://target", app=fine), "00aa11"), list[str]()

    async def good(_run: Run) -> int:
        asked.append("good")
        return 5

    async def bad(_run: Run) -> int:
        asked.append("bad")
        raise Violation("this", "that")

    for _ in range(2):
        assert await run.once(good) == 5
        with pytest.raises(Violation, match="expected this, received that"):
            await run.once(bad)
    assert asked == ["good", "bad"]


# Orders and ends of a run -----------------------------------------------------------------------


def test_a_shuffled_run_ends_with_the_last_clause_and_reports_in_the_listed_order() -> None:
    begun = list[str]()

    class Listener(Silence):
        def begins(self, clause: Clause) -> None:
            begun.append(clause.id)

    clauses = [*CLAUSES[:20], BY_ID[LAST]]
    target = Target(base_url="http://target", app=fine)
    result = judge(target, clauses, shuffle=1, listener=Listener())
    assert begun[-1] == LAST
    assert begun != [clause.id for clause in clauses]
    assert [each.clause for each in result.verdicts] == clauses


def test_ctrl_c_ends_a_run_with_the_verdicts_so_far() -> None:
    async def holds(_run: Run) -> None:
        pass

    async def interrupted(_run: Run) -> None:
        raise KeyboardInterrupt

    clauses = [
        replace(MUST, check=holds),
        replace(SHOULD, check=interrupted),
        replace(BY_ID["health.answer.no-key"], check=holds),
    ]
    result = judge(Target(base_url="http://target", app=fine), clauses)
    assert [each.clause.id for each in result.verdicts] == [MUST.id]
    assert (result.interrupted, result.exit_code) == (True, 130)
    assert (result.selected, result.coverage.not_judged["not tried"]) == (3, 2)


# Statuses ---------------------------------------------------------------------------------------

READY = {"replicas": 1, "ready": True, "readyReason": "DependenciesReady"}


@pytest.mark.parametrize(
    ("status", "phase", "profile"),
    [
        ({"replicas": 0, "ready": False}, Phase.CREATED, None),
        (READY | {"readyMessage": "Pod is Ready; Service Exists"}, Phase.READY, "v1alpha1"),
        (READY | {"readyMessage": "Pod is Ready", "replicas": 0}, Phase.READY, "v1beta1"),
        (READY | {"readyMessage": "Pod is Ready"}, None, None),
        (READY | {"readyMessage": "Pod is Ready; Service Exists", "replicas": True}, None, None),
        (READY | {"readyMessage": "Pod is Ready; Service Exists", "ready": 1}, None, None),
        (
            {"replicas": 0, "ready": False, "readyReason": "SandboxSuspended"}
            | {"readyMessage": "Sandbox is suspended"},
            Phase.PAUSED,
            "v1beta1",
        ),
        (
            READY
            | {"replicas": 0}
            | {"readyMessage": "Pod does not exist, replicas is 0; Service Exists"},
            Phase.PAUSED,
            "v1alpha1",
        ),
        (
            {"replicas": 1, "ready": False, "readyReason": "ReconcilerError"}
            | {"readyMessage": "Error seen: anything"},
            Phase.ERROR,
            "v1alpha1",
        ),
        (
            {"replicas": 0, "ready": False, "readyReason": "SandboxExpired"}
            | {"readyMessage": "Sandbox has expired"},
            Phase.EXPIRED,
            None,
        ),
        ({}, None, None),
    ],
)
def test_a_status_is_read_by_all_that_it_says(
    status: dict[str, Any], phase: Phase | None, profile: str | None
) -> None:
    assert phase_of(status) is phase
    assert profile_of(status) == profile
    assert bool(rows_of(status)) == (phase is not None)


# Versions ---------------------------------------------------------------------------------------

KEY = "sk_live_" + "x" * 32


@pytest.mark.parametrize(
    ("fields", "headers", "told"),
    [
        ({"version": "2.4.1"}, {"server": "express"}, "2.4.1"),
        ({}, {"server": "express/5"}, None),
        ({"version": 5}, {}, None),
        ({"version": " \n"}, {"server": ""}, None),
        ({"version": "1\n2 \x1b[31m\u202e\ud800"}, {}, "1 2 \x1b[31m\u202e\ud800"),
        ({"version": f"1 {KEY} an-admin-key"}, {}, "1 sk_live_*** ***"),
        ({"version": "9" * 81}, {}, "9" * 80 + "…"),
    ],
)
def test_the_targets_version_comes_from_health(
    fields: dict[str, Any], headers: dict[str, str], told: str | None
) -> None:
    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        is_health = scope["path"] == "/health"
        body = {"status": "ok"} | fields if is_health else {"error": "Unauthorized"}
        text = json.dumps(body)  # which Starlette would write as UTF-8, without surrogates
        reply = Response(text, 200 if is_health else 401, headers, "application/json")
        await reply(scope, receive, send)

    target = Target(base_url="http://target", app=telling)
    with Judge(target, run_id="00aa11") as judging:
        judging.run.redactor.keep("an-admin-key")
        judging.prepare()
        assert judging.run.target_version == told


# Results ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "early_end", "exit_code"),
    [
        ([Outcome.PASS, Outcome.FINDING, Outcome.UNSUPPORTED], {}, 0),
        ([Outcome.PASS, Outcome.FAIL, Outcome.ERROR], {}, 1),
        ([Outcome.PASS, Outcome.ERROR], {}, 2),
        ([Outcome.UNSUPPORTED], {}, 2),
        ([], {}, 2),
        ([Outcome.PASS], {"interrupted": True}, 130),
        ([Outcome.FAIL], {"interrupted": True}, 130),
        ([Outcome.PASS], {"stopped": "no answer"}, 2),
        ([Outcome.FAIL], {"stopped": "no answer"}, 1),
    ],
)
def test_the_exit_code_says_whether_every_must_holds(
    outcomes: list[Outcome], early_end: dict[str, Any], exit_code: int
) -> None:
    verdicts = [Verdict(MUST, outcome) for outcome in outcomes]
    result = Result("http://target", "00aa11", "", 0, verdicts, 9, 9, **early_end)
    assert result.exit_code == exit_code


def test_a_resource_whose_creation_response_was_lost_is_removed(tmp_path: Path) -> None:
    def losing(app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            is_lost = (scope["method"], scope["path"]) == ("POST", "/api/admin/users")
            await app(scope, receive, discard if is_lost else send)
            if is_lost:
                await JSONResponse({"error": "Bad Gateway"}, 502)(scope, receive, send)

        return wrapped

    async def discard(_message: Message) -> None:
        pass

    with in_process(tmp_path) as target:
        assert target.app is not None
        unreliable = replace(target, app=losing(target.app))
        with Judge(unreliable, run_id="00aa11") as judging:
            verdict = judging.try_clause(BY_ID["admin.user-get.reply"])
        assert verdict.outcome is Outcome.FAIL
        assert judging.left == []
        with Judge(target, run_id="22bb33") as after:
            assert after.prepare() == []


def test_the_sandbox_of_a_deactivated_owner_is_removed(tmp_path: Path) -> None:
    async def check(run: Run) -> None:
        visitor = await run.actors.temporary_user()
        await run.sandboxes.new(visitor)
        path = f"/api/admin/users/{visitor.id}"
        (await run.actors.admin("PUT", path, {"is_active": False})).expect(200)

    with in_process(tmp_path, as_deployed=True) as target:
        _, judging = try_check(check, BY_ID["admin.user-get.reply"], target)
        assert judging.left == []
        asked = [(each.method, each.path.count("/")) for each in judging.run.exchanges]
        assert ("DELETE", 3) in asked  # the sandbox, before the deployed proxy forgets it


def test_the_cleanup_asks_a_target_that_did_not_answer_once_and_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("sandbox_contract.http.client._TIMEOUT", 0.6)
    monkeypatch.setattr("sandbox_contract.http.client._INTERRUPTED_TIMEOUT", 0.1)
    target = Target(base_url="http://target", app=hang, admin_key="key")
    with Judge(target, run_id="abcdef") as judge, pytest.raises(CannotRun, match="no complete one"):
        judge.prepare()
    assert judge.left == []
