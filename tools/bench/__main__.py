"""Run the bench."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Measure every row and print the table; with --check, return 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure it all.")
    parser.add_argument("--quick", action="store_true", help="measure each once, for a look")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()
    try:
        # Here, as they take a second in which Ctrl-C may come.
        import anyio  # noqa: PLC0415

        from tools.bench.effort import FULL, QUICK  # noqa: PLC0415
        from tools.bench.run import run  # noqa: PLC0415

        async def measure() -> int:
            return await run(QUICK if options.quick else FULL, check=options.check)

        return anyio.run(measure, backend_options={"use_uvloop": True})
    except KeyboardInterrupt:  # before the bench has taken the signal over
        print("Stopped; nothing had been started.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
