"""A run as JUnit XML, which CI systems show: a suite for each area, a case for each clause."""

from collections import Counter
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from sandbox_contract.result import Outcome, Result, Verdict

from .summary import UNKNOWN_VERSION, by_area, describe_run_coverage, escape_unsafe

_NAME = "sandbox-contract"
# JUnit has no element for a finding: its case passes, and <system-out> describes it.
_TAGS = {Outcome.FAIL: "failure", Outcome.ERROR: "error", Outcome.UNSUPPORTED: "skipped"}
_COUNTERS = {"failures": Outcome.FAIL, "errors": Outcome.ERROR, "skipped": Outcome.UNSUPPORTED}


def write(result: Result) -> str:
    """Return a run as JUnit XML."""
    # The coverage is in the name: some readers take no properties here, and a run that tried
    # nothing has no suite to hold them.
    name = _NAME if result.is_complete else f"{_NAME}, partial: {describe_run_coverage(result)}"
    root = ET.Element("testsuites", {"name": name, **_counts(result.verdicts, result.seconds)})
    for area, verdicts in by_area(result.verdicts).items():
        root.append(_suite(area, verdicts, result))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(area: str, verdicts: Sequence[Verdict], result: Result) -> ET.Element:
    counts = _counts(verdicts, sum(verdict.seconds for verdict in verdicts))
    names = {"name": area, "timestamp": escape_unsafe(result.started)}
    suite = ET.Element("testsuite", names | counts)
    suite.append(_properties(_run_properties(result)))
    suite.extend(_case(verdict) for verdict in verdicts)
    return suite


def _run_properties(result: Result) -> dict[str, str]:
    coverage = result.coverage
    return {
        "suite_version": result.suite_version,
        "target": result.target,
        "target_version": result.target_version or UNKNOWN_VERSION,
        "run_id": result.run_id,
        "is_complete": str(result.is_complete).lower(),
        "interrupted": str(result.interrupted).lower(),
        "stopped": result.stopped,
        "coverage": describe_run_coverage(result),
        "clauses_total": str(coverage.total),
        "clauses_selected": str(coverage.selected),
        "clauses_judged": str(coverage.judged),
        "clauses_not_judged": str(sum(coverage.not_judged.values())),
    }


def _counts(verdicts: Sequence[Verdict], seconds: float) -> dict[str, str]:
    counted = Counter(verdict.outcome for verdict in verdicts)
    numbers = {name: str(counted[outcome]) for name, outcome in _COUNTERS.items()}
    return {"tests": str(len(verdicts)), **numbers, "time": f"{seconds:.3f}"}


def _case(verdict: Verdict) -> ET.Element:
    clause = verdict.clause
    case = ET.Element(
        "testcase",
        classname=f"{_NAME}.{clause.area}",
        name=clause.id,
        time=f"{verdict.seconds:.3f}",
    )
    properties = {"outcome": verdict.outcome, "level": clause.level, "source": clause.link}
    case.append(_properties(properties))
    if tag := _TAGS.get(verdict.outcome):
        ET.SubElement(case, tag, message=escape_unsafe(_message(verdict))).text = escape_unsafe(
            _describe(verdict)
        )
    elif output := _passed_output(verdict):
        ET.SubElement(case, "system-out").text = escape_unsafe(output)
    return case


def _properties(values: Mapping[str, str]) -> ET.Element:
    properties = ET.Element("properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=escape_unsafe(value))
    return properties


def _message(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.FAIL:
        return f"expected {verdict.expected}, received {verdict.received}"
    return verdict.detail


def _passed_output(verdict: Verdict) -> str:
    """Return the text for a case that JUnit counts as passed: a finding, or notes."""
    if verdict.outcome is Outcome.FINDING:
        return f"finding\n{_describe(verdict)}"
    return "\n".join(f"note: {note}" for note in verdict.notes)


def _describe(verdict: Verdict) -> str:
    """Return the facts of a verdict, one per line."""
    decisive = verdict.decisive
    facts = {
        "clause": verdict.clause.sentence,
        "source": verdict.clause.link,
        "detail": verdict.detail,
        "expected": verdict.expected,
        "received": verdict.received,
        "request": decisive.request if decisive else "",
        "answer": decisive.answer if decisive else "",
        "note": "; ".join(verdict.notes),
    }
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items() if fact)
