"""The command line: parse the options, and report an error in one line."""

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
from sandbox_fakeproxy.runtime.versions import LATEST_RUNTIME_API, RUNTIME_APIS

from .banner import print_line
from .check import check
from .serve import Settings, serve

_NO_HOME_DIRECTORY = (
    "There is no home directory to keep state in. Set HOME, or choose a directory with --data, or"
    " use --ephemeral."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 when the fake has stopped, 2 if it could not start; of `check`, 0 or 1.
    """
    default_data = _default_data()
    options = _build_parser(default_data).parse_args(argv)
    if options.command == "check":
        return check()
    data = options.data or default_data
    if data is None and not options.ephemeral:
        print(f"sandbox-fakeproxy: {_NO_HOME_DIRECTORY}", file=sys.stderr)
        return 2
    settings = _settings(options, data)
    try:
        with _interruptible():
            serve(settings, os.environ)
    except (CannotStart, InvalidDocument, UnusableAdminKey) as exc:
        print(f"sandbox-fakeproxy: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server handles signals
        pass
    print_line("Fake proxy stopped")
    return 0


def _settings(options: argparse.Namespace, data: Path | None) -> Settings:
    return Settings(
        host=options.host,
        port=options.port,
        allow_remote=options.allow_remote,
        data=None if options.ephemeral else data,
        ready_after=options.ready_after,
        listen_after=options.listen_after,
        reconcile_delay=options.reconcile_delay,
        command_timeout=options.command_timeout,
        isolation=options.isolation,
        network=options.sandbox_network,
        limits=options.sandbox_limits,
        profile=options.profile,
        runtime_api=options.runtime_api,
        as_deployed=options.as_deployed,
        seed=options.seed,
        seed_file=options.seed_file,
        log_bodies=options.log_bodies,
        verbose=options.verbose,
    )


@contextmanager
def _interruptible() -> Generator[None]:
    """Make SIGINT raise KeyboardInterrupt within the block, unless this process ignores it."""
    previous = signal.getsignal(signal.SIGINT)
    if previous is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _default_data() -> Path | None:
    """Return this user's data directory; None if the user has no home directory."""
    try:
        return user_state_path("sandbox-fakeproxy").expanduser()
    except RuntimeError:  # a user without a passwd entry and HOME, as in some containers
        return None


def _build_parser(default_data: Path | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandbox-fakeproxy", description="A fake of the sandbox proxy for offline tests."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    commands.add_parser(
        "check",
        help="report the restrictions of sandbox commands on this machine",
        description="Report the restrictions of sandbox commands on this machine, line by line."
        " The exit code is 0 if jails work here, and 1 otherwise.",
    )
    serve_parser = commands.add_parser(
        "serve",
        help="serve the fake proxy until Ctrl-C",
        description="Serve the fake proxy until Ctrl-C. The admin key is ADMIN_API_KEY, or one"
        " that is generated on the first start, shown once and kept in the data directory.",
    )
    _add_address_options(serve_parser)
    _add_state_options(serve_parser, default_data)
    _add_test_options(serve_parser)
    _add_time_options(serve_parser)
    _add_command_options(serve_parser)
    serve_parser.add_argument(
        "--log-bodies",
        action="store_true",
        help="store queries and bodies in the request log at /_fake/requests too, with keys masked",
    )
    serve_parser.add_argument(
        "--verbose",
        action="store_true",
        help="log each request to stderr: method, path, status and milliseconds, never a key",
    )
    return parser


def _add_command_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("commands in sandboxes")
    group.add_argument(
        "--isolation",
        choices=["auto", "required", "none"],
        default="auto",
        help="run each sandbox in a bubblewrap jail. auto: if jails work here; required: always, or"
        " do not start; none: never. `sandbox-fakeproxy check` reports what a jail restricts here"
        " (%(default)s)",
    )
    group.add_argument(
        "--sandbox-network",
        choices=["host", "none"],
        default="host",
        help="network of a jail: this machine's, or none (%(default)s)",
    )
    group.add_argument(
        "--sandbox-limits",
        type=_parse_limits,
        default=DEFAULT_LIMITS,
        metavar="NAME=N,...",
        help=f"limits of a jail that replace the defaults ({DEFAULT_LIMITS})",
    )


def _add_address_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("address")
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    group.add_argument(
        "--port",
        type=_parse_port,
        default=8080,
        metavar="N",
        help="port to listen on; 0 takes a free one (%(default)s)",
    )
    group.add_argument(
        "--allow-remote",
        action="store_true",
        help="accept a --host that other machines can reach. Dangerous: anyone with a key can then"
        " run commands as you, on this machine",
    )


def _add_state_options(parser: argparse.ArgumentParser, default_data: Path | None) -> None:
    default = default_data or "none, as HOME is not set"
    group = parser.add_argument_group("state").add_mutually_exclusive_group()
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"directory of the state ({default})".replace("%", "%%"),
    )
    group.add_argument(
        "--ephemeral", action="store_true", help="keep no state: it is lost when the fake stops"
    )


def _add_test_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tests")
    group.add_argument(
        "--profile",
        choices=PROFILES,
        default=DEFAULT_PROFILE,
        help="version of the sandbox controller whose statuses are shown (%(default)s)",
    )
    group.add_argument(
        "--runtime-api",
        choices=RUNTIME_APIS,
        help="version of the runtime's API in sandboxes; 1.0 has no commands with pipes, /v1/bash"
        f" (1.0 with --as-deployed, otherwise {LATEST_RUNTIME_API})",
    )
    group.add_argument(
        "--as-deployed",
        action="store_true",
        help="respond with the deployed proxy's quirks and bugs instead of following the contract",
    )
    group.add_argument(
        "--seed-file",
        type=Path,
        metavar="FILE",
        help="JSON file of initial users, keys and sandboxes; ignored if there is state already"
        " (none)",
    )
    group.add_argument(
        "--seed",
        type=_parse_seed,
        metavar="N",
        help="generate the same ids and keys on every start without state; they are predictable"
        " (none: they are random)",
    )


def _add_time_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("times, in seconds")
    for name, default, text in (
        (
            "--ready-after",
            2.0,
            "until a new or resumed sandbox is ready, even if less than the delay (%(default)g)",
        ),
        ("--listen-after", 0.0, "from then on until its runtime answers (%(default)g)"),
        ("--reconcile-delay", 0.1, "until a sandbox's status shows a change (%(default)g)"),
    ):
        group.add_argument(name, type=_parse_seconds, default=default, metavar="S", help=text)
    group.add_argument(
        "--command-timeout",
        type=_parse_positive_seconds,
        metavar="S",
        help="until the proxy answers 504; the command continues; as deployed 301 (300)",
    )


def _parse_limits(text: str) -> Limits:
    try:
        return parse_limits(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _parse_port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a port: expected 0 to 65535")


def _parse_seed(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a seed: expected a number, 0 or more")


def _parse_seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 <= value <= 1e9:
        return value
    raise argparse.ArgumentTypeError(f"'{text}' is not a time: expected seconds, 0 or more")


def _parse_positive_seconds(text: str) -> float:
    value = _parse_seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected more than 0 seconds")
    return value


def _version() -> str:
    return f"sandbox-fakeproxy {version('async-remote-agent')}"
