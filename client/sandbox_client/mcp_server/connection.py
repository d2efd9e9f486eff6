"""The tool that looks whether everything works: check_connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_client.diagnostics import findings_as_dict, format_findings, run_checks

from .speech import spell
from .tool import Arguments, Result, Tool

if TYPE_CHECKING:
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.provider import ClientProvider


async def _check(provider: ClientProvider, _: Arguments, report: ProgressCallback) -> Result:
    findings = await run_checks(provider, report=report)
    # Never an error: what failed is what was asked for.
    return Result(format_findings(findings, spell), findings_as_dict(findings, spell))


TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        name="check_connection",
        description="Check configuration, proxy, API key, clock and quota. Use it when calls fail"
        " for no clear reason. Returns a line for each check: passed, warned, failed or not tried,"
        " with the fix.",
        run=_check,
        parameters=(),
        output={"ok": "boolean", "checks": "array"},
        read_only=True,
        idempotent=True,
    ),
)
