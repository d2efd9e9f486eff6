"""Start the fake proxy from a terminal."""

import sys

from ._serving.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
