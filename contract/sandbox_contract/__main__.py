"""Judge a proxy from a terminal."""

import os
import signal
import sys


def main() -> int:
    """Run the command and return its exit code.

    While packages are imported, Ctrl-C ends the process silently; an ignored one stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # see `_hide_secrets`
    arguments = sys.argv[1:]
    if arguments == ["--version"]:  # here, since it needs no extra
        from .distribution import version

        print(f"sandbox-contract {version()}")
        return 0
    _hide_secrets(arguments)
    try:
        from .cli import main as run
    except ModuleNotFoundError as exc:
        return _report_missing(exc)
    return run(arguments)


def _hide_secrets(arguments: list[str]) -> None:
    """Start again without the keys among the arguments: any user can read the process list."""
    from .options import without_secrets

    kept, variables = without_secrets(arguments, os.environ)
    if kept != arguments:
        isolated = ["-I"] if sys.flags.isolated else []
        # A Ctrl-C waits until Python can handle it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        command = [sys.executable, *isolated, "-m", "sandbox_contract", *kept]
        os.execve(sys.executable, command, variables)  # noqa: S606


def _report_missing(exc: ModuleNotFoundError) -> int:
    missing = (exc.name or "").partition(".")[0]
    if missing == "sandbox_contract":
        raise exc  # a defect of this package
    from .distribution import install_command

    print(
        f"sandbox-contract needs {missing}, which is not installed."
        f" Run: {install_command('contract')}",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
