"""Measured values, and their comparison with a baseline and a target."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for the ratio to the baseline, or for the median in the unit of the values."""

    relation: Literal["≤", "≥"]
    limit: float
    of: Literal["ratio", "median"] = "ratio"

    def is_met_by(self, value: float) -> bool:
        """Return whether a value meets the limit."""
        return value <= self.limit if self.relation == "≤" else value >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """The values of one quantity.

    Each value and the baseline at the same index were measured one after the other, so that other
    load on the machine affects both.
    """

    name: str
    unit: str
    values: Sequence[float]
    baseline: Sequence[float] = ()
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of each value to its baseline, or None without a baseline."""
        if not self.baseline:
            return None
        pairs = zip(self.values, self.baseline, strict=True)
        return median(value / base for value, base in pairs)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met, or None without a target."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of == "ratio" else median(self.values)
        assert value is not None, f"'{self.name}' has a target for its ratio but no baseline"
        return self.target.is_met_by(value)
