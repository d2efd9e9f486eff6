"""Standard output and standard error, in every environment: a terminal, a pipe, or closed."""

import io
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Literal, TextIO, TypedDict

from rich.console import Console

from sandbox_contract.report.summary import escape_unsafe

_MIN_COLUMNS = 20  # the narrowest width to which text can be wrapped
_VALID_SIZE = re.compile("[1-9][0-9]{0,3}")
_DUMB_TERMINALS = {"", "dumb", "unknown"}


class StandardOutput(Console):
    """Standard output; it raises BrokenPipeError after its reader has closed the pipe."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, where Rich would exit the process."""
        raise BrokenPipeError


class StandardError(Console):
    """Standard error; after its reader has closed the pipe, it writes nothing.

    So a run goes on silently and cleans up.
    """

    def on_broken_pipe(self) -> None:
        """Discard all further output."""
        self.quiet = True
        discard(sys.stderr)


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Prepare the streams and the environment for output; call this before any output.

    The streams replace characters that their encoding lacks. Variables that Rich and argparse
    cannot handle are removed: an invalid size, and a blank FORCE_COLOR, which counts as unset.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    for name, minimum in (("COLUMNS", _MIN_COLUMNS), ("LINES", 1)):
        size = environ.get(name, "")
        if not _VALID_SIZE.fullmatch(size) or int(size) < minimum:
            environ.pop(name, None)
    if not environ.get("FORCE_COLOR"):
        environ.pop("FORCE_COLOR", None)


def standard_output() -> Console:
    """Return a console for results."""
    return StandardOutput(**_settings(sys.stdout))


def standard_error() -> Console:
    """Return a console for progress."""
    return StandardError(stderr=True, **_settings(sys.stderr))


def print_error(text: str) -> None:
    """Write a line to standard error, if there is one, with unsafe characters escaped."""
    if sys.stderr is None:  # closed by 2>&-: print would write to standard output
        return
    try:
        print(escape_unsafe(text), file=sys.stderr)
    except OSError:  # a full disk, or a reader that closed the pipe
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that the flush at exit cannot fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class _Settings(TypedDict):
    soft_wrap: bool
    force_interactive: bool
    color_system: Literal["auto"] | None


def _settings(stream: TextIO | None) -> _Settings:
    """Return the settings that Rich would take from variables alone, terminal or not."""
    is_terminal = stream is not None and stream.isatty()
    terminal_type = os.environ.get("TERM", "").lower()
    is_forbidden = "0" in (os.environ.get("TTY_COMPATIBLE"), os.environ.get("TTY_INTERACTIVE"))
    return _Settings(
        soft_wrap=not is_terminal,  # in a pipe, lines are not wrapped
        force_interactive=is_terminal and not is_forbidden and terminal_type not in _DUMB_TERMINALS,
        color_system="auto" if terminal_type or not is_terminal else None,
    )
