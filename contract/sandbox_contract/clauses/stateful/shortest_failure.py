"""The shortest history found in which a promise was broken."""

from collections.abc import Callable

from sandbox_contract.http.expect import Violation


class ShortestFailure:
    """The shortest history so far that broke a promise; the search for shorter ones is limited."""

    def __init__(self, *, time_limit: float, clock: Callable[[], float]) -> None:
        self.shortest: Violation | None = None
        self.is_over = False
        self._steps = 0
        self._clock = clock
        self._time_limit = time_limit
        self._deadline: float | None = None

    def record(self, violation: Violation, steps: list[str]) -> None:
        """Keep a violation if it took fewer steps than any before."""
        if self._deadline is None:
            self._deadline = self._clock() + self._time_limit
        if self.shortest is None or len(steps) < self._steps:
            self._steps = len(steps)
            received = f"{violation.received}, after: {'; '.join(steps)}"
            self.shortest = Violation(violation.expected, received, violation.exchange)

    @property
    def is_closed(self) -> bool:
        """Whether the machine must stop."""
        return self.is_over or (self._deadline is not None and self._clock() >= self._deadline)
