"""The sandbox proxy's contract: clauses as data, and a suite that judges any proxy by them.

The law of this repository: `client`, `fakeproxy` and `contract` never import one another.
This package speaks HTTP, and so judges a fake and a deployed proxy with the very same code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._clauses.catalogue import CLAUSES
    from ._clauses.clause import Clause, Level, Need
    from ._judge import Judge
    from ._run.preflight import CannotRun
    from ._suite import ProxyContract
    from ._target import Advanced, Polled, Target
    from ._trial import judge
    from ._verdict import Outcome, Result, Verdict

__all__ = [
    "CLAUSES",
    "Advanced",
    "CannotRun",
    "Clause",
    "Judge",
    "Level",
    "Need",
    "Outcome",
    "Polled",
    "ProxyContract",
    "Result",
    "Target",
    "Verdict",
    "judge",
]

# pytest loads the plugin beside this file in every project where the distribution is installed,
# also without its extra: what needs Hypothesis or pytest is imported when it is asked for.
_HOMES = {
    "CLAUSES": "_clauses.catalogue",
    "Advanced": "_target",
    "CannotRun": "_run.preflight",
    "Clause": "_clauses.clause",
    "Judge": "_judge",
    "Level": "_clauses.clause",
    "Need": "_clauses.clause",
    "Outcome": "_verdict",
    "Polled": "_target",
    "ProxyContract": "_suite",
    "Result": "_verdict",
    "Target": "_target",
    "Verdict": "_verdict",
    "judge": "_trial",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
