"""What a run comes to, in the words and groups that every report shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from sandbox_contract.clause import Level
from sandbox_contract.result import Coverage, Outcome, Result, Verdict

MEANINGS: Mapping[Outcome, str] = {
    Outcome.FAIL: "A MUST is broken: the target does something else.",
    Outcome.ERROR: "Not judged: the suite itself broke, which says nothing of the target.",
    Outcome.FINDING: "A SHOULD is not met: the target has a bug that is known of the proxy.",
    Outcome.UNSUPPORTED: "Not judged: this run lacks what the clause needs.",
    Outcome.PASS: "The target does what the clause says.",
}
NOT_TOLD = "not told"  # where a target's version would stand
WORST_FIRST = tuple(MEANINGS)
# What there is more to say of than its name.
TOLD = (Outcome.FAIL, Outcome.ERROR, Outcome.FINDING)


def plural(number: int, noun: str) -> str:
    """Return a number and what it counts."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def tally(result: Result) -> str:
    """Return in one line how many clauses came to what."""
    counts = [f"{result.counts[outcome]} {outcome}" for outcome in WORST_FIRST]
    return f"{plural(len(result.verdicts), 'clause')}: {', '.join(counts)}"


def headline(result: Result) -> str:
    """Return the conclusion and the coverage, in one sentence without its full stop."""
    return f"{conclusion(result)}: {coverage_of(result)}"


def conclusion(result: Result) -> str:
    """Return what the run says of the target's MUSTs, as a clause of a sentence."""
    counts, musts = result.counts, _musts(result)
    if not result.verdicts:
        return "Nothing was judged"
    if counts[Outcome.FAIL]:
        return _verb(counts[Outcome.FAIL], "MUST clause", "fails", "fail")
    if Outcome.PASS not in musts:
        return "No MUST was judged"
    if counts[Outcome.ERROR]:
        return "No MUST fails, but the suite broke"
    return "Every MUST holds" if result.is_complete else "Every MUST that was judged holds"


def coverage_of(result: Result) -> str:
    """Return how much of the contract the run judged, and whether it came to its end."""
    said = told_coverage(result.coverage)
    return f"{said}; the run was not finished" if result.interrupted else said


def told_coverage(coverage: Coverage) -> str:
    """Return how many clauses were selected, judged and not judged, with the reasons."""
    if coverage.is_complete:
        return f"all {plural(coverage.total, 'clause')} were judged"
    why = [f"{number} {reason}" for reason, number in coverage.not_judged.items() if number]
    verb = "was" if coverage.selected == 1 else "were"
    return (
        f"{coverage.selected} of {plural(coverage.total, 'clause')} {verb} selected,"
        f" {coverage.judged} judged, {sum(coverage.not_judged.values())} not judged"
        + (f" ({', '.join(why)})" if why else "")
    )


def told_versions(suite: str, target: str | None) -> str:
    """Return the versions of the suite and of the target."""
    return f"sandbox-contract {suite}; version of the target: {target or NOT_TOLD}"


def standing(result: Result) -> Outcome:
    """Return as what the run as a whole is shown."""
    if result.counts[Outcome.FAIL]:
        return Outcome.FAIL
    if result.exit_code:
        return Outcome.ERROR
    return Outcome.PASS if Outcome.PASS in _musts(result) else Outcome.UNSUPPORTED


def remarks(result: Result) -> list[str]:
    """Return what the headline leaves out, a sentence each."""
    counts, said = result.counts, list[str]()
    if number := counts[Outcome.ERROR]:
        said.append(f"The suite broke on {plural(number, 'clause')}; the target is not to blame.")
    if number := counts[Outcome.FINDING]:
        said.append(f"{_verb(number, 'SHOULD clause', 'is', 'are')} not met.")
    if number := counts[Outcome.UNSUPPORTED]:
        said.append(f"{_verb(number, 'clause', 'needs', 'need')} more than this run has.")
    if number := len(result.remains):
        said.append(f"{_verb(number, 'thing', 'is', 'are')} left on the target.")
    return said


def duration(seconds: float) -> str:
    """Return a time in the unit that people think of it in."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _musts(result: Result) -> set[Outcome]:
    return {each.outcome for each in result.verdicts if each.clause.level is Level.MUST}


def _verb(number: int, noun: str, one: str, many: str) -> str:
    return f"{plural(number, noun)} {one if number == 1 else many}"


@dataclass(frozen=True, slots=True)
class MissingNeed:
    """What a run would need, all of it, to judge some clauses.

    `reasons` are what the verdicts say beyond the needs themselves.
    """

    needs: Sequence[str]
    verdicts: Sequence[Verdict]
    reasons: Sequence[str]


def by_outcome(result: Result, outcome: Outcome) -> list[Verdict]:
    """Return the verdicts of one outcome, in the order of the run."""
    return [verdict for verdict in result.verdicts if verdict.outcome is outcome]


def by_area(verdicts: Sequence[Verdict]) -> Mapping[str, list[Verdict]]:
    """Return the verdicts of each area, both in the order of the run."""
    areas: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        areas.setdefault(verdict.clause.area, []).append(verdict)
    return areas


def by_missing_need(result: Result) -> list[MissingNeed]:
    """Return what was lacking, and for which clauses; most clauses first."""
    key = attrgetter("needs")
    single = sorted(map(_lack, by_outcome(result, Outcome.UNSUPPORTED)), key=key)
    lacks = [_together(list(same)) for _, same in groupby(single, key=key)]
    return sorted(lacks, key=lambda lack: len(lack.verdicts), reverse=True)


def _lack(verdict: Verdict) -> MissingNeed:
    needs = tuple(need.value for need in verdict.lacks)
    if not needs:
        return MissingNeed((verdict.reason or "more than this run has",), (verdict,), ())
    return MissingNeed(needs, (verdict,), (verdict.reason,) if verdict.reason else ())


def _together(lacks: Sequence[MissingNeed]) -> MissingNeed:
    verdicts = [verdict for lack in lacks for verdict in lack.verdicts]
    reasons = dict.fromkeys(reason for lack in lacks for reason in lack.reasons)
    return MissingNeed(lacks[0].needs, verdicts, tuple(reasons))
