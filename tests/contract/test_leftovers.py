"""What is left of a run where the target answers late, wrongly or with something strange."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_contract import CannotRun, Judge, Outcome, Target, judge
from sandbox_contract.clauses.catalogue import BY_ID
from sandbox_contract.cli import main
from sandbox_contract.harness.run import Run
from sandbox_contract.http.exchange import Exchange
from sandbox_contract.target import FakeClock
from starlette.responses import JSONResponse, Response

from tests.contract.serving import ADMIN_KEY, replace_answer, serve_fake
from tests.contract.targets import in_process
from tests.contract.test_cli import call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

DELETION = BY_ID["sandboxes.delete.reply"]


def behind(
    matches: Callable[[Scope], bool], answer: Callable[[Scope], Response | None]
) -> Callable[[ASGIApp], ASGIApp]:
    """Return a middleware that answers matching requests, or never if there is no answer."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not matches(scope):
                await app(scope, receive, send)
            elif (response := answer(scope)) is None:
                await asyncio.Event().wait()
            else:
                await response(scope, receive, send)

        return wrapped

    return wrap


def changed(target: Target, wrap: Callable[[ASGIApp], ASGIApp]) -> Target:
    assert target.app is not None
    return replace(target, app=wrap(target.app))


def is_creation(scope: Scope) -> bool:
    return (scope["method"], scope["path"]) == ("POST", "/api/sandboxes")


def test_a_creation_without_an_answer_is_perhaps_left_although_it_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox_contract.http.client._TIMEOUT", 0.1)
    with in_process(tmp_path) as target:
        slow = changed(target, behind(is_creation, lambda _: None))
        result = judge(slow, [DELETION], run_id="00aa11")
    assert result.left == ["perhaps sandbox contract-00aa11-life2, whose creation was not answered"]
    assert result.listing_error == ""


def test_a_user_that_is_listed_after_its_deletion_is_left(tmp_path: Path) -> None:
    gone: set[str] = set()

    def swallow(scope: Scope) -> Response:
        gone.add(scope["path"])
        return JSONResponse({"success": True})

    def is_swallowed(scope: Scope) -> bool:
        is_get = scope["method"] == "GET" and scope["path"] in gone
        return is_get or (
            scope["method"] == "DELETE" and scope["path"].startswith("/api/admin/users/")
        )

    def answer(scope: Scope) -> Response:
        return swallow(scope) if scope["method"] == "DELETE" else JSONResponse({}, 404)

    with in_process(tmp_path) as target:
        result = judge(changed(target, behind(is_swallowed, answer)), [DELETION], run_id="00aa11")
    assert "user contract-00aa11-alice (it is listed after it was deleted)" in result.left


def test_a_sweep_does_not_trust_the_answer_to_a_deletion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = replace_answer("DELETE", "/api/sandboxes/", 200, {"success": True, "message": "gone"})
    with serve_fake(tmp_path, done) as (url, fake):
        key = fake.user("zoe")
        call(url, key, "POST", "/api/sandboxes", {"name": "contract-00aa11-box"})
        assert main(["sweep", "--all", "--proxy-url", url, "--api-key", key]) == 1
    assert "NOT removed: sandbox contract-00aa11-box (it is listed after" in capsys.readouterr().out


def test_a_sweep_reports_its_removals_although_the_target_stops_listing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists: list[str] = []

    def is_second_list(scope: Scope) -> bool:
        is_list = (scope["method"], scope["path"]) == ("GET", "/api/sandboxes")
        lists.extend(["list"] * is_list)
        return is_list and len(lists) > 2  # the first is that of the test

    refused = behind(is_second_list, lambda _: JSONResponse({}, 500))
    with serve_fake(tmp_path, refused) as (url, fake):
        key = fake.user("zoe")
        call(url, key, "POST", "/api/sandboxes", {"name": "contract-00aa11-box"})
        assert call(url, key, "GET", "/api/sandboxes")["count"] == 1
        assert main(["sweep", "--all", "--proxy-url", url, "--api-key", key]) == 0
    assert capsys.readouterr().out == "removed: sandbox contract-00aa11-box\n"


def test_a_target_that_answers_only_its_health_check_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox_contract.http.client._TIMEOUT", 0.05)
    clauses = [each for each in BY_ID.values() if each.id.startswith("sandboxes.")]
    is_hanging = [False]

    def hangs(scope: Scope) -> bool:
        is_hanging[0] |= is_creation(scope)
        return is_hanging[0] and scope["path"] != "/health"

    with in_process(tmp_path) as target:
        result = judge(changed(target, behind(hangs, lambda _: None)), clauses, run_id="00aa11")
    assert result.stopped.endswith("requests in a row were not answered")
    assert len(result.verdicts) < 10 < len(clauses)


async def test_sandboxes_without_an_answer_or_after_a_5xx_count_as_left_in_a_cluster() -> None:
    for status in (500, None):
        run = Run(Target(base_url="http://target", admin_key="key"), "00aa11")
        run.cluster.is_there = True
        assert run.cluster.left == []
        if status is None:
            for observe in run.client.unanswered_observers:
                observe("POST", "/api/sandboxes", {}, b'{"name": "a"}')
        else:
            headers: dict[str, str] = {}
            exchange = Exchange("POST", "/api/sandboxes", headers, b"{}", status, headers, b"", 0.1)
            for observer in run.client.observers:
                observer(exchange)
        assert run.cluster.left == run.cluster.will_be_left


def test_a_failed_start_says_what_is_left(tmp_path: Path) -> None:
    refused = replace_answer("DELETE", "/api/admin/users/", 500, {"error": "no", "message": "no"})
    with in_process(tmp_path) as target, pytest.raises(CannotRun) as refusal:
        judge(changed(target, refused), [DELETION], run_id="00aa11")
    said = str(refusal.value)
    assert "Left on the target: user contract-00aa11-preflight1 (" in said
    assert said.endswith("Remove it by: sandbox-contract sweep --run 00aa11")


# Keys and strange texts -------------------------------------------------------------------------


def test_a_key_that_a_fakes_clock_repeats_is_masked(tmp_path: Path) -> None:
    def echo(scope: Scope) -> Response:
        return JSONResponse({"you_sent": dict(scope["headers"])[b"authorization"].decode()}, 404)

    with (
        serve_fake(
            tmp_path, behind(lambda scope: scope["path"].startswith("/_fake/clock"), echo)
        ) as (url, _),
        Judge(Target(base_url=url, admin_key=ADMIN_KEY), run_id="00aa11") as judging,
    ):

        async def check(_run: Run) -> None:
            await FakeClock(url, ADMIN_KEY).advance(1)

        verdict = judging.try_clause(replace(DELETION, check=check))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.decisive is not None
    assert ADMIN_KEY not in f"{verdict.decisive.body}{verdict.received}"


def test_a_sweep_masks_a_key_that_the_target_repeats_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    echo = replace_answer("GET", "/api/admin/users", 200, {"auth": f"Bearer {ADMIN_KEY}"})
    with serve_fake(tmp_path, echo) as (url, _):
        assert main(["sweep", "--all", "--proxy-url", url, "--admin-key", ADMIN_KEY]) == 2
    said = capsys.readouterr().err
    assert "Bearer ***" in said
    assert ADMIN_KEY not in said


def test_a_name_with_a_newline_or_a_surrogate_makes_one_line_of_a_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("contract-00aa11-a\nNothing is left of any run.", "contract-00aa11-\ud800")
    boxes: list[dict[str, Any]] = [{"name": name} for name in names]
    content = json.dumps({"sandboxes": boxes, "api_keys": []})

    def listed(_scope: Scope) -> Response:
        return Response(content, 200, media_type="application/json")

    def is_list(scope: Scope) -> bool:
        lists = {"/api/sandboxes", "/api/me/apikeys"}
        return scope["method"] == "GET" and scope["path"] in lists

    with serve_fake(tmp_path, behind(is_list, listed)) as (url, fake):
        key = fake.user("zoe")
        assert main(["sweep", "--all", "--proxy-url", url, "--api-key", key]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert r"contract-00aa11-a\nNothing" in lines[0]
    assert r"contract-00aa11-\ud800" in lines[1]


def test_json_that_is_nested_too_deeply_is_no_proxys(tmp_path: Path) -> None:
    def deep(_scope: Scope) -> Response:
        return Response("[" * 200_000, 200, media_type="application/json")

    is_users = behind(lambda scope: scope["path"] == "/api/admin/users", deep)
    with in_process(tmp_path) as target, pytest.raises(CannotRun, match="expected a body of JSON"):
        judge(changed(target, is_users))


def test_markup_in_an_address_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--proxy-url", "http://127.0.0.1:1/[/b]"]) == 2
    assert "Judging http://127.0.0.1:1/[/b] by " in capsys.readouterr().err
