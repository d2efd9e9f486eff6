"""What a person at a terminal sees, and how it is written where there is no terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ._errors import QuotaReached, SandboxError, Verb
from ._lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from rich.status import Status

    from ._wire import Sandbox

COLOURS = {State.READY: "green", State.PAUSED: "yellow", State.FAILED: "red", State.EXPIRED: "red"}


class OutputLost(Exception):
    """The result cannot be written to standard output, for the reason in the message."""


def open_streams() -> None:
    """Make standard output and error fit for any text.

    Raises:
        OutputLost: standard output is closed.
    """
    if sys.stderr is None:  # 2>&-
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  # it is open to the end
    if sys.stdout is None:  # >&-
        raise OutputLost("it is closed; nothing was done")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows what it can


def write(text: str) -> None:
    """Write to standard output, all of it and now.

    Raises:
        OutputLost: it cannot be written there, unless its reader has gone.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OutputLost(exc.strerror or "no reason given") from exc


def forget_output() -> None:
    """Let Python flush what it could not write to nowhere when it ends, and say nothing."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):  # not a file, in a test
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Face:
    """What a person sees: results on standard output, everything else on standard error."""

    def __init__(self, *, as_json: bool, name: str) -> None:
        self.as_json = as_json
        self.name = name
        self._out = Console(highlight=False)
        self._err = Console(highlight=False, stderr=True, soft_wrap=not sys.stderr.isatty())
        self._live: Status | None = None
        self._reason = ""

    def spell(self, verb: Verb) -> str:
        """Return the command line that does `verb` to this sandbox."""
        line = f"remote-sandbox {verb}" + ("" if verb == "list" else f" {self.name or 'NAME'}")
        return f"`{line} COMMAND`" if verb == "prompt" else f"`{line}`"

    def say(self, text: str) -> None:
        """Tell the person something that is not the result."""
        self._err.print(Text(text))

    def result(self, text: Text | str, content: object) -> None:
        """Print the result, for a person or as JSON."""
        if self.as_json:
            write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            return
        with self._out.capture() as capture:
            # A line stays a line where no terminal wraps it.
            self._out.print(
                Text(text) if isinstance(text, str) else text, soft_wrap=not self._out.is_terminal
            )
        write(capture.get())

    def table(self, rows: Sequence[tuple[Sandbox, State]], content: object) -> None:
        """Print a line for each sandbox; no name is cut, whatever the terminal's width is."""
        if self.as_json:
            self.result("", content)
            return
        width = self._out.width if self._out.is_terminal else None
        with self._out.capture() as capture:
            self._out.print(_lines(rows, width), soft_wrap=True)
        write(capture.get())

    def error(self, error: SandboxError) -> None:
        """Print what happened, whose fault it is and what to do next."""
        if isinstance(error, QuotaReached):
            self.name = ""  # what to delete is another one than was asked for
        step = error.next_step(self.spell)
        if self.as_json:
            story = {"message": error.message, "fault": error.fault, "next": step}
            self.result("", {"error": story})
            return
        self._err.print(Text.assemble(("error: ", "bold red"), error.message))
        self._err.print(Text.assemble(("fault: ", "bold"), error.fault))
        self._err.print(Text.assemble(("next:  ", "bold"), step))

    @contextlib.contextmanager
    def waiting(self, what: str) -> Generator[None]:
        """Show that something is under way: a line that changes, in a terminal."""
        if not self._err.is_terminal:
            yield
            return
        with self._err.status(Text(what)) as self._live:
            yield
        self._live = None

    async def report(self, elapsed: float, limit: float | None, reason: str) -> None:
        """Show how a wait goes on; where no line can change, a line for each new reason."""
        at_most = "" if limit is None else f" of at most {limit:.0f}"
        if self._live is not None:
            self._live.update(Text(f"{reason}  {elapsed:.0f}{at_most} s"))
        elif reason != self._reason:
            self.say(f"{elapsed:5.1f} s  {reason}")
        self._reason = reason


def moment(timestamp: str) -> str:
    """Return a timestamp of the proxy's without its milliseconds."""
    return re.sub(r"\.\d+(?=Z$)", "", timestamp)


def _lines(rows: Sequence[tuple[Sandbox, State]], width: int | None) -> Text:
    """Return the table; without the column of times where they are wider than `width`."""
    cells = [(sandbox.name, state, moment(sandbox.created_at)) for sandbox, state in rows]
    names = max(len("NAME"), *(len(name) for name, _, _ in cells))
    states = max(len("STATE"), *(len(state.value) for _, state, _ in cells))
    times = max(len("CREATED"), *(len(time) for _, _, time in cells))
    fits = width is None or names + states + times + 4 <= width
    if not fits:
        states = 0  # the last column has no blanks behind it

    def line(name: str, state: Text, time: str) -> Text:
        state.pad_right(max(0, states - len(state)))
        return Text.assemble(name.ljust(names), "  ", state, f"  {time}" if fits else "")

    heading = line("NAME", Text("STATE"), "CREATED")
    heading.stylize("bold")
    shown = [
        line(name, Text(state.value, COLOURS.get(state, "cyan")), time)
        for name, state, time in cells
    ]
    return Text("\n").join([heading, *shown])
