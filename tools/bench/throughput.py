"""Throughput and memory of the fake proxy under load, compared with a bare route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.bench.load import Exchange, load
from tools.bench.measurement import Row, Target
from tools.bench.servers import Fake, Server, bare_route, fake, fake_without_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.bench.effort import Effort

    Scripts = Sequence[Sequence[Exchange]]  # one for each connection

CONNECTIONS = 32
NAME = "box"
PATH = "/api/sandboxes"
CONNECTIONS_PER_USER = 8  # each has a sandbox at a time; the quota of a user is ten


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Load the fake proxy and its two baselines, alternately.

    The baselines are a bare route, and the fake proxy without the layer that injects faults, none
    of which is armed here.
    """
    async with fake() as proxy, fake_without_faults() as plain:
        key = await proxy.new_sandbox(NAME)
        async with proxy.client(key) as http:
            shown = (await http.get(f"{PATH}/{NAME}")).raise_for_status().text
        get, plain_get = _get(key), _get(await plain.new_sandbox(NAME))
        cycles, plain_cycles = await _cycles(proxy), await _cycles(plain)
        async with bare_route(shown) as bare:
            rounds = _Rounds(effort, progress)
            gets = await rounds.rates(
                "GET", (proxy, get), (bare, _answered_200(get)), (plain, plain_get)
            )
            cycled = await rounds.rates(
                "create, get, delete",
                (proxy, cycles),
                (bare, _answered_200(cycles)),
                (plain, plain_cycles),
            )
            peak, bare_peak = proxy.peak_memory(), bare.peak_memory()
    memory = Target("≤", 60, of="median")
    return [
        Row("Fake: authenticated GET", "/s", gets[0], gets[1], Target("≥", 0.6)),
        Row("Fake: create, get, delete", "/s", cycled[0], cycled[1]),
        Row("Fake: GET with and without faults", "/s", gets[0], gets[2], Target("≥", 0.97)),
        Row("  create, get, delete", "/s", cycled[0], cycled[2], Target("≥", 0.97)),
        Row("Fake: peak memory after that", "MB", [peak], [bare_peak], memory),
    ]


def _get(key: str) -> Scripts:
    return [[Exchange.of("GET", f"{PATH}/{NAME}", key=key, status=200)]] * CONNECTIONS


async def _cycles(proxy: Fake) -> Scripts:
    keys = [await proxy.new_key() for _ in range(CONNECTIONS // CONNECTIONS_PER_USER)]
    return [_cycle(keys[number % len(keys)], f"cycle-{number}") for number in range(CONNECTIONS)]


def _cycle(key: str, name: str) -> list[Exchange]:
    return [
        Exchange.of("POST", PATH, key=key, status=201, body={"name": name}),
        Exchange.of("GET", f"{PATH}/{name}", key=key, status=200),
        Exchange.of("DELETE", f"{PATH}/{name}", key=key, status=200),
    ]


class _Rounds:
    """Rounds of load, in each of which every server has a turn."""

    def __init__(self, effort: Effort, progress: Callable[[str], None]) -> None:
        self._effort = effort
        self._progress = progress

    async def rates(self, label: str, *loads: tuple[Server, Scripts]) -> list[list[float]]:
        """Return the script runs per second of each server, for each round."""
        rates: list[list[float]] = [[] for _ in loads]
        for number in range(self._effort.rounds):
            self._progress(f"{label}, round {number + 1} of {self._effort.rounds}")
            for (server, scripts), measured in zip(loads, rates, strict=True):
                done = await load(server.url, scripts, seconds=self._effort.load_seconds)
                measured.append(done.rate)
        return rates


def _answered_200(scripts: Scripts) -> Scripts:
    """Return the same requests to the bare route, which has one response for all of them."""
    return [[Exchange(each.request, 200) for each in script] for script in scripts]
