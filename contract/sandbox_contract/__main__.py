"""Judge a proxy from a terminal."""

import os
import sys

from ._options import without_secrets

try:
    from ._cli import main as _main
except ModuleNotFoundError as exc:
    missing = (exc.name or "").partition(".")[0]
    if missing == "sandbox_contract":
        raise  # a defect of ours
    print(
        f"sandbox-contract needs {missing}, which is not installed."
        " Run: pip install 'async-remote-agent[contract]'",
        file=sys.stderr,
    )
    sys.exit(2)

__all__ = ["main"]


def main() -> int:
    """Run the command; with a key among its arguments, start again without."""
    arguments = sys.argv[1:]
    kept, variables = without_secrets(arguments, os.environ)
    if kept != arguments:
        # Arguments are in the process list, for everybody on this machine to read.
        os.execve(sys.executable, [sys.executable, "-m", "sandbox_contract", *kept], variables)  # noqa: S606
    return _main(arguments)


if __name__ == "__main__":
    sys.exit(main())
