"""The contract catches every wrong proxy of the catalogue.

That it finds nothing on the fake as it is, `test_fake.py` shows.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from sandbox_contract import CLAUSES, Judge, Level
from sandbox_contract.clauses.catalogue import BY_ID
from sandbox_contract.result import outcome_if_broken

from tests.contract.mutants.catalogue import KINDS, MUTANTS
from tests.contract.mutants.document import DOCUMENT, document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.mutants.mutant import Mutant

NAMED = sorted({clause for mutant in MUTANTS for clause in mutant.caught_by})
MUST = {clause.id for clause in CLAUSES if clause.level is Level.MUST}
# `make test` tries the first wrong proxy of each kind, and one that only a history finds; `make
# check` tries all the others.
IN_MAKE_TEST = {kind.mutants[0].id for kind in KINDS} | {"users.changed.sandboxes-gone"}


@pytest.fixture(autouse=True)
def no_shrinking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the first history that breaks a promise: a shorter one makes no difference here."""
    monkeypatch.setattr("sandbox_contract.clauses.stateful.histories._SHRINK_TIME", 0.0)


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(each, id=each.id, marks=() if each.id in IN_MAKE_TEST else pytest.mark.check)
        for each in MUTANTS
    ],
)
def test_a_wrong_proxy_fails_the_clauses_named_beside_it(mutant: Mutant, tmp_path: Path) -> None:
    with mutant.make(tmp_path) as target, Judge(target, run_id="abcdef") as judge:
        verdicts = [judge.try_clause(BY_ID[clause]) for clause in mutant.caught_by]
    not_failed = {
        verdict.clause.id: f"{verdict.outcome}: {verdict.detail}"
        for verdict in verdicts
        if verdict.outcome is not outcome_if_broken(verdict.clause)
    }
    assert not_failed == {}, f"{mutant.mistake} This was not found."


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
    assert set(NAMED) <= BY_ID.keys()


def test_every_clause_that_can_fail_finds_something() -> None:
    assert MUST - {clause for mutant in MUTANTS for clause in mutant.caught_by} == set()


def test_the_document_lists_the_catalogue() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), (
        "Run: python -m tests.contract.mutants"
    )
