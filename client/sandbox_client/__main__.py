"""Start `remote-sandbox`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or the MCP server without waiting for what only a terminal needs."""
    if sys.argv[1:] == ["mcp"]:
        from ._server import serve

        serve()
        return
    from ._cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
