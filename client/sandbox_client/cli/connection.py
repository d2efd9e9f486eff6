"""The command that looks whether everything works: doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sandbox_client.diagnostics import (
    findings_as_dict,
    format_findings,
    has_no_failure,
    run_checks,
    summarize,
)
from sandbox_client.errors import format_verbs

from .command import FAILED, OK, Command

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from sandbox_client.diagnostics import Finding
    from sandbox_client.provider import ClientProvider

    from .console import Console

_MARKS = {
    "passed": ("✓", "green"),
    "warned": ("!", "yellow"),
    "failed": ("✗", "red"),
    "not tried": ("-", "dim"),
}


async def _doctor(provider: ClientProvider, _: Namespace, console: Console) -> int:
    with console.waiting("looking"):
        findings = await run_checks(provider, report=console.report)
    # Columns where a person reads them; a line for each where a program may.
    if console.is_terminal:
        shown: Group | str = _listing(findings, console)
    else:
        shown = format_findings(findings, console.spell)
    console.result(shown, findings_as_dict(findings, console.spell))
    return OK if has_no_failure(findings) else FAILED


def _listing(findings: Sequence[Finding], console: Console) -> Group:
    lines: list[Table | Padding] = []
    for each in findings:
        mark, colour = _MARKS[each.outcome]
        row = Table.grid(padding=(0, 1))
        for width in (1, len("not tried"), len("configuration"), None):
            row.add_column(width=width, overflow="fold")  # a path is shown whole
        row.add_row(Text(mark, colour), Text(each.outcome, colour), each.check, Text(each.message))
        lines.append(row)
        if each.fix:
            fix = Text(f"Fix: {format_verbs(each.fix, console.spell)}", "bold")
            lines.append(Padding(fix, (0, 0, 0, 2)))  # of the whole width: it may be copied
    return Group(*lines, Text(f"\n{summarize(findings)}"))


COMMANDS: Final = (
    Command(
        "doctor",
        "Look whether the configuration, the proxy and the key work",
        _doctor,
        interrupted=lambda _: "interrupted: nothing was changed",
    ),
)
