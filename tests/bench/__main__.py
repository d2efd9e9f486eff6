"""Run the bench."""

from __future__ import annotations

import argparse
import sys

import anyio

from tests.bench.effort import FULL, QUICK
from tests.bench.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure it all.")
    parser.add_argument("--quick", action="store_true", help="measure each once, for a look")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()

    async def measure() -> int:
        return await run(QUICK if options.quick else FULL, check=options.check)

    return anyio.run(measure, backend_options={"use_uvloop": True})


if __name__ == "__main__":
    sys.exit(main())
