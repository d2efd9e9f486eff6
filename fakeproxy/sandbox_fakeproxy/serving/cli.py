"""The command line: read the arguments, and report an error in one line."""

import argparse
import math
import os
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_state_path

from sandbox_fakeproxy.control.documents import InvalidDocument
from sandbox_fakeproxy.controller import DEFAULT_PROFILE, PROFILES
from sandbox_fakeproxy.errors import CannotStart, UnusableAdminKey
from sandbox_fakeproxy.runtime.local.limits import DEFAULT_LIMITS, Limits, parse_limits

from .banner import say
from .check import check
from .serve import Settings, serve

_NO_HOME = (
    "There is no home directory to keep state in. Set HOME, or choose a directory with --data, or"
    " use --ephemeral."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 stopped, 2 could not start."""
    default_data = _default_data()
    options = _parser(default_data).parse_args(argv)
    if options.command == "check":
        return check()
    data = options.data or default_data
    if data is None and not options.ephemeral:
        print(f"sandbox-fakeproxy: {_NO_HOME}", file=sys.stderr)
        return 2
    settings = Settings(
        host=options.host,
        port=options.port,
        allow_remote=options.allow_remote,
        data=None if options.ephemeral else data,
        ready_after=options.ready_after,
        reconcile_delay=options.reconcile_delay,
        command_timeout=options.command_timeout,
        isolation=options.isolation,
        network=options.sandbox_network,
        limits=options.sandbox_limits,
        profile=options.profile,
        as_deployed=options.as_deployed,
        seed=options.seed,
        seed_file=options.seed_file,
        log_bodies=options.log_bodies,
        verbose=options.verbose,
    )
    try:
        with _interruptible():
            serve(settings, os.environ)
    except (CannotStart, InvalidDocument, UnusableAdminKey) as exc:
        print(f"sandbox-fakeproxy: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server has taken the signal over
        pass
    say("Fake proxy stopped")
    return 0


@contextmanager
def _interruptible() -> Generator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in the body, unless this process ignores it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _default_data() -> Path | None:
    """Return the data directory of this user; None if the user has no home directory."""
    try:
        return user_state_path("sandbox-fakeproxy").expanduser()
    except RuntimeError:  # as in a container that runs as a user without an entry
        return None


def _parser(default_data: Path | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandbox-fakeproxy", description="A fake of the sandbox proxy, offline."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    commands.add_parser(
        "check",
        help="say what holds for commands of sandboxes on this machine",
        description="Say line by line what a command of a sandbox can and cannot do on this"
        " machine. The exit code is 0 if jails work here, or else 1.",
    )
    serving = commands.add_parser(
        "serve",
        help="serve the fake proxy until Ctrl-C",
        description="Serve the fake proxy until Ctrl-C. The admin key is ADMIN_API_KEY, or one"
        " that is made on the first start, shown once and kept in the data directory.",
    )
    _add_address(serving)
    _add_state(serving, default_data)
    _add_tests(serving)
    _add_times(serving)
    _add_commands(serving)
    serving.add_argument(
        "--log-bodies",
        action="store_true",
        help="keep queries and bodies in the log at /_fake/requests too, with keys masked",
    )
    serving.add_argument(
        "--verbose",
        action="store_true",
        help="log each request on stderr: its method, path, status and milliseconds, and no key",
    )
    return parser


def _add_commands(serving: argparse.ArgumentParser) -> None:
    group = serving.add_argument_group("commands in sandboxes")
    group.add_argument(
        "--isolation",
        choices=["auto", "required", "none"],
        default="auto",
        help="run them in a jail for each sandbox, made with bubblewrap: where that works, or"
        " always, or never; `sandbox-fakeproxy check` says what a jail does here (%(default)s)",
    )
    group.add_argument(
        "--sandbox-network",
        choices=["host", "none"],
        default="host",
        help="the network of a jail: this machine's, or none (%(default)s)",
    )
    group.add_argument(
        "--sandbox-limits",
        type=_limits,
        default=DEFAULT_LIMITS,
        metavar="NAME=N,...",
        help=f"limits of a jail, instead of these ({DEFAULT_LIMITS})",
    )


def _add_address(serving: argparse.ArgumentParser) -> None:
    group = serving.add_argument_group("address")
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    group.add_argument(
        "--port",
        type=_port,
        default=8080,
        metavar="N",
        help="port to listen on; 0 is any free one (%(default)s)",
    )
    group.add_argument(
        "--allow-remote",
        action="store_true",
        help="accept a --host that other machines can reach. Dangerous: anyone with a key can then"
        " run commands as you, on this machine",
    )


def _add_state(serving: argparse.ArgumentParser, default_data: Path | None) -> None:
    default = default_data or "none, as HOME is not set"
    group = serving.add_argument_group("state").add_mutually_exclusive_group()
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"where state is kept ({default})".replace("%", "%%"),
    )
    group.add_argument(
        "--ephemeral", action="store_true", help="keep nothing: all is gone when the fake stops"
    )


def _add_tests(serving: argparse.ArgumentParser) -> None:
    group = serving.add_argument_group("tests")
    group.add_argument(
        "--profile",
        choices=PROFILES,
        default=DEFAULT_PROFILE,
        help="the version of the sandbox controller whose statuses are shown (%(default)s)",
    )
    group.add_argument(
        "--as-deployed",
        action="store_true",
        help="answer with the deployed proxy's quirks and bugs, where the fake would be sane",
    )
    group.add_argument(
        "--seed-file",
        type=Path,
        metavar="FILE",
        help="JSON of the users, keys and sandboxes to start with; state that is there already"
        " is kept instead (none)",
    )
    group.add_argument(
        "--seed",
        type=_whole_number,
        metavar="N",
        help="make the same ids and keys on every start from nothing; anybody can foretell them"
        " (none: nobody can)",
    )


def _add_times(serving: argparse.ArgumentParser) -> None:
    group = serving.add_argument_group("times, in seconds")
    for name, default, text in (
        (
            "--ready-after",
            2.0,
            "until a created or resumed sandbox is ready, also if before the delay (%(default)g)",
        ),
        ("--reconcile-delay", 0.1, "until a change shows in a sandbox's status (%(default)g)"),
    ):
        group.add_argument(name, type=_seconds, default=default, metavar="S", help=text)
    group.add_argument(
        "--command-timeout",
        type=_some_seconds,
        metavar="S",
        help="after which the proxy answers 504; the command goes on (300)",
    )


def _limits(text: str) -> Limits:
    try:
        return parse_limits(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a port: expected 0 to 65535")


def _whole_number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a seed: expected a number, 0 or more")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 <= value <= 1e9:
        return value
    raise argparse.ArgumentTypeError(f"'{text}' is not a time: expected seconds, 0 or more")


def _some_seconds(text: str) -> float:
    value = _seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected more than 0 seconds")
    return value


def _version() -> str:
    return f"sandbox-fakeproxy {version('async-remote-agent')}"
