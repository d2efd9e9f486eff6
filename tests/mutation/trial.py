"""What a child does with a fake: judge it, until a clause does not hold."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hypothesis.configuration import set_hypothesis_home_dir
from sandbox_contract import CLAUSES, Judge, Outcome

from tests.mutation.importing import import_changed
from tests.mutation.modules import home
from tests.mutation.reach import Tracer

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from sandbox_contract import Clause

    from tests.mutation.children import Tell, Work
    from tests.mutation.modules import Mutant

_RUN_ID = "c0ffee"  # the same in each: what is found depends on the mutant alone


class Fate(StrEnum):
    """What became of a mutant; only the last two are survivors."""

    KILLED = "killed by a clause"
    BROKEN = "broken before a clause could say so"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
    UNREACHED = "in a line that no clause runs"

    @property
    def is_killed(self) -> bool:
        """Tell whether somebody would notice."""
        return self not in {Fate.SURVIVED, Fate.UNREACHED}


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a mutant, by which clause, and in which words."""

    fate: Fate
    clause: str = ""
    detail: str = ""


def trying(mutant: Mutant | None, clauses: Sequence[Clause]) -> Work:
    """Return the work that finds out which clause notices a mutant first, if one does."""

    def work(directory: Path, tell: Tell) -> None:
        with _judging(directory, mutant) as judging:
            tell(_found(judging, clauses))

    return work


def timing(directory: Path, tell: Tell) -> None:
    """Tell how long each clause takes on the fake as it is, or which does not hold."""
    taken: dict[str, float] = {}
    with _judging(directory) as judging:
        for clause in CLAUSES:
            verdict = judging.try_clause(clause)
            if verdict.outcome is not Outcome.PASS:
                raise AssertionError(f"clause {clause.id} is {verdict.outcome}")
            taken[clause.id] = verdict.seconds
        tell(taken)


def tracing(directory: Path, tell: Tell) -> None:
    """Tell which clauses run which lines."""
    tracer = Tracer(home())
    tracer.start()
    with _judging(directory) as judging:
        for clause in CLAUSES:
            tracer.clause = clause.id
            judging.try_clause(clause)
        tell(tracer.reach())


@contextmanager
def _judging(directory: Path, mutant: Mutant | None = None) -> Generator[Judge]:
    set_hypothesis_home_dir(directory)
    import_changed(mutant)
    from tests.contract.targets import in_process  # noqa: PLC0415  # it imports the fake

    with in_process(directory) as target, Judge(target, run_id=_RUN_ID) as judging:
        yield judging


def _found(judging: Judge, clauses: Sequence[Clause]) -> Finding:
    withheld: Mapping[str, str] = {}
    for clause in clauses:
        verdict = judging.try_clause(clause)
        words = verdict.detail or f"expected {verdict.expected}, received {verdict.received}"
        if verdict.outcome in {Outcome.FAIL, Outcome.FINDING}:
            return Finding(Fate.KILLED, clause.id, words)
        if verdict.outcome is Outcome.ERROR:
            return Finding(Fate.BROKEN, clause.id, words)
        if verdict.outcome is Outcome.UNSUPPORTED:  # another clause says what is wrong
            withheld = {**withheld, clause.id: words}
    return Finding(Fate.SURVIVED, next(iter(withheld), ""), next(iter(withheld.values()), ""))
