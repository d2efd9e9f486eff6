"""The sandbox proxy's contract: clauses as data, and a suite that judges any proxy by them.

The law of this repository: `client`, `fakeproxy` and `contract` never import one another.
This package speaks HTTP, and so judges a fake and a deployed proxy with the very same code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clause import Clause, Level
    from .clauses.catalogue import CLAUSES
    from .harness.preflight import CannotRun
    from .pytest_suite import ProxyContract
    from .result import Outcome, Result, Verdict
    from .runner import Judge, judge
    from .target import ManualTime, Need, RealTime, Target

__all__ = [
    "CLAUSES",
    "CannotRun",
    "Clause",
    "Judge",
    "Level",
    "ManualTime",
    "Need",
    "Outcome",
    "ProxyContract",
    "RealTime",
    "Result",
    "Target",
    "Verdict",
    "judge",
]

# pytest loads the plugin beside this file in every project where the distribution is installed,
# also without its extra: what needs Hypothesis or pytest is imported when it is asked for.
_HOMES = {
    "CLAUSES": "clauses.catalogue",
    "ManualTime": "target",
    "CannotRun": "harness.preflight",
    "Clause": "clause",
    "Judge": "runner",
    "Level": "clause",
    "Need": "target",
    "Outcome": "result",
    "RealTime": "target",
    "ProxyContract": "pytest_suite",
    "Result": "result",
    "Target": "target",
    "Verdict": "result",
    "judge": "runner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
