"""The contract as tests of pytest: one a clause."""

import warnings
from collections.abc import Callable, Iterator

import pytest

from ._clauses.catalogue import CLAUSES
from ._clauses.clause import Clause
from ._judge import Judge
from ._run.preflight import CannotRun
from ._target import Target
from ._trial import new_run_id
from ._verdict import Outcome, Verdict


class ProxyContract:
    """Judge the proxy that a fixture `target` supplies, of scope `class` or wider.

    A finding is an xfail, and what this run lacks something for is skipped, each with its reason.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def judge(cls, target: Target) -> Iterator[Judge]:
        """Supply a judge; what was made is removed after the last clause."""
        with Judge(target, run_id=new_run_id()) as judge:
            try:
                judge.prepare()
            except CannotRun as exc:
                pytest.fail(str(exc), pytrace=False)
            yield judge
        for what in judge.run.out_of_reach:
            warnings.warn(f"The proxy may have left in its cluster: {what}", stacklevel=1)
        if judge.left:
            pytest.fail(f"This run has left: {'; '.join(judge.left)}", pytrace=False)

    @pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
    def test_clause(
        self, judge: Judge, clause: Clause, record_property: Callable[[str, object], None]
    ) -> None:
        """Try one clause."""
        verdict = judge.try_clause(clause)
        for note in verdict.notes:
            record_property("note", note)
        _tell(verdict)


def _tell(verdict: Verdict) -> None:
    """Tell pytest what was found."""
    clause = verdict.clause
    if verdict.outcome is Outcome.UNSUPPORTED:
        pytest.skip(verdict.detail)
    if verdict.outcome is Outcome.FINDING:
        pytest.xfail(f"finding: expected {verdict.expected}, received {verdict.received}")
    if verdict.outcome is Outcome.FAIL:
        asked = "" if verdict.decisive is None else f"request:  {verdict.decisive.request}\n"
        pytest.fail(
            f"{clause.id} ({clause.source})\n{clause.sentence}\n{asked}"
            f"expected: {verdict.expected}\nreceived: {verdict.received}",
            pytrace=False,
        )
    if verdict.outcome is Outcome.ERROR:
        raise RuntimeError(f"The suite broke on {clause.id}: {verdict.detail}")
