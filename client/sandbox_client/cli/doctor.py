"""The command that checks the connection: doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
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
from sandbox_client.presentation.errors import format_verbs
from sandbox_client.provider import ClientProvider

from .command import FAILED, OK, command
from .console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from sandbox_client.diagnostics import Finding

_MARKS = {
    "passed": ("✓", "green"),
    "warned": ("!", "yellow"),
    "failed": ("✗", "red"),
    "not tried": ("-", "dim"),
}
_COLUMNS = (1, len("not tried"), len("configuration"))  # before the message


@command(interrupted="interrupted: nothing was changed")
async def doctor(provider: ClientProvider, console: Console) -> int:
    """Check the configuration, the proxy and the key."""
    with console.waiting("checking"):
        findings = await run_checks(provider, report=console.report)
    if console.is_terminal:
        text: RenderableType = _columns(findings, console)
    else:  # a line for each finding, for programs
        text = format_findings(findings, console.format_verb)
    console.result(text, findings_as_dict(findings, console.format_verb))
    return OK if has_no_failure(findings) else FAILED


def _columns(findings: Sequence[Finding], console: Console) -> Group:
    lines: list[RenderableType] = []
    for each in findings:
        mark, colour = _MARKS[each.outcome]
        row = Table.grid(padding=(0, 1))
        for width in (*_COLUMNS, None):
            row.add_column(width=width, overflow="fold")
        room = (console.width or 0) - sum(_COLUMNS) - len(_COLUMNS)
        is_beside = max(map(cell_len, each.message.split()), default=0) <= room
        message = Text(each.message if is_beside else "")
        row.add_row(Text(mark, colour), Text(each.outcome, colour), each.check, message)
        lines.append(row)
        if not is_beside:  # no path is cut
            lines.append(_below(Text(each.message), console))
        if each.fix:
            fix = Text(f"Fix: {format_verbs(each.fix, console.format_verb)}", "bold")
            lines.append(_below(fix, console))
    return Group(*lines, console.wrap(Text(f"\n{summarize(findings)}")))


def _below(text: Text, console: Console) -> Padding:
    """Return a text in the full width, as it may be copied."""
    return Padding(console.wrap(text, indent=2), (0, 0, 0, 2))
