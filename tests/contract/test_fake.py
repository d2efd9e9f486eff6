"""The fake proxy, judged by the whole contract: in its default behavior and as deployed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sandbox_contract import CLAUSES, Clause, Level, Need, Outcome, Result, judge
from sandbox_contract.harness.leftovers import run_of

from tests.contract.openapi import operation_for, problems
from tests.contract.targets import PROFILES, WAYS, in_process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox_contract.http.exchange import Exchange

pytestmark = pytest.mark.timeout(240)  # seconds, for one or two whole runs

# Only the older controller reports a paused sandbox as ready: the newer one's is refused.
ONLY_IN = {"commands.paused.503": "v1alpha1"}
ALL_PASS = {clause.id: "pass" for clause in CLAUSES}


def outcomes(result: Result) -> Mapping[str, str]:
    """Return the outcome by clause id; a failure or an error with its reason."""
    return {
        each.clause.id: each.outcome
        + (f": {each.expected} / {each.received}" if each.outcome is Outcome.FAIL else "")
        + (f": {each.detail}" if each.outcome is Outcome.ERROR else "")
        for each in result.verdicts
    }


def known_bugs(profile: str) -> Mapping[str, str]:
    """Return the outcome by clause id that the deployed proxy has: each SHOULD is a finding.

    Its runtime has no pipe API, so those clauses are not judged.
    """
    return {clause.id: _outcome_as_deployed(clause, profile) for clause in CLAUSES}


def _outcome_as_deployed(clause: Clause, profile: str) -> str:
    if Need.PIPES in clause.needs:
        return "unsupported"
    is_known = clause.level is Level.SHOULD and ONLY_IN.get(clause.id, profile) == profile
    return "finding" if is_known else "pass"


def undocumented(exchange: Exchange) -> list[str]:
    """Return how an exchange differs from `openapi.yaml`."""
    path = exchange.path.partition("?")[0]
    if operation_for(exchange.method, path) is None:
        # An unknown route, which must be refused, or the suite's own probe.
        is_refused = exchange.status in {401, 403, 404} or "/contract-probe/" in path
        return [] if is_refused else [f"{exchange.method} {path} is answered {exchange.status}"]
    return problems(exchange.method, path, exchange.status, exchange.headers, exchange.body)


def made_name(exchange: Exchange) -> str | None:
    """Return the name of the sandbox or user that an exchange created, or None."""
    path = exchange.path.rstrip("/")
    if (exchange.method, exchange.status) != ("POST", 201):
        return None
    if path not in {"/api/sandboxes", "/api/admin/users"}:
        return None
    body = json.loads(exchange.request_body)
    name: str = body.get("name") or body["username"]
    return name


def test_a_runtime_that_never_answers_fails_one_clause(tmp_path: Path) -> None:
    with in_process(tmp_path, listen_after=1e6) as target:
        result = judge(target)
    failing = {each.clause.id for each in result.verdicts if each.outcome is Outcome.FAIL}
    assert failing == {"readiness.ready.answers"}
    assert result.counts[Outcome.ERROR] == 0


def test_the_fake_keeps_every_promise_in_documented_exchanges(tmp_path: Path) -> None:
    differences, made = dict[str, None](), list[str]()

    def observe(exchange: Exchange) -> None:
        differences.update(dict.fromkeys(undocumented(exchange)))
        if (name := made_name(exchange)) is not None:
            made.append(name)

    with in_process(tmp_path) as target:
        result = judge(target, run_id="00aa11", observers=[observe])

    assert outcomes(result) == ALL_PASS
    assert (result.left, result.exit_code) == ([], 0)
    assert list(differences) == []
    assert len(made) > 100
    assert [name for name in made if run_of(name) != "00aa11"] == []


@pytest.mark.check
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("way", WAYS)
def test_the_fake_keeps_every_promise_each_way(way: str, profile: str, tmp_path: Path) -> None:
    with WAYS[way](tmp_path, profile=profile) as target:
        result = judge(target)

    assert outcomes(result) == ALL_PASS
    assert (result.left, result.exit_code) == ([], 0)


@pytest.mark.check
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("way", WAYS)
def test_as_deployed_the_findings_are_the_known_bugs_each_way(
    way: str, profile: str, tmp_path: Path
) -> None:
    with WAYS[way](tmp_path, profile=profile, as_deployed=True) as target:
        result = judge(target)

    assert outcomes(result) == known_bugs(profile)
    assert result.exit_code == 0


def test_without_the_pipe_api_its_clauses_are_not_judged(tmp_path: Path) -> None:
    pipes = [clause for clause in CLAUSES if clause.area == "bash"]
    with in_process(tmp_path, runtime_api="1.0") as target:
        result = judge(target, pipes)

    assert outcomes(result) == {
        clause.id: "unsupported" if Need.PIPES in clause.needs else "pass" for clause in pipes
    }


@pytest.mark.check
@pytest.mark.parametrize("as_deployed", [False, True], ids=["default", "as deployed"])
def test_a_second_run_and_another_order_find_the_same(tmp_path: Path, *, as_deployed: bool) -> None:
    with in_process(tmp_path, as_deployed=as_deployed) as target:
        first = judge(target)
        again = judge(target, shuffle=1)

    assert outcomes(again) == outcomes(first)
    assert [each.clause for each in again.verdicts] == [each.clause for each in first.verdicts]
