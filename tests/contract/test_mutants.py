"""The suite is sharp: it finds every mistake of the catalogue, and none where there is none."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from sandbox_contract import CLAUSES, Judge, Level, Outcome

from tests.contract.mutants.catalogue import KINDS, MUTANTS
from tests.contract.mutants.document import DOCUMENT, document
from tests.contract.mutants.mutant import unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sandbox_contract import Target, Verdict

    from tests.contract.mutants.mutant import Mutant

BY_ID = {clause.id: clause for clause in CLAUSES}
NAMED = sorted({clause for mutant in MUTANTS for clause in mutant.caught_by})
MUST = {clause.id for clause in CLAUSES if clause.level is Level.MUST}


@pytest.fixture(autouse=True)
def no_shorter_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the first history that breaks a promise: nobody reads it here."""
    monkeypatch.setattr("sandbox_contract._checks.history._SHRINKING", 0.0)


def verdicts(target: Target, clauses: Iterable[str]) -> dict[str, str]:
    """Try some clauses on a target; return what is found of each, with the reason."""
    with Judge(target, run_id="abcdef") as judge:
        return {clause: _said(judge.try_clause(BY_ID[clause])) for clause in clauses}


def _said(verdict: Verdict) -> str:
    if verdict.outcome in {Outcome.PASS, Outcome.FAIL}:
        return verdict.outcome
    return f"{verdict.outcome}: {verdict.detail or verdict.received}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_wrong_proxy_is_found(mutant: Mutant, tmp_path: Path) -> None:
    with mutant.make(tmp_path) as target:
        found = verdicts(target, mutant.caught_by)
    assert found == dict.fromkeys(mutant.caught_by, Outcome.FAIL)


def test_without_a_mistake_nothing_is_found(tmp_path: Path) -> None:
    with unchanged(tmp_path) as target:
        found = verdicts(target, NAMED)
    assert found == dict.fromkeys(NAMED, Outcome.PASS)


def test_ids_are_unique() -> None:
    repeated = [
        each for each, count in Counter(mutant.id for mutant in MUTANTS).items() if count > 1
    ]
    assert repeated == []


def test_mistakes_are_told_apart() -> None:
    counted = Counter((mutant.kind, mutant.mistake) for mutant in MUTANTS)
    assert [each for each, count in counted.items() if count > 1] == []


def test_there_are_many_kinds_and_many_of_each() -> None:
    assert len(MUTANTS) >= 110
    assert len({kind.title for kind in KINDS}) == len(KINDS) >= 30


def test_each_names_clauses_that_can_fail() -> None:
    assert all(mutant.caught_by for mutant in MUTANTS)
    assert set(NAMED) <= MUST


def test_every_clause_that_can_fail_finds_something() -> None:
    assert MUST - {clause for mutant in MUTANTS for clause in mutant.caught_by} == set()


def test_the_document_says_what_the_catalogue_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), (
        "Run: python -m tests.contract.mutants"
    )
