"""Judge a proxy from a terminal."""

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager

from ._distribution import install_command, version
from ._options import without_secrets


def main() -> int:
    """Run the command; with a key among its arguments, start again without."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:  # here, since it needs no extra
        print(f"sandbox-contract {version()}")
        return 0
    kept, variables = without_secrets(arguments, os.environ)
    if kept != arguments:
        # Arguments are in the process list, for everybody on this machine to read.
        os.execve(sys.executable, [sys.executable, "-m", "sandbox_contract", *kept], variables)  # noqa: S606
    try:
        with _ended_at_once():
            from ._cli import main as run
    except ModuleNotFoundError as exc:
        return _told_what_is_missing(exc)
    return run(arguments)


@contextmanager
def _ended_at_once() -> Generator[None]:
    """While the packages load, let Ctrl-C end it without a word: nothing has been made yet."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # somebody has it ignored
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _told_what_is_missing(exc: ModuleNotFoundError) -> int:
    missing = (exc.name or "").partition(".")[0]
    if missing == "sandbox_contract":
        raise exc  # a defect of ours
    print(
        f"sandbox-contract needs {missing}, which is not installed."
        f" Run: {install_command('contract')}",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
