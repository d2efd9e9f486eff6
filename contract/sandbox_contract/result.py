"""The result of a run: its verdicts, its coverage and its exit code."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from sandbox_contract.clause import Clause, Level
from sandbox_contract.http.exchange import Shown

from .target import Need


class Outcome(StrEnum):
    """The outcome of trying a clause; each verdict has exactly one of the five."""

    PASS = "pass"  # noqa: S105  (no password)
    FAIL = "fail"
    FINDING = "finding"
    UNSUPPORTED = "unsupported"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one clause, with its evidence. Texts are redacted.

    `seconds` is measured by this machine's clock. `detail` is the need of an unsupported clause, or
    the error that broke the suite; the needs are also in `missing_needs` and `reason`. Each of
    `notes` records which of two permitted answers the target gave. `exchanges` are the last ones of
    the clause, with `decisive` among them.
    """

    clause: Clause
    outcome: Outcome
    seconds: float = 0.0
    expected: str = ""
    received: str = ""
    detail: str = ""
    missing_needs: tuple[Need, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    exchanges: Sequence[Shown] = ()
    decisive: Shown | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """The numbers of clauses in the contract, selected for a run, and judged by it.

    `not_judged` maps each reason to the number of selected clauses that were not judged for it.
    """

    total: int
    selected: int
    judged: int
    not_judged: Mapping[str, int]

    @classmethod
    def of(cls, verdicts: Iterable[Verdict], *, selected: int, total: int) -> Self:
        """Count the verdicts; a selected clause without a verdict was not tried."""
        counts = Counter(verdict.outcome for verdict in verdicts)
        unsupported, error = counts[Outcome.UNSUPPORTED], counts[Outcome.ERROR]
        return cls(
            total=total,
            selected=selected,
            judged=counts.total() - unsupported - error,
            not_judged={
                "unsupported": unsupported,
                "error": error,
                "not tried": selected - counts.total(),
            },
        )

    @property
    def is_complete(self) -> bool:
        """Whether every clause of the contract was judged."""
        return self.judged == self.total


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a whole run.

    `total` is the number of clauses in the contract, `selected` the number of those that the run
    was to judge. `left` lists the resources that the run could not remove or, if the target did not
    list them for the reason in `listing_error`, possible ones. `out_of_reach` lists possible
    leftovers in the target's cluster, where no request removes them. `stopped` is the reason why
    the run ended early, if the target no longer answered. `target_version` is None if the target
    reports none.
    """

    target: str
    run_id: str
    started: str
    seconds: float
    verdicts: Sequence[Verdict]
    total: int
    selected: int
    left: Sequence[str] = ()
    listing_error: str = ""
    out_of_reach: Sequence[str] = ()
    interrupted: bool = False
    stopped: str = ""
    suite_version: str = "unknown"
    target_version: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """The number of verdicts with each outcome."""
        counts = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: counts[outcome] for outcome in Outcome}

    @property
    def coverage(self) -> Coverage:
        """How much of the contract was judged."""
        return Coverage.of(self.verdicts, selected=self.selected, total=self.total)

    @property
    def is_complete(self) -> bool:
        """Whether the run was not interrupted and judged every clause of the contract."""
        return self.coverage.is_complete and not self.interrupted and not self.stopped

    @property
    def exit_code(self) -> int:
        """The exit code of `sandbox-contract run`.

        130 if it was interrupted, 1 if a MUST fails, 2 if the suite broke, judged nothing or lost
        the target, and 0 otherwise: a partial run is a success if its clauses hold.
        """
        counts = self.counts
        if self.interrupted:
            return 130
        if counts[Outcome.FAIL]:
            return 1
        is_broken = counts[Outcome.ERROR] or self.stopped
        return 0 if self.coverage.judged and not is_broken else 2


def outcome_if_broken(clause: Clause) -> Outcome:
    """Return the outcome of a clause that does not hold."""
    return Outcome.FAIL if clause.level is Level.MUST else Outcome.FINDING
