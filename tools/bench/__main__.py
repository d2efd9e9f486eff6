"""Start the benchmarks: `python -m tools.bench`."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Run all benchmarks and print the table; return the exit code of `run`."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench", description="Run all benchmarks."
    )
    parser.add_argument("--quick", action="store_true", help="measure each once")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()
    try:
        # Imported inside `try`: the imports take a second, in which Ctrl-C may be pressed.
        import anyio  # noqa: PLC0415

        from tools.bench.effort import FULL, QUICK  # noqa: PLC0415
        from tools.bench.run import run  # noqa: PLC0415

        async def measure() -> int:
            return await run(QUICK if options.quick else FULL, check=options.check)

        return anyio.run(measure, backend_options={"use_uvloop": True})
    except KeyboardInterrupt:  # before `run` handles signals
        print("Stopped; nothing had been started.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
