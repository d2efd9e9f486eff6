"""The pytest plugin: options for `pytest --pyargs sandbox_contract`, and a terminal summary.

The options are those of `sandbox-contract run` without the keys, with a prefix that the options of
other projects are unlikely to have. pytest imports this module wherever the distribution is
installed, so it imports only what it needs.
"""

from __future__ import annotations

import pytest

from .options import YES_HELP, add_target_options

__all__ = ["PREFIX", "YES", "add_summary_lines", "pytest_addoption", "pytest_terminal_summary"]

PREFIX = "--contract-"
YES = f"{PREFIX}yes"
_SUMMARY_LINES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the proxy to judge."""
    add = parser.getgroup("sandbox proxy contract").addoption
    add_target_options(add, prefix=PREFIX)
    add(YES, action="store_true", help=YES_HELP)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the lines that the test classes added."""
    if lines := config.stash.get(_SUMMARY_LINES, None):
        terminalreporter.section("sandbox proxy contract")
        for line in lines:
            terminalreporter.write_line(line)


def add_summary_lines(config: pytest.Config, *lines: str) -> None:
    """Add lines to the terminal summary."""
    config.stash.setdefault(_SUMMARY_LINES, []).extend(lines)
