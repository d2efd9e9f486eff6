"""The start of a command in a jail, and another user's GET while many commands start at once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tools.bench.measurement import Row, Target
from tools.bench.servers import fake, has_jails

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

    from tools.bench.effort import Effort

NAME = "box"
WARM_UP = 2
PAUSE = 0.005  # seconds between two GETs
TIME_LIMIT = 120.0  # seconds for all commands


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Measure both."""
    return [*await _measure_starts(effort, progress), *await _measure_gets(effort, progress)]


async def _measure_starts(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Run commands, each in a new session, with a jail and without, alternately."""
    if not await has_jails():
        return []
    progress("commands in a jail")
    jailed, plain = list[float](), list[float]()
    async with fake(isolation="required") as one, fake(isolation="none") as other:
        keys = await one.new_sandbox(NAME), await other.new_sandbox(NAME)
        async with one.client(keys[0]) as in_jail, other.client(keys[1]) as without:
            for _ in range(WARM_UP + effort.calls):
                jailed.append(await _run_command(in_jail))
                plain.append(await _run_command(without))
    jailed, plain = jailed[WARM_UP:], plain[WARM_UP:]
    return [Row("Fake: start a command in a jail", "ms", jailed, plain, Target("≤", 1.5))]


async def _measure_gets(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Compare the 95th percentile of GETs beside the commands with that of GETs before them."""
    quiet, busy = list[float](), list[float]()
    async with fake() as proxy:
        keys = [await proxy.new_sandbox(NAME), await proxy.new_sandbox(NAME)]
        async with proxy.client(keys[0]) as user, proxy.client(keys[1]) as other:
            await _run_command(user)
            for number in range(effort.command_rounds):
                progress(f"many commands, round {number + 1} of {effort.command_rounds}")
                before = [await _get(other) for _ in range(effort.commands)]
                beside = await _get_beside_commands(other, user, effort.commands)
                quiet.append(_percentile_95(before) * 1e3)
                busy.append(_percentile_95(beside) * 1e3)
    name = f"Fake: GET (p95) beside {effort.commands} commands"
    return [Row(name, "ms", busy, quiet, Target("≤", 10))]


async def _get_beside_commands(
    other: httpx.AsyncClient, user: httpx.AsyncClient, count: int
) -> list[float]:
    commands = asyncio.gather(*(_run_command(user) for _ in range(count)))
    times: list[float] = []
    while not commands.done():
        times.append(await _get(other))
        await asyncio.sleep(PAUSE)
    await commands
    return times


async def _get(http: httpx.AsyncClient) -> float:
    started = time.perf_counter()
    (await http.get(f"/api/sandboxes/{NAME}")).raise_for_status()
    return time.perf_counter() - started


async def _run_command(http: httpx.AsyncClient) -> float:
    path = f"/proxy/{NAME}/v1/shell/exec"
    started = time.perf_counter()
    (await http.post(path, json={"command": "true"}, timeout=TIME_LIMIT)).raise_for_status()
    return (time.perf_counter() - started) * 1e3


def _percentile_95(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]
