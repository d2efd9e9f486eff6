"""Which function tries which clause."""

from collections.abc import Awaitable, Callable

from sandbox_contract._clauses.catalogue import BY_ID
from sandbox_contract._run.run import Run

Check = Callable[[Run], Awaitable[None]]
_CHECKS: dict[str, Check] = {}


def checks(clause_id: str) -> Callable[[Check], Check]:
    """Have a function try a clause.

    Raises:
        ValueError: there is no such clause, or something tries it already.
    """

    def register(check: Check) -> Check:
        if clause_id not in BY_ID:
            raise ValueError(f"There is no clause {clause_id!r} in the catalogue")
        if clause_id in _CHECKS:
            raise ValueError(f"Two checks try the clause {clause_id!r}")
        _CHECKS[clause_id] = check
        return check

    return register


def check_of(clause_id: str) -> Check:
    """Return what tries a clause."""
    return _CHECKS[clause_id]


def checked() -> set[str]:
    """Return the ids of all clauses that something tries."""
    return set(_CHECKS)
