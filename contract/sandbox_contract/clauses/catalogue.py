"""Every clause, in the order of a run: area by area, and the check for leftovers last."""

from importlib import import_module

from sandbox_contract.clause import ALL, Clause

_AREAS = (
    "conventions",
    "authentication",
    "users",
    "keys",
    "creation",
    "listing",
    "lifecycle",
    "directories",
    "quota",
    "readiness",
    "forwarding",
    "shell",
    "sessions",
    "pipe",
    "pipe_sessions",
    "files",
    "races",
    "stateful.histories",
)
for _area in _AREAS:  # importing a module defines its clauses
    import_module(f".{_area}", __package__)
CLAUSES: tuple[Clause, ...] = tuple(ALL)
BY_ID = {clause.id: clause for clause in CLAUSES}
LAST = "run.end.nothing-left"
