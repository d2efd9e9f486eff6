"""The fake proxy, judged by the contract: sane, and as deployed; twice, and in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_contract import CLAUSES, Level, Outcome, Result, judge

from tests.contract.openapi import operation_for, problems
from tests.contract.targets import PROFILES, WAYS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox_contract._wire.exchange import Exchange

pytestmark = pytest.mark.timeout(240)  # seconds, for one or two whole runs
each_way = pytest.mark.parametrize("way", WAYS)
each_profile = pytest.mark.parametrize("profile", PROFILES)

# Only the older controller reports a paused sandbox as ready: the newer one's is refused.
ONLY_IN = {"commands.paused.503": "v1alpha1"}


def outcomes(result: Result) -> Mapping[str, str]:
    """Return what a run found, with what was expected and received where that is not a pass."""
    return {
        each.clause.id: each.outcome
        + (f": {each.expected} / {each.received}" if each.outcome is Outcome.FAIL else "")
        + (f": {each.detail}" if each.outcome is Outcome.ERROR else "")
        for each in result.verdicts
    }


@each_way
@each_profile
def test_the_fake_keeps_every_promise(way: str, profile: str, tmp_path: Path) -> None:
    with WAYS[way](tmp_path, profile=profile) as target:
        result = judge(target)
    assert outcomes(result) == {clause.id: "pass" for clause in CLAUSES}
    assert result.left == []
    assert result.exit_code == 0


@each_way
@each_profile
def test_as_deployed_the_findings_are_the_known_bugs_and_nothing_fails(
    way: str, profile: str, tmp_path: Path
) -> None:
    with WAYS[way](tmp_path, profile=profile, as_deployed=True) as target:
        result = judge(target)
    bugs = {
        clause.id
        for clause in CLAUSES
        if clause.level is Level.SHOULD and ONLY_IN.get(clause.id, profile) == profile
    }
    wanted = {clause.id: "finding" if clause.id in bugs else "pass" for clause in CLAUSES}
    assert outcomes(result) == wanted
    assert result.exit_code == 0


@pytest.mark.parametrize("as_deployed", [False, True], ids=["sane", "as deployed"])
def test_a_second_run_and_another_order_find_the_same(tmp_path: Path, *, as_deployed: bool) -> None:
    with WAYS["in process"](tmp_path, as_deployed=as_deployed) as target:
        first = judge(target)
        again = judge(target, shuffle=1)
    assert outcomes(again) == outcomes(first)
    assert [each.clause for each in again.verdicts] == [each.clause for each in first.verdicts]


def test_every_exchange_of_the_suite_is_as_the_description_says(tmp_path: Path) -> None:
    held = list[str]()
    found = dict[str, None]()

    def hold(exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        held.append(path)
        if operation_for(exchange.method, path) is None:
            # Routes that there are not, and what the suite itself serves.
            assert exchange.status in {401, 403, 404} or "/contract-probe/" in path, path
            return
        told = problems(exchange.method, path, exchange.status, exchange.headers, exchange.body)
        found.update(dict.fromkeys(told))

    with WAYS["in process"](tmp_path) as target:
        judge(target, observers=[hold])
    assert list(found) == []
    assert len(held) > 1_000
