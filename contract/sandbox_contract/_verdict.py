"""What a run finds of each clause, as values that a report can hold."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ._clauses.clause import Clause, Level
from ._wire.exchange import Shown


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

    `detail` says what an unsupported clause needs, or how the suite broke. `notes` are which of
    two right answers was given. `exchanges` are the clause's last ones, `decisive` among them.
    """

    clause: Clause
    outcome: Outcome
    seconds: float = 0.0
    expected: str = ""
    received: str = ""
    detail: str = ""
    notes: tuple[str, ...] = ()
    exchanges: Sequence[Shown] = ()
    decisive: Shown | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run.

    `left` is what could not be removed; `out_of_reach` what the proxy has left in its cluster,
    where no request removes it.
    """

    target: str
    run_id: str
    started: str
    seconds: float
    verdicts: Sequence[Verdict]
    left: Sequence[str] = ()
    out_of_reach: Sequence[str] = ()
    is_complete: bool = True
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
    def exit_code(self) -> int:
        """Return 0 when every MUST holds, 1 when one fails, 2 when the suite could not judge."""
        counts = self.counts
        if counts[Outcome.FAIL]:
            return 1
        has_judged = counts[Outcome.PASS] or counts[Outcome.FINDING]
        return 0 if has_judged and self.is_complete and not counts[Outcome.ERROR] else 2


def broken(clause: Clause) -> Outcome:
    """Return what it is when a clause does not hold."""
    return Outcome.FAIL if clause.level is Level.MUST else Outcome.FINDING
