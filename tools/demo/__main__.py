"""Run the demo."""

from __future__ import annotations

import signal
import sys


def start() -> None:
    """Run the demo."""
    # While the packages load, Ctrl-C ends at once: nothing has been started yet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import anyio  # noqa: PLC0415  # after the line above

    from tools.demo.run import main  # noqa: PLC0415  # after the line above

    sys.exit(anyio.run(main))


start()
