"""The contract of the sandbox proxy: clauses as data, and a suite that judges a proxy by them.

A rule of this repository: `client`, `fakeproxy` and `contract` never import one another. This
package uses HTTP alone, and so judges a fake and a deployed proxy with the same code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clause import Clause, Level
    from .clauses.catalogue import CLAUSES
    from .pytest_suite import ProxyContract
    from .result import Outcome, Result, Verdict
    from .runner import Judge, judge
    from .target import CannotRun, ManualTime, Need, RealTime, Target

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

# pytest imports `sandbox_contract.pytest_plugin` in every project where the distribution is
# installed, even without its extra. So modules that need Hypothesis or pytest are imported lazily.
_MODULES = {
    "CLAUSES": "clauses.catalogue",
    "ManualTime": "target",
    "CannotRun": "target",
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
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
