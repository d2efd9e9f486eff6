"""Observations that a run makes once and shares between clauses."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

from sandbox_contract.http.expect import Violation
from sandbox_contract.target import Unsupported

_T = TypeVar("_T")


class Observations:
    """Results of functions that are called once, by key."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Any, Exception | None]] = {}

    async def once(self, key: Hashable, observe: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of `observe` for a key, which is called only once.

        Raises:
            Violation: `observe` raised it.
            Unsupported: `observe` raised it.
        """
        if key not in self._known:
            try:
                self._known[key] = await observe(), None
            except (Violation, Unsupported) as exc:
                self._known[key] = None, exc
        result, error = self._known[key]
        if error is not None:
            raise error
        return cast("_T", result)

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
