"""How much is measured: enough for figures that hold, or just enough to see each of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How often, how long and with how much."""

    starts: int  # of each MCP server
    calls: int  # of a tool
    rounds: int  # of load on the fake, each with one on the baseline
    load_seconds: float  # of each round
    status_rounds: int
    status_requests: int  # in each round
    crowd: int  # sandboxes stored


FULL = Effort(
    starts=12,
    calls=200,
    rounds=7,
    load_seconds=1.0,
    status_rounds=12,
    status_requests=250,
    crowd=100_000,
)
QUICK = Effort(
    starts=1,
    calls=3,
    rounds=1,
    load_seconds=0.1,
    status_rounds=1,
    status_requests=10,
    crowd=1_000,
)
