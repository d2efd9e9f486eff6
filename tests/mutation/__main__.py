"""Run the mutants."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="See what of a wrong fake the contract notices.",
    )
    parser.add_argument("--sample", type=int, default=400, metavar="N", help="how many to try")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--module", default="*", metavar="GLOB", help="such as '_proxy.*'")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--survivors", type=Path, metavar="FILE", help="write them as JSON")
    options = parser.parse_args()
    try:
        # Here, as it takes a second in which Ctrl-C may come.
        from tests.mutation.run import Options, run  # noqa: PLC0415
    except KeyboardInterrupt:
        print("Stopped; nothing had been started.", file=sys.stderr)
        return 130
    return run(
        Options(options.sample, options.seed, options.module, options.jobs, options.survivors)
    )


if __name__ == "__main__":
    sys.exit(main())
