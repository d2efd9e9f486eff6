"""What a person at a terminal sees, and how it is written where there is no terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

from rich.console import Console as RichConsole
from rich.text import Text

from sandbox_client.errors import QuotaReached, SandboxError, Verb
from sandbox_client.execution.follower import UNREACHABLE
from sandbox_client.masking import OutputFilter
from sandbox_client.output import REPLACEMENT
from sandbox_client.presentation import format_age
from sandbox_client.readiness import State
from sandbox_client.text import pluralize

if TYPE_CHECKING:
    from collections.abc import Generator, MutableMapping, Sequence

    from rich.console import RenderableType
    from rich.progress import Progress, ProgressColumn
    from rich.status import Status

    from sandbox_client.output import OutputChunk
    from sandbox_client.sandboxes import Row

_LINES: dict[Verb, str] = {
    "list": "list",
    "run": "prompt {name} COMMAND",
    "output": "output -f{known} {name} {session}",
    "sessions": "output {name}",
    "cancel": "cancel {name} {session}",
    "agent": "agent {name} PROMPT",
    "check": "doctor",
    "read": "cp {name}:FILE FILE",
    "write": "cp FILE {name}:FILE",
    "files": "prompt {name} ls",
}
COLOURS = {State.READY: "green", State.PAUSED: "yellow", State.FAILED: "red", State.EXPIRED: "red"}


MIN_COLUMNS = 20  # a narrower terminal shows nothing that can be read
_SIZE = re.compile(r"0*[1-9][0-9]{0,3}", re.ASCII)


class OutputLost(Exception):
    """The result cannot be written to standard output, for the reason in the message."""


def drop_unusable_sizes(environ: MutableMapping[str, str]) -> None:
    """Remove a COLUMNS or LINES that is no terminal's size: rich would show nothing, or fail."""
    for name, least in (("COLUMNS", MIN_COLUMNS), ("LINES", 1)):
        value = environ.get(name, "")
        if not _SIZE.fullmatch(value) or int(value) < least:
            environ.pop(name, None)


def console_on(*, stderr: bool = False) -> RichConsole:
    """Return a console on standard output or error.

    The stream alone tells whether it is a terminal. FORCE_COLOR and its kin, which rich would ask
    too, put colours into a pipe, but no wrapped lines and no moving ones.
    """
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    forces_colour = os.environ.get("FORCE_COLOR", "") not in {"", "0"}
    return RichConsole(
        stderr=stderr,
        highlight=False,
        soft_wrap=stderr,
        force_terminal=is_terminal,
        force_interactive=is_terminal and os.environ.get("TERM") not in {"dumb", "unknown"},
        color_system="standard" if forces_colour and not is_terminal else "auto",
    )


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


def write_error(text: str) -> None:
    """Write to standard error; where nobody can read it, write no more there."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _send_nowhere(sys.stderr)


def forget_output() -> None:
    """Let Python flush what it could not write to nowhere when it ends, and say nothing."""
    _send_nowhere(sys.stdout)


def _send_nowhere(stream: TextIO | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):  # not a file, in a test
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Console:
    """What a person sees: results on standard output, everything else on standard error."""

    def __init__(self, *, as_json: bool, name: str) -> None:
        self.as_json = as_json
        self.name = name
        self.session = ""  # of a command that goes on
        self.is_typed_on = False  # until there is a session: nothing is shown between what is typed
        self._after = self._stderr_after = 0  # positions in the command's output
        self._is_heard = False
        self._filter = OutputFilter()
        self._error_filter = OutputFilter()
        self._is_line_open = False  # where the person reads, the output has not ended its line
        self._out = console_on()
        self._err = console_on(stderr=True)
        self._live: Status | None = None
        self._reason = ""

    def spell(self, verb: Verb) -> str:
        """Return the command line that does `verb` to this sandbox."""
        words = _LINES.get(verb, "{verb} {name}")
        known = f" --after {self._after}" if self._after else ""
        known += f" --stderr-after {self._stderr_after}" if self._stderr_after else ""
        line = words.format(
            verb=verb,
            name=self.name or "NAME",
            session=self.session or "SESSION",
            known=known,
        )
        return f"`remote-sandbox {line}`"

    def say(self, text: str) -> None:
        """Tell the person something that is not the result, on a line of its own."""
        self._end_line()
        self._print_error(Text(text))

    def note(self, text: str) -> None:
        """Tell how a command stands, in a way in which none of its output can look in a terminal.

        Output has no colours there, as its control sequences are shown as text.
        """
        self._end_line()
        self._print_error(Text.assemble(("remote-sandbox: ", "bold cyan"), text))

    def _end_line(self) -> None:
        if self._is_line_open:
            self._print_error()
            self._is_line_open = False

    def _print_error(self, *what: Text) -> None:
        try:
            self._err.print(*what)
        except (OSError, SystemExit):  # rich exits where a pipe has no reader
            _send_nowhere(sys.stderr)

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads the result as it is printed."""
        return self._out.is_terminal

    def result(self, text: RenderableType, content: object) -> None:
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

    def table(self, rows: Sequence[Row], content: object) -> None:
        """Print a line for each sandbox; no name is cut, whatever the terminal's width is."""
        if self.as_json:
            self.result("", content)
            return
        width = self._out.width if self._out.is_terminal else None
        with self._out.capture() as capture:
            self._out.print(_lines(rows, width), soft_wrap=True)
        write(capture.get())

    def error(self, error: SandboxError) -> None:
        """Print what happened, the cause and what to do next."""
        self.end_output()
        if isinstance(error, QuotaReached):
            self.name = ""  # what to delete is another one than was asked for
        step = error.next_step(self.spell)
        if self.as_json:
            story = {"message": error.message, "cause": error.cause, "next": step}
            self.result("", {"error": story})
            return
        self._print_error(Text.assemble(("error: ", "bold red"), error.message))
        self._print_error(Text.assemble(("cause: ", "bold"), error.cause))
        self._print_error(Text.assemble(("next:  ", "bold"), step))

    def opened(self, session: str, *, after: int = 0, stderr_after: int = 0) -> None:
        """Take the session that a command runs in, and up to where its output is known."""
        self.session = session
        self.is_typed_on = False
        self._after, self._stderr_after = after, stderr_after

    @property
    def known(self) -> tuple[int, int]:
        """The positions up to which standard output and standard error were printed."""
        return self._after, self._stderr_after

    def show_output(self, *, is_raw: bool = False) -> None:
        """From now on pass the control sequences of output on to a terminal if it is raw."""
        self._filter = OutputFilter(is_terminal=self._out.is_terminal, is_raw=is_raw)
        self._error_filter = OutputFilter(is_terminal=self._err.is_terminal, is_raw=is_raw)

    def on_output(self, chunk: OutputChunk) -> None:
        """Print a command's output as it comes; from then on, that is all that is shown."""
        if self.as_json:
            return
        if chunk.is_error:
            self._stderr_after = chunk.end
        else:
            self._after = chunk.end
        self._is_heard = True
        if self._live is not None:
            self._live.stop()
            self._live = None
        if chunk.gone != 0:
            some = "some" if chunk.gone is None else f"{chunk.gone}"
            self.note(f"{some} {chunk.unit} of the output are gone: the runtime no longer has them")
        if chunk.is_error:
            self._print(self._error_filter.feed(chunk.text), is_error=True)
        else:
            self._print(self._filter.feed(chunk.text))

    def end_output(self) -> None:
        """End the output, and tell how many of its characters were no text."""
        if self.as_json:
            return
        self._filter.end()
        self._error_filter.end()
        if count := self._filter.replaced + self._error_filter.replaced:
            self._filter.replaced = self._error_filter.replaced = 0
            self.note(
                f"{pluralize(count, 'character')} of the output may be bytes that are no UTF-8,"
                f" shown as {REPLACEMENT}; `remote-sandbox cp` copies a file exactly"
            )

    def _print(self, text: str, *, is_error: bool = False) -> None:
        if not text:
            return
        if is_error:
            write_error(text)
        else:
            write(text)
        if is_error or self._out.is_terminal:
            self._is_line_open = not text.endswith("\n")

    @property
    def is_live(self) -> bool:
        """Whether a line can change where the person looks."""
        return self._err.is_interactive and not self.as_json

    def progress(self, *columns: ProgressColumn) -> Progress:
        """Return a bar of these columns, which goes away at its end."""
        from rich.progress import Progress

        return Progress(*columns, console=self._err, transient=True)

    @contextlib.contextmanager
    def waiting(self, what: str) -> Generator[None]:
        """Show that something is under way: a line that changes, in a terminal."""
        if not self._err.is_interactive:
            yield
            return
        with self._err.status(Text(what)) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    async def report(self, elapsed: float, limit: float | None, reason: str) -> None:
        """Show how a wait goes on; where no line can change, a line for each new reason."""
        if self.is_typed_on:
            return
        if self._is_heard and not reason.startswith(UNREACHABLE):
            self._reason = ""
            return
        at_most = "" if limit is None else f" of at most {limit:.0f}"
        if self._live is not None:
            self._live.update(Text(f"{reason}  {elapsed:.0f}{at_most} s"))
        elif reason != self._reason:
            self.say(f"{elapsed:5.1f} s  {reason}")
        self._reason = reason


def moment(timestamp: str) -> str:
    """Return a timestamp of the proxy's without its milliseconds."""
    return re.sub(r"\.\d+(?=Z$)", "", timestamp)


def _lines(rows: Sequence[Row], width: int | None) -> Text:
    """Return the table; without the column of times where they are wider than `width`."""
    cells = [
        (row.sandbox.name, row.state, format_age(row.age), moment(row.sandbox.created_at), row)
        for row in rows
    ]
    names = max(len("NAME"), *(len(cell[0]) for cell in cells))
    states = max(len("STATE"), *(len(cell[1].value) for cell in cells))
    ages = max(len("AGE"), *(len(cell[2]) for cell in cells))
    times = max(len("CREATED"), *(len(cell[3]) for cell in cells))
    fits = width is None or names + states + ages + times + 6 <= width

    def line(name: str, state: Text, age: Text, time: str) -> Text:
        state.pad_right(max(0, states - len(state)))
        if fits:  # the last column has no blanks behind it
            age.pad_right(max(0, ages - len(age)))
        return Text.assemble(name.ljust(names), "  ", state, "  ", age, f"  {time}" if fits else "")

    heading = line("NAME", Text("STATE"), Text("AGE"), "CREATED")
    heading.stylize("bold")
    shown = [
        line(
            name,
            Text(state.value, COLOURS.get(state, "cyan")),
            Text(age, "bold yellow" if row.is_up_for_long else ""),
            time,
        )
        for name, state, age, time, row in cells
    ]
    return Text("\n").join([heading, *shown])
