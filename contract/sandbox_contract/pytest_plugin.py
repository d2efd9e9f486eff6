"""Options for `pytest --pyargs sandbox_contract`, as of `sandbox-contract run`, but for the keys.

pytest loads this module wherever the distribution is installed, so it imports no more, and its
options but the first bear a prefix that no other project's are likely to have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._options import add_target_options
from ._pytest_summary import write_summary

if TYPE_CHECKING:
    import pytest

__all__ = ["PREFIX", "pytest_addoption", "pytest_terminal_summary"]

PREFIX = "--contract-"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what says which proxy is judged, and how."""
    add_target_options(parser.getgroup("sandbox proxy contract").addoption, prefix=PREFIX)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how much of the contract was judged."""
    write_summary(terminalreporter, config)
