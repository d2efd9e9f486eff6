"""Start `remote-sandbox`."""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False  # importing `typing`, or `signal` with `enum`, takes as long as all the rest
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal


def main() -> None:
    """Run the command line, or the MCP server without importing more than its first answers need.

    Until a command does its work, Ctrl-C ends the process without a word; an ignored one stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # httpx would import click and rich for a command line of its own.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    if sys.argv[1:] == ["mcp"]:
        from .mcp_server.handshake import serve

        serve()
        return
    gc.disable()  # importing creates thousands of classes, scanned again and again
    from .cli.main import run

    gc.freeze()
    gc.enable()
    code = run(sys.argv[1:])
    gc.freeze()  # the process ends: there is no memory to be reclaimed
    sys.exit(code)


if __name__ == "__main__":
    main()
