"""A run as JUnit XML, which CI systems show: a suite for each area, a case for each clause."""

from collections import Counter
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from sandbox_contract.result import Outcome, Result, Verdict

from .characters import visible
from .words import NOT_TOLD, by_area, coverage_of

_NAME = "sandbox-contract"
# JUnit knows no fifth answer: a finding passes, and its case says what was found.
_TAGS = {Outcome.FAIL: "failure", Outcome.ERROR: "error", Outcome.UNSUPPORTED: "skipped"}
_COUNTED = {"failures": Outcome.FAIL, "errors": Outcome.ERROR, "skipped": Outcome.UNSUPPORTED}


def write(result: Result) -> str:
    """Return a run as JUnit XML."""
    # Some readers take no properties here, and a run that tried nothing has no suite below.
    name = _NAME if result.is_complete else f"{_NAME}, partial: {coverage_of(result)}"
    root = ET.Element("testsuites", {"name": name, **_counts(result.verdicts, result.seconds)})
    for area, verdicts in by_area(result.verdicts).items():
        root.append(_suite(area, verdicts, result))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(area: str, verdicts: Sequence[Verdict], result: Result) -> ET.Element:
    counts = _counts(verdicts, sum(each.seconds for each in verdicts))
    names = {"name": area, "timestamp": visible(result.started)}
    suite = ET.Element("testsuite", names | counts)
    suite.append(_properties(_about(result)))
    suite.extend(_case(verdict) for verdict in verdicts)
    return suite


def _about(result: Result) -> dict[str, str]:
    coverage = result.coverage
    return {
        "suite_version": result.suite_version,
        "target": result.target,
        "target_version": result.target_version or NOT_TOLD,
        "run_id": result.run_id,
        "is_complete": str(result.is_complete).lower(),
        "interrupted": str(result.interrupted).lower(),
        "coverage": coverage_of(result),
        "clauses_total": str(coverage.total),
        "clauses_selected": str(coverage.selected),
        "clauses_judged": str(coverage.judged),
        "clauses_not_judged": str(sum(coverage.not_judged.values())),
    }


def _counts(verdicts: Sequence[Verdict], seconds: float) -> dict[str, str]:
    counted = Counter(verdict.outcome for verdict in verdicts)
    numbers = {name: str(counted[outcome]) for name, outcome in _COUNTED.items()}
    return {"tests": str(len(verdicts)), **numbers, "time": f"{seconds:.3f}"}


def _case(verdict: Verdict) -> ET.Element:
    clause = verdict.clause
    case = ET.Element(
        "testcase",
        classname=f"{_NAME}.{clause.area}",
        name=clause.id,
        time=f"{verdict.seconds:.3f}",
    )
    about = {"outcome": verdict.outcome, "level": clause.level, "source": clause.link}
    case.append(_properties(about))
    if tag := _TAGS.get(verdict.outcome):
        ET.SubElement(case, tag, message=visible(_message(verdict))).text = visible(_story(verdict))
    elif story := _aside(verdict):
        ET.SubElement(case, "system-out").text = visible(story)
    return case


def _properties(values: Mapping[str, str]) -> ET.Element:
    properties = ET.Element("properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=visible(value))
    return properties


def _message(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.FAIL:
        return f"expected {verdict.expected}, received {verdict.received}"
    return verdict.detail


def _aside(verdict: Verdict) -> str:
    """Return what is to be told of a clause that passes here."""
    if verdict.outcome is Outcome.FINDING:
        return f"finding\n{_story(verdict)}"
    return "\n".join(f"note: {note}" for note in verdict.notes)


def _story(verdict: Verdict) -> str:
    """Return what happened, a line for each fact."""
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
