"""Start the demo: `python -m tools.demo`."""

from __future__ import annotations

import signal
import sys


def start() -> None:
    """Run the demo and exit with its exit code."""
    # Until the packages are imported, Ctrl-C kills the process: nothing needs cleanup yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import anyio  # noqa: PLC0415  # after the line above

    from tools.demo.run import main  # noqa: PLC0415  # after the line above

    sys.exit(anyio.run(main))


start()
