"""What a measurement found, and how it stands to the baseline that was measured beside it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach: its ratio to the baseline, or its median in its own unit."""

    relation: Literal["≤", "≥"]
    limit: float
    of: Literal["ratio", "median"] = "ratio"

    def is_met_by(self, value: float) -> bool:
        """Tell whether a value is on the right side of the limit."""
        return value <= self.limit if self.relation == "≤" else value >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured, in one unit.

    The two at one place of `figures` and `baseline` were measured one after the other, so that
    whatever else the machine did then was done to both.
    """

    name: str
    unit: str
    figures: Sequence[float]
    baseline: Sequence[float] = ()
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """Return the median of each figure's ratio to its baseline."""
        if not self.baseline:
            return None
        pairs = zip(self.figures, self.baseline, strict=True)
        return median(figure / least for figure, least in pairs)

    @property
    def is_met(self) -> bool | None:
        """Tell whether the target is met, where there is one."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of == "ratio" else median(self.figures)
        assert value is not None, f"'{self.name}' has a target for a ratio, and no baseline"
        return self.target.is_met_by(value)
