"""A run as JSON, for programs and for later comparison."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

from sandbox_contract.clause import Clause
from sandbox_contract.result import Coverage, Outcome, Result, Verdict

from .summary import UNSAFE, truncate

FORMAT = 3
_READABLE_FORMATS = (1, 2, 3)  # format 1 has neither the numbers of clauses nor versions
_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | float | bool | None"


class InvalidReport(ValueError):
    """A text is not a report in a known format; the message names the fault."""


@dataclass(frozen=True, slots=True)
class SavedVerdict:
    """The verdict on a clause, as read from a report."""

    id: str
    sentence: str
    outcome: Outcome
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The part of a report that a comparison needs.

    `verdicts` maps clause ids to verdicts, in the order of the run. `total` and `selected` are
    numbers of clauses, and None for a report of format 1, which lacks them.
    """

    target: str
    run_id: str
    started: str
    verdicts: Mapping[str, SavedVerdict]
    total: int | None = None
    selected: int | None = None

    @property
    def has_tried_all(self) -> bool:
        """Whether the run is known to have tried every clause of its contract."""
        return len(self.verdicts) == self.total


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
        "stopped": result.stopped,
        "exit_code": result.exit_code,
        "clauses": _coverage_fields(result.coverage),
        "counts": dict(result.counts),
        "settings": dict(result.settings),
        "left": list(result.left),
        "listing_error": result.listing_error,
        "out_of_reach": list(result.out_of_reach),
        "verdicts": [_verdict_fields(verdict) for verdict in result.verdicts],
    }
    text = json.dumps(report, indent=2, ensure_ascii=False)
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def read(text: str) -> SavedRun:
    """Read the text of a report.json.

    Raises:
        ReportUnreadable: the text is not a report, or one in an unknown format.
    """
    report = _parse(text)
    if (format_number := report.field("format").value) not in _READABLE_FORMATS:
        raise InvalidReport(f"'format' is {format_number!r}. Expected one of {_READABLE_FORMATS}.")
    verdicts = [_read_verdict(node) for node in report.field("verdicts").items()]
    return SavedRun(
        target=report.field("target").text(),
        run_id=report.field("run_id").text(),
        started=report.field("started").text(),
        verdicts={verdict.id: verdict for verdict in verdicts},
        total=None if format_number == 1 else report.field("clauses").field("total").number(),
        selected=None if format_number == 1 else report.field("clauses").field("selected").number(),
    )


def _coverage_fields(coverage: Coverage) -> dict[str, object]:
    reasons = {reason.replace(" ", "_"): number for reason, number in coverage.not_judged.items()}
    return {
        "total": coverage.total,
        "selected": coverage.selected,
        "judged": coverage.judged,
        "not_judged": sum(reasons.values()),
        "reasons": reasons,
    }


def _verdict_fields(verdict: Verdict) -> dict[str, object]:
    return _clause_fields(verdict.clause) | {
        "outcome": verdict.outcome,
        "seconds": round(verdict.seconds, 4),
        "expected": verdict.expected,
        "received": verdict.received,
        "detail": verdict.detail,
        "notes": list(verdict.notes),
        "exchanges": [asdict(exchange) for exchange in verdict.exchanges],
        "decisive": verdict.decisive and asdict(verdict.decisive),
    }


def _clause_fields(clause: Clause) -> dict[str, object]:
    return {
        "id": clause.id,
        "area": clause.area,
        "level": clause.level,
        "sentence": clause.sentence,
        "source": clause.link,
        "needs": [need.name for need in clause.needs],
    }


@dataclass(frozen=True, slots=True)
class _Node:
    """A value in a report, with its path, such as `verdicts[0].id`."""

    path: str
    value: _Json

    def field(self, name: str) -> "_Node":
        path = f"{self.path}.{name}".lstrip(".")
        if not isinstance(self.value, dict):
            raise self.error("an object")
        if name not in self.value:
            raise InvalidReport(f"'{path}' is missing. Expected it in every report.")
        return _Node(path, self.value[name])

    def items(self) -> "list[_Node]":
        if not isinstance(self.value, list):
            raise self.error("a list")
        return [_Node(f"{self.path}[{index}]", item) for index, item in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.error("text")
        return self.value

    def number(self) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.error("a whole number")
        return self.value

    def error(self, expected: str) -> InvalidReport:
        name = f"'{self.path}'" if self.path else "The report"
        return InvalidReport(f"{name} is {truncate(repr(self.value), 80)}. Expected {expected}.")


def _parse(text: str) -> _Node:
    try:
        return _Node("", json.loads(text))
    except (json.JSONDecodeError, RecursionError) as exc:
        raise InvalidReport(f"The report is not JSON: {exc}. Expected a report.json.") from exc


def _read_verdict(node: _Node) -> SavedVerdict:
    return SavedVerdict(
        id=node.field("id").text(),
        sentence=node.field("sentence").text(),
        outcome=_read_outcome(node.field("outcome")),
        notes=tuple(note.text() for note in node.field("notes").items()),
    )


def _read_outcome(node: _Node) -> Outcome:
    try:
        return Outcome(node.text())
    except ValueError as exc:
        raise node.error(f"one of {', '.join(Outcome)}") from exc
