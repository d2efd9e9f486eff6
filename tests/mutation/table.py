"""What a person reads in the end: the share that was killed, by package, and what survived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.mutation.trial import Fate

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tests.mutation.modules import Mutant
    from tests.mutation.trial import Finding

WIDTH = 120  # where the output is no terminal
_WORDS = 60  # characters of what a change was, or became
_HEADINGS = {
    "by a clause": Fate.KILLED,
    "broken": Fate.BROKEN,
    "timed out": Fate.TIMED_OUT,
    "survived": Fate.SURVIVED,
    "unreached": Fate.UNREACHED,
}


def show(found: Sequence[tuple[Mutant, Finding]], *, of: int, seconds: float) -> None:
    """Print the table and the survivors."""
    table = Table("", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("mutants", "killed", "share", *_HEADINGS):
        table.add_column(heading, justify="right", no_wrap=True)
    for part in sorted({mutant.module.part for mutant, _ in found}):
        inside = [finding for mutant, finding in found if mutant.module.part == part]
        table.add_row(part, *_cells(inside))
    table.add_section()
    table.add_row("all", *_cells([finding for _, finding in found]))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    for survivor in survivors(found):
        change = f"{survivor['was']} → {survivor['became']}"
        where = f"{survivor['module']}:{survivor['line']}"
        unreached = " [dim](unreached)[/]" if survivor["fate"] == Fate.UNREACHED else ""
        console.print(f"[bold]{where}[/] {escape(change)}{unreached}", soft_wrap=True)
    console.print(table)
    console.print(f"{len(found)} of {of} mutants in {seconds:.0f} s.")


def survivors(found: Sequence[tuple[Mutant, Finding]]) -> list[dict[str, str | int]]:
    """Return what no clause has noticed, in the order of the source."""
    left = [(mutant, each) for mutant, each in found if not each.fate.is_killed]
    left.sort(key=lambda pair: (pair[0].module.name, pair[0].mutation.line))
    return [
        {
            "module": mutant.module.name,
            "line": mutant.mutation.line,
            "column": mutant.mutation.column,
            "operator": mutant.mutation.operator,
            "was": _short(mutant.mutation.was),
            "became": _short(mutant.mutation.became),
            "fate": finding.fate,
            "detail": f"{finding.clause} {finding.detail}".strip(),
        }
        for mutant, finding in left
    ]


def _cells(findings: Collection[Finding]) -> list[str]:
    counts = {fate: sum(each.fate is fate for each in findings) for fate in Fate}
    killed = sum(count for fate, count in counts.items() if fate.is_killed)
    share = f"{100 * killed / len(findings):.1f} %" if findings else ""
    each = [str(counts[fate]) for fate in _HEADINGS.values()]
    return [str(len(findings)), str(killed), share, *each]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WORDS else f"{line[: _WORDS - 1]}…"
