"""One check after another, whatever each of them meets."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sandbox_client.errors import SandboxError, place_of_fault
from sandbox_client.polling import Timing, periodic_progress

from . import account, connectivity, machine
from .context import DiagnosticContext
from .finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sandbox_client.polling import ProgressCallback
    from sandbox_client.provider import ClientProvider

    from .context import Check

_CHECKS: Final = (*machine.CHECKS, *connectivity.CHECKS, *account.CHECKS)


async def run_checks(
    provider: ClientProvider,
    *,
    report: ProgressCallback,
    timing: Timing | None = None,
    now: Callable[[], datetime] | None = None,
) -> list[Finding]:
    """Return what each check found, in their order."""
    time = timing or Timing()
    start, under_way = time.clock(), _CHECKS[0].name

    async def tell() -> None:
        await report(time.clock() - start, None, f"looking at the {under_way}")

    found: list[Finding] = []
    async with AsyncExitStack() as closing, periodic_progress(tell):
        patient = DiagnosticContext(provider, time, now or time.now, closing)
        for check in _CHECKS:
            under_way = check.name
            lacking = _lacking(check, found)
            if check.asks and not lacking:
                await tell()
            made = Finding("not tried", lacking) if lacking else await _made(check, patient)
            found.append(replace(made, check=check.name))
    return found


def _lacking(check: Check, found: Sequence[Finding]) -> str:
    """Return why the check cannot be made; empty where it can."""
    needed = next((each for each in found if each.check == check.needs), None)
    if needed is None or needed.outcome in {"passed", "warned"}:
        return ""
    return needed.words if needed.outcome == "not tried" else f"since '{check.needs}' failed"


async def _made(check: Check, patient: DiagnosticContext) -> Finding:
    try:
        return await check.make(patient)
    except SandboxError as error:
        return Finding("failed", error.message, error.advice)
    except Exception as error:  # noqa: BLE001  # the boundary: a fault of ours is a finding too
        return Finding(
            "failed",
            f"internal error in remote-sandbox: {place_of_fault(error)}",
            "Report it to the project with the line above.",
        )
