"""The shortest history found in which a promise was broken."""

from collections.abc import Callable

from sandbox_contract.http.expect import Violation


class ShortestFailure:
    """The shortest history so far that broke a promise; looking for a shorter one has an end."""

    def __init__(self, *, patience: float, clock: Callable[[], float]) -> None:
        self.shortest: Violation | None = None
        self.is_over = False
        self._steps = 0
        self._clock = clock
        self._patience = patience
        self._until: float | None = None

    def record(self, violation: Violation, steps: list[str]) -> None:
        """Keep a violation, if fewer steps lead to it than to any so far."""
        if self._until is None:
            self._until = self._clock() + self._patience
        if self.shortest is None or len(steps) < self._steps:
            self._steps = len(steps)
            told = f"{violation.received}, after: {'; '.join(steps)}"
            self.shortest = Violation(violation.expected, told, violation.exchange)

    @property
    def is_closed(self) -> bool:
        """Tell whether to act no more."""
        return self.is_over or (self._until is not None and self._clock() >= self._until)
