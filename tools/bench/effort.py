"""The numbers of repetitions: FULL for reproducible values, QUICK to try every benchmark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """The numbers of repetitions, durations and sizes of all benchmarks."""

    starts: int  # of each MCP server
    calls: int  # of a tool
    rounds: int  # of load on the fake, each followed by one on the baseline
    load_seconds: float  # of each round
    status_rounds: int
    status_requests: int  # in each round
    stored_sandboxes: int
    command_rounds: int
    commands: int  # at once, in each round
    output_rounds: int
    output_bytes: int  # of a command, in each round
    silent_minutes: int  # of virtual time
    copy_rounds: int  # of many files in and out
    repository_rounds: int  # of a push and a pull
    repository_files: int
    repository_bytes: int


FULL = Effort(
    starts=12,
    calls=200,
    rounds=7,
    load_seconds=1.0,
    status_rounds=12,
    status_requests=250,
    stored_sandboxes=100_000,
    command_rounds=3,
    commands=200,
    output_rounds=7,
    output_bytes=8_000_000,
    silent_minutes=60,
    copy_rounds=5,
    repository_rounds=3,
    repository_files=2_000,
    repository_bytes=50_000_000,
)
QUICK = Effort(
    starts=1,
    calls=3,
    rounds=1,
    load_seconds=0.1,
    status_rounds=1,
    status_requests=10,
    stored_sandboxes=1_000,
    command_rounds=1,
    commands=5,
    output_rounds=1,
    output_bytes=200_000,
    silent_minutes=5,
    copy_rounds=1,
    repository_rounds=1,
    repository_files=20,
    repository_bytes=200_000,
)
