"""The fake as it is: what each clause takes there, and which lines it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sandbox_contract import CLAUSES

from tests.mutation.children import Failure, Overdue, answers
from tests.mutation.trial import timing, tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox_contract import Clause

    from tests.mutation.modules import Mutant
    from tests.mutation.reach import Reach

LAST = "run.end.nothing-left"  # it removes what the other clauses share
_PATIENCE = 600.0  # seconds for the fake as it is
# Seconds that a mutant may take at least, and how many times what the fake takes as it is.
_LEAST, _TIMES = 60.0, 4.0


class Unsound(Exception):
    """The fake as it is does not keep its contract, so no mutant can be judged."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What each clause takes, in seconds, and which lines it runs."""

    seconds: Mapping[str, float]
    reach: Reach

    @property
    def limit(self) -> float:
        """Return how many seconds a mutant may take."""
        return max(_LEAST, _TIMES * sum(self.seconds.values()))

    def order(self, mutant: Mutant) -> list[Clause]:
        """Return all clauses, those first that run what was changed, and the quick before the slow.

        The times are rounded, so that most clauses stay in the order of the catalogue.
        """
        near, nearby = self.reach.of(mutant), self.reach.of_module(mutant.module)
        return sorted(
            CLAUSES,
            key=lambda clause: (
                clause.id == LAST,
                (clause.id not in near) + (clause.id not in nearby),
                round(self.seconds[clause.id], 1),
            ),
        )


def measured(is_stopped: Callable[[], bool] = lambda: False) -> Baseline | None:
    """Measure the fake as it is; None when it is to stop.

    Raises:
        Unsound: it does not pass.
    """
    found: list[object] = []
    works = (("timing", timing), ("tracing", tracing))
    for name, answer, _ in answers(works, jobs=1, seconds=_PATIENCE, is_stopped=is_stopped):
        if isinstance(answer, Failure | Overdue):
            raise Unsound(f"{name} the fake as it is: {answer}")
        found.append(answer)
    match found:
        case [seconds, reach]:
            return Baseline(cast("Mapping[str, float]", seconds), cast("Reach", reach))
        case _:
            return None
