"""Verdicts by area, and the unsupported ones by what the run would need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from sandbox_contract._clauses.clause import Need
from sandbox_contract._verdict import Outcome, Result, Verdict

_PREFIX = "needs "


@dataclass(frozen=True, slots=True)
class Lack:
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


def by_lack(result: Result) -> list[Lack]:
    """Return what was lacking, and for which clauses; most clauses first."""
    key = attrgetter("needs")
    single = sorted(map(_lack, by_outcome(result, Outcome.UNSUPPORTED)), key=key)
    lacks = [_together(list(same)) for _, same in groupby(single, key=key)]
    return sorted(lacks, key=lambda lack: len(lack.verdicts), reverse=True)


def _lack(verdict: Verdict) -> Lack:
    said = verdict.detail.removeprefix(_PREFIX)
    # Only what was missing is named there; and the judge may say more than the need.
    needs = tuple(need.value for need in Need if need.value in said)
    for need in needs:
        said = said.replace(need, "", 1)
    reason = said.strip(" ;:")
    if not needs:
        return Lack((reason or "more than this run has",), (verdict,), ())
    return Lack(needs, (verdict,), (reason,) if reason else ())


def _together(lacks: Sequence[Lack]) -> Lack:
    verdicts = [verdict for lack in lacks for verdict in lack.verdicts]
    reasons = dict.fromkeys(reason for lack in lacks for reason in lack.reasons)
    return Lack(lacks[0].needs, verdicts, tuple(reasons))
