"""The arguments of the commands that run something: positions, variables, the command itself."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from signal import Signals
from typing import TYPE_CHECKING, Annotated

from sandbox_client.api.runtime import SIGNALS
from sandbox_client.errors import InvalidInput

from .command import COMMANDS, Argument, Limit, OptionAsTyped, duration
from .notification import check_notify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def position(text: str) -> int:
    """Return a position in an output, 0 or more."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"invalid position value: {text!r}")
    return number


def signal_name(text: str) -> str:
    """Return SIGTERM for TERM, term or 15; another text unchanged, for argparse to reject."""
    name = text.upper().removeprefix("SIG")
    for each in SIGNALS:
        if name in {each.removeprefix("SIG"), f"{Signals[each]:d}"}:
            return each
    return text


Raw = Annotated[
    bool, Argument("--raw", help="pass control sequences in the output to the terminal")
]


Notify = Annotated[
    str | None,
    Argument(
        "--notify",
        metavar="COMMAND",
        help="run this shell command on this machine when the command has ended; it gets"
        " REMOTE_SANDBOX_NAME, _SESSION, _STATE and _EXIT_CODE",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """The options of `output`."""

    follow: Annotated[
        str,
        Argument(
            *("-f", "--follow", "--wait"),
            action=OptionAsTyped,
            nargs=0,
            help="print further output until the command ends",
        ),
    ] = ""
    after: Annotated[
        int,
        Argument(
            "--after",
            type=position,
            metavar="N",
            help="skip the output up to position N",
        ),
    ] = 0
    stderr_after: Annotated[
        int,
        Argument(
            "--stderr-after",
            type=position,
            metavar="N",
            help="the same for standard error, if it is separate",
        ),
    ] = 0
    raw: Raw = False
    limit: Limit = None
    notify: Notify = None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options that `prompt` and `agent` share."""

    detach: Annotated[
        bool,
        Argument("-d", "--detach", help="start the command, print its session and do not wait"),
    ] = False
    wait: Annotated[
        float | None,
        Argument(
            "--wait",
            type=duration,
            metavar="TIME",
            help="wait at most this long, such as 30, 30s or 10m (default: until it ends)",
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        Argument(
            "--time-limit",
            type=duration,
            metavar="TIME",
            help="kill the command after this long, such as 30, 30s, 10m or 2h, and end with 124",
        ),
    ] = None
    stdin: Annotated[
        bool,
        Argument(
            "--stdin",
            help="send all of standard input to the command (default: it gets none)",
        ),
    ] = False
    env: Annotated[
        list[str] | None,
        Argument(
            "-e",
            "--env",
            action="append",
            metavar="NAME[=VALUE]",
            help="set a variable for the command; without a value, copy the local variable",
        ),
    ] = None
    raw: Raw = False
    notify: Notify = None


def variables(assignments: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of `NAME=value`, and of `NAME` with its value in `environ`.

    Raises:
        InvalidInput: `environ` has no variable of that name.
    """
    values: dict[str, str] = {}
    for each in assignments:
        name, equals, value = each.partition("=")
        if not equals:
            if name not in environ:
                raise InvalidInput(
                    f"The variable {name[:80]!r} is not set here",
                    advice="Set it, or give -e NAME=value.",
                )
            value = environ[name]
        values[name] = value
    return values


def check_run(options: RunOptions, environ: Mapping[str, str]) -> dict[str, str]:
    """Check the options of a command before anything is sent, and return its variables.

    Raises:
        InvalidInput: two of them exclude each other, or `environ` lacks a variable.
    """
    if options.detach and options.wait is not None:
        raise InvalidInput(
            "--detach and --wait were both given",
            advice="Leave one of them out: -d does not wait.",
        )
    check_notify(
        options.notify,
        is_awaited=not options.detach,
        advice="Leave one of them out: -d does not wait.",
    )
    return variables(options.env or (), environ)


def shell_command(words: Sequence[str]) -> str:
    """Return the shell command: one word unchanged, several quoted so that none is split.

    Raises:
        InvalidInput: it is missing, or begins with an option, which belongs before the name.
    """
    words = without_separator(words)
    if not words:
        raise InvalidInput(
            "COMMAND is missing",
            advice="Put it after the sandbox's name: `remote-sandbox prompt NAME COMMAND`.",
        )
    if words[0] in {"--json", "--help", "-h"} | COMMANDS["prompt"].flags:
        raise InvalidInput(
            f"The command begins with '{words[0]}', which is an option of remote-sandbox",
            advice="Put options before the sandbox's name.",
        )
    return words[0] if len(words) == 1 else shlex.join(words)


def without_separator(words: Sequence[str]) -> Sequence[str]:
    """Return the words without a leading `--`, which argparse keeps."""
    return words[1:] if words[:1] == ["--"] else words
