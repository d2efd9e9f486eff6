"""The texts and groupings that all reports share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from sandbox_contract.clause import Level
from sandbox_contract.harness.cluster import REMOVAL
from sandbox_contract.result import Coverage, Outcome, Result, Verdict

MEANINGS: Mapping[Outcome, str] = {
    Outcome.FAIL: "A MUST is broken: the target does something else.",
    Outcome.ERROR: "Not judged: the suite itself broke, which says nothing about the target.",
    Outcome.FINDING: "A SHOULD is not met: the target has a known bug of the deployed proxy.",
    Outcome.UNSUPPORTED: "Not judged: this run lacks what the clause needs.",
    Outcome.PASS: "The target does what the clause says.",
}
UNKNOWN_VERSION = "unknown"  # of a target
WORST_FIRST = tuple(MEANINGS)
# A report shows verdicts with these outcomes in full.
NOTEWORTHY = (Outcome.FAIL, Outcome.ERROR, Outcome.FINDING)
# Characters that XML 1.0 forbids, terminal control characters, and bidirectional overrides.
UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


@dataclass(frozen=True, slots=True)
class MissingNeeds:
    """Needs that a run lacked, and the clauses that require all of them.

    `reasons` are the explanations that the verdicts give in addition to the needs.
    """

    needs: Sequence[str]
    verdicts: Sequence[Verdict]
    reasons: Sequence[str]


def escape_unsafe(text: str) -> str:
    r"""Return `text` with unsafe characters escaped, as in `\x1b`; newlines and tabs stay."""
    lines = text.replace("\r\n", "\n")
    return UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), lines)


def escape_line(text: str) -> str:
    """Return `text` on one line, with unsafe characters and newlines escaped."""
    return escape_unsafe(text).replace("\n", r"\n")


def truncate(text: str, length: int) -> str:
    """Return the first `length` characters of `text`, and the number of those left out."""
    excess = len(text) - length
    return text if excess <= 0 else f"{text[:length]}… ({excess} characters more)"


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun, in the singular or the plural."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def tally(result: Result) -> str:
    """Return the number of clauses with each outcome, in one line."""
    counts = [f"{result.counts[outcome]} {outcome}" for outcome in WORST_FIRST]
    return f"{pluralize(len(result.verdicts), 'clause')}: {', '.join(counts)}"


def headline(result: Result) -> str:
    """Return the conclusion and the coverage as one sentence, without its full stop."""
    return f"{conclusion(result)}: {describe_run_coverage(result)}"


def conclusion(result: Result) -> str:
    """Return the run's conclusion about the MUST clauses, without a full stop."""
    counts, must_outcomes = result.counts, _must_outcomes(result)
    if not result.verdicts:
        return "Nothing was judged"
    if counts[Outcome.FAIL]:
        return _with_verb(counts[Outcome.FAIL], "MUST clause", "fails", "fail")
    if Outcome.PASS not in must_outcomes:
        return "No MUST was judged"
    if result.stopped:
        return "No MUST fails, but the target stopped answering"
    if counts[Outcome.ERROR]:
        return "No MUST fails, but the suite broke"
    return "Every MUST holds" if result.is_complete else "Every MUST that was judged holds"


def describe_run_coverage(result: Result) -> str:
    """Return the coverage of a run, and whether the run ended early."""
    coverage = describe_coverage(result.coverage)
    is_finished = not result.interrupted and not result.stopped
    return coverage if is_finished else f"{coverage}; the run was not finished"


def describe_coverage(coverage: Coverage) -> str:
    """Return the numbers of clauses selected, judged and not judged, with the reasons."""
    if coverage.is_complete:
        return f"all {pluralize(coverage.total, 'clause')} were judged"
    reasons = [f"{number} {reason}" for reason, number in coverage.not_judged.items() if number]
    verb = "was" if coverage.selected == 1 else "were"
    return (
        f"{coverage.selected} of {pluralize(coverage.total, 'clause')} {verb} selected,"
        f" {coverage.judged} judged, {sum(coverage.not_judged.values())} not judged"
        + (f" ({', '.join(reasons)})" if reasons else "")
    )


def describe_versions(suite: str, target: str | None) -> str:
    """Return the versions of the suite and of the target."""
    return f"sandbox-contract {suite}; version of the target: {target or UNKNOWN_VERSION}"


def overall_outcome(result: Result) -> Outcome:
    """Return the outcome that gives the whole run its colour and sign."""
    if result.counts[Outcome.FAIL]:
        return Outcome.FAIL
    if result.exit_code:
        return Outcome.ERROR
    return Outcome.PASS if Outcome.PASS in _must_outcomes(result) else Outcome.UNSUPPORTED


def remarks(result: Result) -> list[str]:
    """Return sentences with the facts that the headline leaves out."""
    counts, sentences = result.counts, list[str]()
    if result.stopped:
        sentences.append(f"The target stopped answering: {result.stopped.rstrip('.')}.")
    elif number := counts[Outcome.ERROR]:
        sentences.append(
            f"The suite broke on {pluralize(number, 'clause')}; the target is not to blame."
        )
    if number := counts[Outcome.FINDING]:
        sentences.append(f"{_with_verb(number, 'SHOULD clause', 'is', 'are')} not met.")
    if number := counts[Outcome.UNSUPPORTED]:
        sentences.append(f"{_with_verb(number, 'clause', 'needs', 'need')} more than this run has.")
    if number := len(result.left):
        verb = "may be" if result.listing_error else "is" if number == 1 else "are"
        sentences.append(f"{pluralize(number, 'thing')} {verb} left on the target.")
    if result.out_of_reach:
        sentences.append("The target's cluster keeps what no request removes.")
    return sentences


def leftover_sections(
    left: Sequence[str], listing_error: str = "", out_of_reach: Sequence[str] = ()
) -> list[tuple[str, Sequence[str]]]:
    """Return the leftovers of a run on the target and in its cluster, each list with a heading."""
    sections: list[tuple[str, Sequence[str]]] = []
    if left and listing_error:
        sections.append(
            (f"Perhaps left on the target, which did not list it: {listing_error}", left)
        )
    elif left:
        sections.append(("Left on the target", left))
    if out_of_reach:
        heading = f"Left in the target's cluster, where no request removes it (see {REMOVAL})"
        sections.append((heading, out_of_reach))
    return sections


def format_duration(seconds: float) -> str:
    """Return a duration in milliseconds, seconds or minutes, by its size."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, remainder = divmod(round(seconds), 60)
    return f"{minutes} min {remainder} s"


def by_outcome(result: Result, outcome: Outcome) -> list[Verdict]:
    """Return the verdicts of one outcome, in the order of the run."""
    return [verdict for verdict in result.verdicts if verdict.outcome is outcome]


def by_area(verdicts: Sequence[Verdict]) -> Mapping[str, list[Verdict]]:
    """Return the verdicts of each area, both in the order of the run."""
    areas: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        areas.setdefault(verdict.clause.area, []).append(verdict)
    return areas


def by_missing_needs(result: Result) -> list[MissingNeeds]:
    """Group the unsupported verdicts by the needs that were missing; largest group first."""
    key = attrgetter("needs")
    ungrouped = sorted(map(_missing_needs, by_outcome(result, Outcome.UNSUPPORTED)), key=key)
    merged = [_merge(list(group)) for _, group in groupby(ungrouped, key=key)]
    return sorted(merged, key=lambda missing: len(missing.verdicts), reverse=True)


def _must_outcomes(result: Result) -> set[Outcome]:
    return {verdict.outcome for verdict in result.verdicts if verdict.clause.level is Level.MUST}


def _with_verb(number: int, noun: str, singular: str, plural: str) -> str:
    return f"{pluralize(number, noun)} {singular if number == 1 else plural}"


def _missing_needs(verdict: Verdict) -> MissingNeeds:
    needs = tuple(need.value for need in verdict.missing_needs)
    if not needs:
        return MissingNeeds((verdict.reason or "more than this run has",), (verdict,), ())
    return MissingNeeds(needs, (verdict,), (verdict.reason,) if verdict.reason else ())


def _merge(group: Sequence[MissingNeeds]) -> MissingNeeds:
    verdicts = [verdict for missing in group for verdict in missing.verdicts]
    reasons = dict.fromkeys(reason for missing in group for reason in missing.reasons)
    return MissingNeeds(group[0].needs, verdicts, tuple(reasons))
