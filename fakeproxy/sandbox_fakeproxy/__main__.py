"""Start the fake proxy from a terminal."""

import sys

from ._distribution import install_command

try:
    from ._serving.cli import main
except ModuleNotFoundError as exc:
    missing = (exc.name or "").partition(".")[0]
    if missing == "sandbox_fakeproxy":
        raise  # a defect of ours
    print(
        f"sandbox-fakeproxy needs {missing}, which is not installed."
        f" Run: {install_command('fakeproxy')}",
        file=sys.stderr,
    )
    sys.exit(2)

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
