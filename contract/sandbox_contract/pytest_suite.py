"""The contract as pytest tests, one per clause."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox_contract.clauses.catalogue import CLAUSES
from sandbox_contract.report.summary import (
    describe_coverage,
    describe_versions,
    escape_line,
    escape_unsafe,
    leftover_sections,
)
from sandbox_contract.target import CannotRun

from .clause import Clause
from .distribution import version
from .pytest_plugin import YES, add_summary_lines
from .result import Coverage, Outcome, Verdict
from .runner import Judge, new_run_id
from .target import OF_USERS, Target


class ProxyContract:
    """Tests that judge the proxy given by the fixture `target`, of scope `class` or wider.

    A finding is an xfail, and an unsupported clause is skipped, each with its reason.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def judge(
        cls,
        target: Target,
        request: pytest.FixtureRequest,
        record_testsuite_property: Callable[[str, object], None],
    ) -> Iterator[Judge]:
        """Yield a judge, which removes all that it created after the last clause."""
        judge = Judge(target, run_id=new_run_id(), confirm=_confirmation(request))
        try:
            with judge:
                _prepare(judge)
                yield judge
        finally:
            _summarize(judge, request, record_testsuite_property)
        # After Ctrl-C, a failure in this teardown would replace pytest's own summary.
        if judge.left and request.session.exitstatus is not pytest.ExitCode.INTERRUPTED:
            pytest.fail("\n".join(_describe_leftovers(judge)), pytrace=False)

    @pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
    def test_clause(self, judge: Judge, clause: Clause, request: pytest.FixtureRequest) -> None:
        """Try a clause, and turn its verdict into the outcome of this test."""
        verdict = judge.try_clause(clause)
        # The fixture `record_property` would warn in every test under the default JUnit family.
        request.node.user_properties.extend(("note", note) for note in verdict.notes)
        _report(verdict)


def _confirmation(request: pytest.FixtureRequest) -> Callable[[str], bool]:
    """Return the answer to the notice of leftovers in a cluster: the option, or a failure."""

    def confirm(notice: str) -> bool:
        needs_users = any(OF_USERS.intersection(clause.needs) for clause in _selected(request))
        if needs_users and not request.config.getoption(YES):
            pytest.fail(f"{notice}\nPass {YES} to go on. Nothing was created.", pytrace=False)
        return True

    return confirm


def _prepare(judge: Judge) -> None:
    reason = ""
    try:
        judge.prepare()
    except CannotRun as exc:
        reason = str(exc)
    if reason:  # not while the exception is handled, which pytest would show as well
        pytest.fail(escape_unsafe(reason), pytrace=False)


def _describe_leftovers(judge: Judge) -> list[str]:
    cleanup = judge.run.cleanup
    sections = leftover_sections(cleanup.left, cleanup.listing_error, judge.run.cluster.left)
    return [escape_line(f"{heading}: {'; '.join(items)}") for heading, items in sections]


def _summarize(
    judge: Judge, request: pytest.FixtureRequest, record: Callable[[str, object], None]
) -> None:
    """Add the coverage and the versions to the terminal summary and to the JUnit properties.

    The summary also lists possible leftovers. A warning would become a failure under
    `filterwarnings = error`.
    """
    class_id: str = request.node.nodeid
    coverage = Coverage.of(judge.verdicts, selected=len(_selected(request)), total=len(CLAUSES))
    versions = escape_unsafe(describe_versions(version(), judge.run.target_version))
    add_summary_lines(request.config, f"{class_id}: {describe_coverage(coverage)}", versions)
    add_summary_lines(request.config, *_describe_leftovers(judge))
    record(f"{class_id} coverage", describe_coverage(coverage))
    record(f"{class_id} versions", versions)


def _selected(request: pytest.FixtureRequest) -> list[Clause]:
    """Return the clauses that -k, --deselect and similar options left in this class."""
    items = [item for item in request.session.items if item.parent is request.node]
    clauses = {clause.id: clause for clause in map(_clause_of, items) if clause is not None}
    return list(clauses.values())


def _clause_of(item: pytest.Item) -> Clause | None:
    callspec: Any = getattr(item, "callspec", None)  # missing on a subclass's own test
    clause = callspec.params.get("clause") if callspec else None
    return clause if isinstance(clause, Clause) else None


def _report(verdict: Verdict) -> None:
    """Skip, xfail or fail the current test as the verdict requires."""
    clause = verdict.clause
    if verdict.outcome is Outcome.UNSUPPORTED:
        pytest.skip(escape_unsafe(verdict.detail))
    if verdict.outcome is Outcome.FINDING:
        finding = f"finding: expected {verdict.expected}, received {verdict.received}"
        pytest.xfail(escape_unsafe(finding))
    if verdict.outcome is Outcome.FAIL:
        request = "" if verdict.decisive is None else f"request:  {verdict.decisive.request}\n"
        facts = f"{request}expected: {verdict.expected}\nreceived: {verdict.received}"
        pytest.fail(
            f"{clause.id} ({clause.link})\n{clause.sentence}\n{escape_unsafe(facts)}",
            pytrace=False,
        )
    if verdict.outcome is Outcome.ERROR:
        detail = escape_unsafe(verdict.detail)
        raise RuntimeError(f"The suite broke on {clause.id}: {detail}")
