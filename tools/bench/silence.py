"""The client's requests while a command prints nothing, in virtual time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anyio.lowlevel
from sandbox_client import Client, Config
from sandbox_client.api.runtime import Task
from sandbox_client.execution.follower import OutputListener
from sandbox_client.http import Proxy
from sandbox_client.polling import Timing
from sandbox_fakeproxy import FakeProxy, ManualClock, Outcome, ScriptedRuntime

from tools.bench.client_commands import VERSIONS
from tools.bench.counting import CountingTransport
from tools.bench.measurement import Row, Target
from tools.bench.servers import ServerFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tools.bench.bare_commands import Api
    from tools.bench.effort import Effort

NAME = "box"
KEY = f"sk_live_{'0' * 32}"
SEED = {"users": [{"username": "ada", "keys": [{"key": KEY}], "sandboxes": [{"name": NAME}]}]}
TARGETS: dict[Api, Target | None] = {"pipes": Target("≤", 3, of="median"), "terminal": None}


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Follow a command that never prints anything, with each of the runtime's APIs."""
    rows: list[Row] = []
    for api, target in TARGETS.items():
        progress(f"silent command, {api}")
        rate = await _requests_per_minute(api, effort.silent_minutes)
        rows.append(Row(f"Silent command, {api}", "requests/min", [rate], target=target))
    return rows


async def _requests_per_minute(api: Api, minutes: int) -> float:
    clock = ManualClock()
    with TemporaryDirectory(prefix="async-remote-agent-bench-") as folder:
        fake = FakeProxy(
            Path(folder),
            clock=lambda: clock,
            runtime=lambda: ScriptedRuntime(_never_end, clock=_JumpingClock(clock)),
            runtime_api=VERSIONS[api],
        )
        try:
            await fake.seed(SEED)
            return await _follow(fake, clock, minutes) / minutes
        finally:
            fake.close()


async def _follow(fake: FakeProxy, clock: ManualClock, minutes: int) -> int:
    """Start a command, and wait for its end for so many minutes; return the requests meanwhile."""
    transport = CountingTransport(fake.transport)

    async def sleep(seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        clock.advance(seconds)

    timing = Timing(clock=lambda: clock.now().timestamp(), sleep=sleep, now=clock.now)
    config = Config(proxy_url=fake.url, api_key=KEY)
    async with Proxy(config, transport=transport, sleep=sleep) as proxy:
        prompts = Client(proxy, timing).prompts
        listener = OutputListener(_ignore_report)
        session = (
            await prompts.send(NAME, Task("work"), wait_seconds=0, listener=listener)
        ).session
        before = transport.count
        prompt = await prompts.output(
            NAME, session, wait_seconds=60.0 * minutes, to_end=True, listener=listener
        )
    if prompt.status.has_ended:
        raise ServerFailed(f"The silent command has ended: {prompt.status}")
    return transport.count - before


def _never_end(_: object) -> Outcome:
    return Outcome(seconds=math.inf)


async def _ignore_report(elapsed: float, limit: float | None, reason: str) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class _JumpingClock:
    """The clock of commands: a request that waits for a moment advances `clock` to it."""

    clock: ManualClock

    def now(self) -> datetime:
        """Return the time of the clock."""
        return self.clock.now()

    async def sleep_until(self, moment: datetime) -> None:
        """Advance the clock to `moment`."""
        await anyio.lowlevel.checkpoint()
        self.advance(max((moment - self.now()).total_seconds(), 0))

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self.clock.advance(seconds)
