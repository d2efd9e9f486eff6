"""Run all benchmarks; leave no process and no file behind, also after Ctrl-C."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import anyio
import httpx
from rich.console import Console

from tools.bench import (
    calls,
    client_commands,
    commands,
    file_copies,
    many_sandboxes,
    repositories,
    silence,
    startup,
    table,
    throughput,
)
from tools.bench.load import LoadFailed
from tools.bench.servers import ServerFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tools.bench.effort import Effort
    from tools.bench.measurement import Row

MEASUREMENTS = (
    startup.measure,
    calls.measure,
    client_commands.measure,
    file_copies.measure,
    repositories.measure,
    silence.measure,
    throughput.measure,
    many_sandboxes.measure,
    commands.measure,
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run(effort: Effort, *, check: bool) -> int:
    """Run all benchmarks and print the table.

    Return 0, or 1 if `check` is set and a target is missed, 2 if a benchmark failed, 130 after a
    signal.
    """
    rows: list[Row] = []
    has_failed = False
    try:
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cancel_on_signal, signals, tasks.cancel_scope)
                rows = await _measure(effort)
                tasks.cancel_scope.cancel()
    except* (LoadFailed, ServerFailed, OSError, httpx.HTTPError) as group:
        print(f"The benchmark failed: {group.exceptions[0]!r}", file=sys.stderr)
        has_failed = True
    if has_failed:
        return 2
    if not rows:
        print("Stopped; everything was cleaned up.", file=sys.stderr)
        return 130
    table.show(rows)
    return 1 if check and any(row.is_met is False for row in rows) else 0


async def _measure(effort: Effort) -> list[Row]:
    with Console(stderr=True).status("starting") as status:
        progress: Callable[[str], None] = status.update
        return [row for measure in MEASUREMENTS for row in await measure(effort, progress)]


async def _cancel_on_signal(
    signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope
) -> None:
    async for _ in signals:
        scope.cancel()
