"""The terminal or pipe that the command writes to, whatever the environment says about it."""

import io
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Literal, TextIO, TypedDict

from rich.console import Console

_NARROWEST = 20  # columns that text can be wrapped to
_SIZE = re.compile("[1-9][0-9]{0,3}")
_DUMB = {"", "dumb", "unknown"}


class StandardOutput(Console):
    """Standard output; a reader that leaves is a BrokenPipeError, for the command to handle."""

    def on_broken_pipe(self) -> None:
        """Raise the error again."""
        raise BrokenPipeError


class StandardError(Console):
    """Standard error; after its reader has left, a run goes on silently and cleans up."""

    def on_broken_pipe(self) -> None:
        """Write no more."""
        self.quiet = True
        discard(sys.stderr)


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Make output possible in every environment; call it before anything is written.

    Characters that an encoding lacks are replaced. Variables that Rich and argparse would trip
    over are removed: an impossible size, and a blank FORCE_COLOR, which counts as unset.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    for name, least in (("COLUMNS", _NARROWEST), ("LINES", 1)):
        size = environ.get(name, "")
        if not _SIZE.fullmatch(size) or int(size) < least:
            environ.pop(name, None)
    if not environ.get("FORCE_COLOR"):
        environ.pop("FORCE_COLOR", None)


def standard_output() -> Console:
    """Return a console for results."""
    return StandardOutput(**_settings(sys.stdout))


def standard_error() -> Console:
    """Return a console for progress."""
    return StandardError(stderr=True, **_settings(sys.stderr))


def complain(text: str) -> None:
    """Write a line to standard error, if there is one."""
    if sys.stderr is None:  # closed by 2>&-: print would take standard output
        return
    try:
        print(text, file=sys.stderr)
    except OSError:  # a full disk, or a reader that left
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Have a stream write to nowhere from now on, so that the flush at the exit cannot fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class _Settings(TypedDict):
    soft_wrap: bool
    force_interactive: bool
    color_system: Literal["auto"] | None


def _settings(stream: TextIO | None) -> _Settings:
    """Return what Rich would decide by variables alone, also where there is no terminal."""
    is_terminal = stream is not None and stream.isatty()
    kind = os.environ.get("TERM", "").lower()
    refused = "0" in (os.environ.get("TTY_COMPATIBLE"), os.environ.get("TTY_INTERACTIVE"))
    return _Settings(
        soft_wrap=not is_terminal,  # in a pipe a line stays a line
        force_interactive=is_terminal and not refused and kind not in _DUMB,
        color_system="auto" if kind or not is_terminal else None,
    )
