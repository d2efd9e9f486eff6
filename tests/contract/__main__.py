"""`make contract`: judge the fake proxy in process and on a port, in both profiles."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from sandbox_contract import CLAUSES, Outcome, Result, judge
from sandbox_contract.console import standard_error, standard_output
from sandbox_contract.progress import Progress
from sandbox_contract.report.files import write_reports
from sandbox_contract.report.terminal import render

from tests.contract.targets import PROFILES, WAYS

if TYPE_CHECKING:
    from rich.console import Console


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=__doc__)
    parser.add_argument("--report", type=Path, metavar="DIR", help="write each run's reports here")
    options = parser.parse_args()
    console, results = standard_output(), dict[str, Result]()
    for profile in PROFILES:
        for way in WAYS:
            name = f"{way}, {profile}"
            results[name] = _judged(way, profile, console)
            if options.report is not None:
                write_reports(
                    results[name], options.report / name.replace(", ", "-").replace(" ", "-")
                )
            if results[name].interrupted:
                return results[name].exit_code
    console.print(_table(results))
    return max(result.exit_code for result in results.values())


def _judged(way: str, profile: str, console: Console) -> Result:
    """Judge one fake; say more of it only if it does not keep every promise."""
    with (
        tempfile.TemporaryDirectory() as directory,
        WAYS[way](Path(directory), profile=profile) as target,
        Progress(standard_error(), len(CLAUSES), is_brief=True) as progress,
    ):
        result = judge(target, listener=progress)
    if result.counts[Outcome.PASS] < len(result.verdicts) or result.left:
        render(result, console)
    return result


def _table(results: dict[str, Result]) -> Table:
    table = Table(title="The fake proxy, judged by the contract", title_justify="left")
    table.add_column("Target")
    for outcome in Outcome:
        table.add_column(outcome.value, justify="right")
    table.add_column("seconds", justify="right")
    for name, result in results.items():
        counts = (str(number) for number in result.counts.values())
        table.add_row(name, *counts, f"{result.seconds:.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
