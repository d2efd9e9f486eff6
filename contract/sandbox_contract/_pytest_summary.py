"""What a run of the contract adds to pytest's terminal summary.

pytest loads this module wherever the distribution is installed, so it imports no more.
"""

import pytest

_LINES = pytest.StashKey[list[str]]()


def add_lines(config: pytest.Config, *lines: str) -> None:
    """Keep lines for the summary."""
    config.stash.setdefault(_LINES, []).extend(lines)


def write_summary(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the lines of every class that judged a target."""
    if lines := config.stash.get(_LINES, None):
        reporter.section("sandbox proxy contract")
        for line in lines:
            reporter.write_line(line)
