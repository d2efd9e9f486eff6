"""A run as JSON: all that was found, for programs and for a later comparison."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

from sandbox_contract.clause import Clause
from sandbox_contract.result import Coverage, Outcome, Result, Verdict

from .characters import cut

FORMAT = 3
_READ = (1, 2, 3)  # 1 has neither the numbers of clauses nor versions
_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | float | bool | None"


class ReportUnreadable(ValueError):
    """A text is no report of this format; the message says what is wrong in it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one run found of a clause."""

    id: str
    sentence: str
    outcome: Outcome
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What a comparison needs of a run; `judged` is by the clause's id, in the order of the run.

    `total` and `selected` are numbers of clauses, which a report of format 1 does not tell.
    """

    target: str
    run_id: str
    started: str
    judged: Mapping[str, Judged]
    total: int | None = None
    selected: int | None = None

    @property
    def has_tried_all(self) -> bool:
        """Tell whether the run is known to have tried every clause of its contract."""
        return len(self.judged) == self.total


def write(result: Result) -> str:
    """Return a run as JSON."""
    report = {
        "format": FORMAT,
        "suite_version": result.suite_version,
        "target": result.target,
        "target_version": result.target_version,
        "run_id": result.run_id,
        "started": result.started,
        "seconds": round(result.seconds, 4),
        "is_complete": result.is_complete,
        "interrupted": result.interrupted,
        "exit_code": result.exit_code,
        "clauses": _numbers(result.coverage),
        "counts": dict(result.counts),
        "settings": dict(result.settings),
        "left": list(result.left),
        "out_of_reach": list(result.out_of_reach),
        "verdicts": [_written(verdict) for verdict in result.verdicts],
    }
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def read(text: str) -> Summary:
    """Return what a written report says.

    Raises:
        ReportUnreadable: it is none, or of another format.
    """
    report = _parsed(text)
    if (said := report.at("format").value) not in _READ:
        raise ReportUnreadable(f"'format' is {said!r}. Expected one of {_READ}.")
    judged = [_judged(each) for each in report.at("verdicts").items()]
    return Summary(
        target=report.at("target").text(),
        run_id=report.at("run_id").text(),
        started=report.at("started").text(),
        judged={each.id: each for each in judged},
        total=None if said == 1 else report.at("clauses").at("total").number(),
        selected=None if said == 1 else report.at("clauses").at("selected").number(),
    )


def _numbers(coverage: Coverage) -> dict[str, object]:
    reasons = {reason.replace(" ", "_"): number for reason, number in coverage.not_judged.items()}
    return {
        "total": coverage.total,
        "selected": coverage.selected,
        "judged": coverage.judged,
        "not_judged": sum(reasons.values()),
        "reasons": reasons,
    }


def _written(verdict: Verdict) -> dict[str, object]:
    return _promise(verdict.clause) | {
        "outcome": verdict.outcome,
        "seconds": round(verdict.seconds, 4),
        "expected": verdict.expected,
        "received": verdict.received,
        "detail": verdict.detail,
        "notes": list(verdict.notes),
        "exchanges": [asdict(exchange) for exchange in verdict.exchanges],
        "decisive": verdict.decisive and asdict(verdict.decisive),
    }


def _promise(clause: Clause) -> dict[str, object]:
    return {
        "id": clause.id,
        "area": clause.area,
        "level": clause.level,
        "sentence": clause.sentence,
        "source": clause.link,
        "needs": [need.name for need in clause.needs],
    }


@dataclass(frozen=True, slots=True)
class _Part:
    """A value within a report, and where it stands there."""

    where: str
    value: _Json

    def at(self, name: str) -> "_Part":
        where = f"{self.where}.{name}".lstrip(".")
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        if name not in self.value:
            raise ReportUnreadable(f"'{where}' is missing. Expected it in every report.")
        return _Part(where, self.value[name])

    def items(self) -> "list[_Part]":
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [_Part(f"{self.where}[{index}]", each) for index, each in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("text")
        return self.value

    def number(self) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.wrong("a whole number")
        return self.value

    def wrong(self, expected: str) -> ReportUnreadable:
        name = f"'{self.where}'" if self.where else "The report"
        return ReportUnreadable(f"{name} is {cut(repr(self.value), 80)}. Expected {expected}.")


def _parsed(text: str) -> _Part:
    try:
        return _Part("", json.loads(text))
    except (json.JSONDecodeError, RecursionError) as exc:
        raise ReportUnreadable(f"The report is not JSON: {exc}. Expected a report.json.") from exc


def _judged(verdict: _Part) -> Judged:
    return Judged(
        id=verdict.at("id").text(),
        sentence=verdict.at("sentence").text(),
        outcome=_outcome(verdict.at("outcome")),
        notes=tuple(note.text() for note in verdict.at("notes").items()),
    )


def _outcome(part: _Part) -> Outcome:
    try:
        return Outcome(part.text())
    except ValueError as exc:
        raise part.wrong(f"one of {', '.join(Outcome)}") from exc
