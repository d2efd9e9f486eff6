"""Run all checks in order and collect their findings."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sandbox_client.errors import SandboxError, place_of_fault
from sandbox_client.polling import Timing, periodic_progress

from .checks import (
    DiagnosticContext,
    check_clock,
    check_configuration,
    check_encryption,
    check_file_mode,
    check_health,
    check_key,
    check_latency,
    check_proxy,
    check_quota,
)
from .finding import Finding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from sandbox_client.polling import ProgressCallback
    from sandbox_client.provider import ClientProvider


async def run_checks(
    provider: ClientProvider,
    *,
    report: ProgressCallback,
    timing: Timing | None = None,
    now: Callable[[], datetime] | None = None,
) -> list[Finding]:
    """Run all checks and return their findings in order.

    `now` returns the time of this machine; it defaults to that of `timing`.
    """
    timing = timing or Timing()
    async with AsyncExitStack() as exit_stack:
        run = _Run(DiagnosticContext(provider, timing, now or timing.now, exit_stack), report)
        async with periodic_progress(run.report_progress):
            await run.check("configuration", check_configuration)
            await run.check("file mode", check_file_mode)
            await run.check("encryption", check_encryption, needs="configuration")
            await run.check("proxy", check_proxy, needs="configuration", sends=True)
            await run.check("health", check_health, needs="proxy")
            await run.check("latency", check_latency, needs="health", sends=True)
            await run.check("clock", check_clock, needs="latency")
            await run.check("key", check_key, needs="proxy", sends=True)
            await run.check("sandboxes", check_quota, needs="key", sends=True)
    return list(run.findings.values())


@dataclass
class _Run:
    """The findings so far by name of the check, and the check that is running."""

    context: DiagnosticContext
    report: ProgressCallback
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    current: str = ""
    start: float = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.context.timing.clock()

    async def check(
        self,
        name: str,
        check: Callable[[DiagnosticContext], Awaitable[Finding]],
        *,
        needs: str = "",
        sends: bool = False,
    ) -> None:
        """Run a check unless the one that it `needs` failed; report it if it `sends` requests."""
        self.current = name
        reason = self._skip_reason(needs)
        if reason:
            finding = Finding("not tried", reason)
        else:
            if sends:
                await self.report_progress()
            finding = await _finding_of(check(self.context))
        self.findings[name] = replace(finding, check=name)

    async def report_progress(self) -> None:
        """Report the check that is running."""
        elapsed = self.context.timing.clock() - self.start
        await self.report(elapsed, None, f"checking the {self.current}")

    def _skip_reason(self, needs: str) -> str:
        """Return the reason to skip a check; empty if it can run."""
        needed = self.findings.get(needs)
        if needed is None or needed.outcome in {"passed", "warned"}:
            return ""
        return needed.message if needed.outcome == "not tried" else f"because '{needs}' failed"


async def _finding_of(check: Awaitable[Finding]) -> Finding:
    """Await a check; an error becomes a failed finding."""
    try:
        return await check
    except SandboxError as error:
        return Finding("failed", error.message, error.advice)
    except Exception as error:  # noqa: BLE001  # a bug in a check must not hide other findings
        return Finding(
            "failed",
            f"internal error in remote-sandbox: {place_of_fault(error)}",
            "Report this line to the project.",
        )
