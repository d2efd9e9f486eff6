"""The entry point of the command `sandbox-contract`."""

import os
import signal
import sys


def main() -> int:
    """Run the command and return its exit code.

    While packages are imported, Ctrl-C ends the process without a traceback; where SIGINT is
    ignored, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # see `_hide_secrets`
    arguments = sys.argv[1:]
    if arguments == ["--version"]:  # handled here, since it needs no extra
        from .distribution import version

        print(f"sandbox-contract {version()}")
        return 0
    _hide_secrets(arguments)
    try:
        from .cli import main as run_command
    except ModuleNotFoundError as exc:
        return _report_missing(exc)
    return run_command(arguments)


def _hide_secrets(arguments: list[str]) -> None:
    """Move keys from the arguments to the environment: any user can read the process list.

    The process executes itself again, with the remaining arguments.
    """
    from .options import without_secrets

    remaining, variables = without_secrets(arguments, os.environ)
    if remaining != arguments:
        isolated = ["-I"] if sys.flags.isolated else []
        # Ctrl-C stays pending until the new process can handle it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        command = [sys.executable, *isolated, "-m", "sandbox_contract", *remaining]
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
