"""Entry point of `python -m sandbox_fakeproxy` and of the command `sandbox-fakeproxy`."""

import signal
import sys


def main() -> int:
    """Run the command line and return the exit code.

    While packages are imported, Ctrl-C ends the process without a traceback. A SIGINT that the
    parent process ignores stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:] == ["--version"]:  # handled here, as it needs no extra
        from importlib.metadata import version

        print(f"sandbox-fakeproxy {version('async-remote-agent')}")
        return 0
    try:
        from .serving.cli import main as run
    except ModuleNotFoundError as exc:
        return _report_missing(exc)
    return run()


def _report_missing(exc: ModuleNotFoundError) -> int:
    missing = (exc.name or "").partition(".")[0]
    if missing == "sandbox_fakeproxy":
        raise exc  # a bug in this package
    from .distribution import install_command

    print(
        f"sandbox-fakeproxy needs {missing}, which is not installed."
        f" Run: {install_command('fakeproxy')}",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
