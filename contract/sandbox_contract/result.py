"""What a run finds of each clause, as values that a report can hold."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from sandbox_contract.clause import Clause, Level
from sandbox_contract.http.exchange import Shown

from .target import Need


class Outcome(StrEnum):
    """What becomes of a clause; five, never merged."""

    PASS = "pass"  # noqa: S105  (no password)
    FAIL = "fail"
    FINDING = "finding"
    UNSUPPORTED = "unsupported"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A clause and what was found. Texts are redacted; times are seconds of this machine.

    `detail` says what an unsupported clause needs, or how the suite broke. What it needs is also in
    `lacks` and `reason`. `notes` are which of
    two right answers was given. `exchanges` are the clause's last ones, `decisive` among them.
    """

    clause: Clause
    outcome: Outcome
    seconds: float = 0.0
    expected: str = ""
    received: str = ""
    detail: str = ""
    lacks: tuple[Need, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    exchanges: Sequence[Shown] = ()
    decisive: Shown | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many clauses of the contract a run selected, and how many of these it judged.

    `not_judged` counts the others of the selected ones by reason.
    """

    total: int
    selected: int
    judged: int
    not_judged: Mapping[str, int]

    @classmethod
    def of(cls, verdicts: Iterable[Verdict], *, selected: int, total: int) -> Self:
        """Count the verdicts on the selected clauses; those without a verdict were not tried."""
        counted = Counter(verdict.outcome for verdict in verdicts)
        unsupported, error = counted[Outcome.UNSUPPORTED], counted[Outcome.ERROR]
        return cls(
            total=total,
            selected=selected,
            judged=counted.total() - unsupported - error,
            not_judged={
                "unsupported": unsupported,
                "error": error,
                "not tried": selected - counted.total(),
            },
        )

    @property
    def is_complete(self) -> bool:
        """Tell whether every clause of the contract was judged."""
        return self.judged == self.total


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run.

    `total` is how many clauses the contract has, `selected` how many the run was asked to judge.
    `left` is what could not be removed; `out_of_reach` what the proxy has left in its cluster,
    where no request removes it. `target_version` is None where the target tells none.
    """

    target: str
    run_id: str
    started: str
    seconds: float
    verdicts: Sequence[Verdict]
    total: int
    selected: int
    left: Sequence[str] = ()
    out_of_reach: Sequence[str] = ()
    interrupted: bool = False
    suite_version: str = "unknown"
    target_version: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def remains(self) -> Sequence[str]:
        """Return all that is still there of what the run has made."""
        return [*self.left, *self.out_of_reach]

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """Return how many verdicts each outcome has."""
        counted = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: counted[outcome] for outcome in Outcome}

    @property
    def coverage(self) -> Coverage:
        """Return how much of the contract was judged."""
        return Coverage.of(self.verdicts, selected=self.selected, total=self.total)

    @property
    def is_complete(self) -> bool:
        """Tell whether the run came to its end and judged every clause of the contract."""
        return self.coverage.is_complete and not self.interrupted

    @property
    def exit_code(self) -> int:
        """Return the exit code of `sandbox-contract run`.

        130 when it was interrupted, 1 when a MUST fails, 2 when the suite broke or judged nothing,
        and else 0: a selection of clauses that hold is a success.
        """
        counts = self.counts
        if self.interrupted:
            return 130
        if counts[Outcome.FAIL]:
            return 1
        return 0 if self.coverage.judged and not counts[Outcome.ERROR] else 2


def broken(clause: Clause) -> Outcome:
    """Return what it is when a clause does not hold."""
    return Outcome.FAIL if clause.level is Level.MUST else Outcome.FINDING
