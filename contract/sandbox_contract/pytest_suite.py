"""The contract as tests of pytest: one a clause."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox_contract.clauses.catalogue import CLAUSES
from sandbox_contract.harness.preflight import CannotRun
from sandbox_contract.report.words import told_coverage, told_versions

from .clause import Clause
from .distribution import version
from .pytest_plugin import add_summary_lines
from .result import Coverage, Outcome, Verdict
from .runner import Judge, new_run_id
from .target import Target


class ProxyContract:
    """Judge the proxy that a fixture `target` supplies, of scope `class` or wider.

    A finding is an xfail, and what this run lacks something for is skipped, each with its reason.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def judge(
        cls,
        target: Target,
        request: pytest.FixtureRequest,
        record_testsuite_property: Callable[[str, object], None],
    ) -> Iterator[Judge]:
        """Supply a judge; what was made is removed after the last clause."""
        judge = Judge(target, run_id=new_run_id())
        try:
            with judge:
                _prepare(judge)
                yield judge
        finally:
            _summarize(judge, request, record_testsuite_property)
        for what in judge.run.cleanup.out_of_reach:
            warnings.warn(f"The proxy may have left in its cluster: {what}", stacklevel=1)
        if judge.left:
            pytest.fail(f"This run has left: {'; '.join(judge.left)}", pytrace=False)

    @pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
    def test_clause(self, judge: Judge, clause: Clause, request: pytest.FixtureRequest) -> None:
        """Try one clause."""
        verdict = judge.try_clause(clause)
        # The fixture record_property would warn at every clause, in pytest's usual JUnit format.
        request.node.user_properties.extend(("note", note) for note in verdict.notes)
        _tell(verdict)


def _prepare(judge: Judge) -> None:
    try:
        judge.prepare()
    except CannotRun as exc:
        pytest.fail(str(exc), pytrace=False)


def _summarize(
    judge: Judge, request: pytest.FixtureRequest, record: Callable[[str, object], None]
) -> None:
    """Add the coverage and the versions to the terminal summary and to JUnit's properties."""
    tested: str = request.node.nodeid
    coverage = Coverage.of(judge.verdicts, selected=_selected(request), total=len(CLAUSES))
    versions = told_versions(version(), judge.run.target_version)
    add_summary_lines(request.config, f"{tested}: {told_coverage(coverage)}", versions)
    record(f"{tested} coverage", told_coverage(coverage))
    record(f"{tested} versions", versions)


def _selected(request: pytest.FixtureRequest) -> int:
    """Return how many clauses are left to this class after -k, --deselect and their like."""
    items = [each for each in request.session.items if each.parent is request.node]
    return len({clause.id for clause in map(_clause_of, items) if clause is not None})


def _clause_of(item: pytest.Item) -> Clause | None:
    callspec: Any = getattr(item, "callspec", None)  # of a subclass's own test, maybe none
    clause = callspec.params.get("clause") if callspec else None
    return clause if isinstance(clause, Clause) else None


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
            f"{clause.id} ({clause.link})\n{clause.sentence}\n{asked}"
            f"expected: {verdict.expected}\nreceived: {verdict.received}",
            pytrace=False,
        )
    if verdict.outcome is Outcome.ERROR:
        raise RuntimeError(f"The suite broke on {clause.id}: {verdict.detail}")
