"""Check everything that a connection needs: configuration, network, proxy, API key, quota.

`checks` has one function for each check, `run` calls them in order, and `finding` formats their
results. An error of a check is a finding, and the checks that need a failed one are skipped.
"""

from .finding import Finding, findings_as_dict, format_findings, has_no_failure, summarize
from .run import run_checks

__all__ = [
    "Finding",
    "findings_as_dict",
    "format_findings",
    "has_no_failure",
    "run_checks",
    "summarize",
]
