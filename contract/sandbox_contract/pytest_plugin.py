"""The pytest plugin: options for `pytest --pyargs sandbox_contract`, and a terminal summary.

The options are those of `sandbox-contract run` without the keys, with a prefix that the options of
other projects are unlikely to have. pytest imports this module wherever the distribution is
installed, so it imports only what it needs.
"""

from __future__ import annotations

from typing import Any

import pytest

from .options import YES_HELP, add_target_options

__all__ = [
    "PREFIX",
    "YES",
    "add_summary_lines",
    "pytest_addoption",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]

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


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the lines from a worker of pytest-xdist to the process with the terminal."""
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[__name__] = session.config.stash.get(_SUMMARY_LINES, list[str]())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Receive the lines of a worker of pytest-xdist."""
    lines = getattr(node, "workeroutput", {}).get(__name__, [])
    add_summary_lines(node.config, *lines)
