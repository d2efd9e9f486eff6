"""Print the measured values as a table."""

from __future__ import annotations

import os
import platform
from statistics import median
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tools.bench.measurement import Row

WIDTH = 120  # if the output is not a terminal
LEGEND = (
    "A ratio is the median of the ratios of each value to the baseline measured right after it. The"
    " baselines: an empty server on the same mcp package; the same request, or the same loop of"
    " requests, sent by httpx; a bare Starlette route on the same uvicorn; a fake that cannot"
    " inject faults; one file with the same bytes; a fake with ten sandboxes, or one that runs no"
    " command; a command without a jail. Rows without a target are for comparison only."
)
HEADINGS = ("min", "median", "max", "baseline", "ratio", "target", "met")


def show(rows: Iterable[Row]) -> None:
    """Print the rows, a legend and a description of the machine."""
    table = Table("", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
    console.print(LEGEND)
    console.print(f"Measured on {_machine()}.")


def _cells(row: Row) -> list[str]:
    values = [min(row.values), median(row.values), max(row.values)]
    baseline = _number(median(row.baseline)) if row.baseline else ""
    ratio = f"{row.ratio:.2f} x" if row.ratio is not None else ""
    return [
        f"{row.name} ({row.unit})",
        *map(_number, values),
        baseline,
        ratio,
        _target(row),
        _met(row),
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    unit = "x" if row.target.of == "ratio" else row.unit
    return f"{row.target.relation} {row.target.limit:g} {unit}"


def _met(row: Row) -> str:
    if row.is_met is None:
        return ""
    return "[green]yes[/]" if row.is_met else "[red]no[/]"


def _machine() -> str:
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}"
