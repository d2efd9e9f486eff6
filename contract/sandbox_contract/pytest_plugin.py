"""Options for `pytest --pyargs sandbox_contract`, and what a run adds to pytest's summary.

The options are those of `sandbox-contract run`, but for the keys, with a prefix that no other
project's are likely to have. pytest loads this module wherever the distribution is installed, so it
imports no more.
"""

from __future__ import annotations

import pytest

from .options import add_target_options

__all__ = ["PREFIX", "add_summary_lines", "pytest_addoption", "pytest_terminal_summary"]

PREFIX = "--contract-"
_LINES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the proxy to judge."""
    add_target_options(parser.getgroup("sandbox proxy contract").addoption, prefix=PREFIX)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write the lines of every class that judged a target."""
    if lines := config.stash.get(_LINES, None):
        terminalreporter.section("sandbox proxy contract")
        for line in lines:
            terminalreporter.write_line(line)


def add_summary_lines(config: pytest.Config, *lines: str) -> None:
    """Add lines to the terminal summary."""
    config.stash.setdefault(_LINES, []).extend(lines)
