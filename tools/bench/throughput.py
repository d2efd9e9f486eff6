"""Throughput and memory of the fake proxy under load, compared with a bare route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.bench.load import Exchange, load
from tools.bench.measurement import Row, Target
from tools.bench.servers import Fake, Server, bare_route, fake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.bench.effort import Effort

CONNECTIONS = 32
NAME = "box"
PATH = "/api/sandboxes"
CONNECTIONS_PER_USER = 8  # each has a sandbox at a time; the quota of a user is ten


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Load the fake proxy and the bare route, alternately."""
    async with fake() as proxy:
        key = await proxy.new_sandbox(NAME)
        async with proxy.client(key) as http:
            shown = (await http.get(f"{PATH}/{NAME}")).raise_for_status().text
        async with bare_route(shown) as bare:
            alternating = _AlternatingLoad(proxy, bare, effort, progress)
            get = [Exchange.of("GET", f"{PATH}/{NAME}", key=key, status=200)]
            get_rates, bare_get_rates = await alternating.rates(
                f"GET {PATH}/{NAME}", [get] * CONNECTIONS
            )
            cycles = await _cycles(proxy)
            cycle_rates, bare_cycle_rates = await alternating.rates("create, get, delete", cycles)
            peak, bare_peak = proxy.peak_memory(), bare.peak_memory()
    return [
        Row("Fake: authenticated GET", "/s", get_rates, bare_get_rates, Target("≥", 0.6)),
        Row("Fake: create, get, delete", "/s", cycle_rates, bare_cycle_rates),
        Row(
            "Fake: peak memory after that", "MB", [peak], [bare_peak], Target("≤", 60, of="median")
        ),
    ]


async def _cycles(proxy: Fake) -> list[list[Exchange]]:
    keys = [await proxy.new_key() for _ in range(CONNECTIONS // CONNECTIONS_PER_USER)]
    return [_cycle(keys[number % len(keys)], f"cycle-{number}") for number in range(CONNECTIONS)]


def _cycle(key: str, name: str) -> list[Exchange]:
    return [
        Exchange.of("POST", PATH, key=key, status=201, body={"name": name}),
        Exchange.of("GET", f"{PATH}/{name}", key=key, status=200),
        Exchange.of("DELETE", f"{PATH}/{name}", key=key, status=200),
    ]


class _AlternatingLoad:
    """The same load on the fake proxy and the bare route, alternately."""

    def __init__(
        self, proxy: Server, bare: Server, effort: Effort, progress: Callable[[str], None]
    ) -> None:
        self._proxy = proxy
        self._bare = bare
        self._effort = effort
        self._progress = progress

    async def rates(
        self, label: str, scripts: Sequence[Sequence[Exchange]]
    ) -> tuple[list[float], list[float]]:
        """Return the script runs per second of the fake and of the bare route, for each round."""
        proxy: list[float] = []
        bare: list[float] = []
        # The bare route has the same response for all requests.
        bare_scripts = [[Exchange(each.request, 200) for each in script] for script in scripts]
        for number in range(self._effort.rounds):
            self._progress(f"{label}, round {number + 1} of {self._effort.rounds}")
            proxy.append(await self._rate(self._proxy, scripts))
            bare.append(await self._rate(self._bare, bare_scripts))
        return proxy, bare

    async def _rate(self, server: Server, scripts: Sequence[Sequence[Exchange]]) -> float:
        return (await load(server.url, scripts, seconds=self._effort.load_seconds)).rate
