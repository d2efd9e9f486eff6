"""Print results, errors and progress, in a terminal or into a pipe."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.text import Text

from sandbox_client.errors import QuotaReached, SandboxError
from sandbox_client.execution.follower import UNREACHABLE
from sandbox_client.masking import OutputFilter
from sandbox_client.output import REPLACEMENT
from sandbox_client.presentation.errors import Verb, next_step
from sandbox_client.text import json_text, pluralize

from .process import discard, write, write_error

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, MutableMapping

    from rich.console import RenderableType
    from rich.progress import Progress, ProgressColumn
    from rich.status import Status

    from sandbox_client.output import OutputChunk

# The command line for a verb of an advice, where it is not `VERB NAME`. It cannot be derived from
# the commands: a verb names an action, and two actions may be one command (`read` and `write`: cp).
_LINES: dict[Verb, str] = {
    "list": "list",
    "run": "prompt {name} COMMAND",
    "output": "output -f{positions} {name} {session}",
    "sessions": "output {name}",
    "cancel": "cancel {name} {session}",
    "agent": "agent {name} PROMPT",
    "check": "doctor",
    "read": "cp {name}:FILE FILE",
    "write": "cp FILE {name}:FILE",
    "files": "prompt {name} ls",
}

REPEAT_AFTER = 10.0  # seconds after which the reason of a wait is printed again
MIN_COLUMNS = 20  # a narrower terminal is unreadable
_WORD = re.compile(r"(?:`[^`]+`|\S)+\s*")  # a command line in backticks counts as one
_SIZE = re.compile(r"0*[1-9][0-9]{0,3}", re.ASCII)


def drop_unusable_sizes(environ: MutableMapping[str, str]) -> None:
    """Remove COLUMNS or LINES if it is no usable size: rich would print nothing or fail."""
    for name, least in (("COLUMNS", MIN_COLUMNS), ("LINES", 1)):
        value = environ.get(name, "")
        if not _SIZE.fullmatch(value) or int(value) < least:
            environ.pop(name, None)


def console_on(*, stderr: bool = False) -> RichConsole:
    """Return a console on standard output or error.

    Only the stream decides whether it is a terminal: FORCE_COLOR and similar variables, which rich
    would respect, add colours in a pipe, but neither wrapped nor changing lines.
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


def wrapped(text: Text, console: RichConsole, *, indent: int = 0) -> Text:
    """Break the lines of `text` at spaces, to fit a terminal; return it as it is for a pipe.

    A word, or a command line in backticks, is never broken, so that it can be copied. `indent` is
    the number of columns on the left that are taken.
    """
    if not console.is_terminal:
        return text
    lines: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        pieces = line.divide(_breaks(line.plain, console.width - indent))
        for piece in pieces:
            piece.rstrip()
        lines += pieces
    return Text("\n").join(lines)


def _breaks(line: str, width: int) -> list[int]:
    """Return the positions of the words before which a line is broken."""
    breaks: list[int] = []
    used = len(line) - len(line.lstrip())
    for word in _WORD.finditer(line):
        if used and used + cell_len(word[0].rstrip()) > width and word.start():
            breaks.append(word.start())
            used = 0
        used += cell_len(word[0])
    return breaks


class Console:
    """The output of one command: the result on standard output, the rest on standard error."""

    def __init__(self, *, as_json: bool, name: str) -> None:
        self.as_json = as_json
        self.name = name
        self.session = ""  # of a running command
        self.directory = ""  # of a repository in the sandbox, if it was given
        self.branch = ""  # for the work on it, if it was given
        self.lines: Mapping[Verb, str] = _LINES  # the command line for a verb of advice
        self.interrupted = ""  # is printed after Ctrl-C instead of the command's own words
        self.is_keyboard_read = False  # progress would be printed between the typed characters
        self._after = self._stderr_after = 0  # positions in the command's output
        self._has_output = False
        self._filter = OutputFilter()
        self._error_filter = OutputFilter()
        self._is_line_open = False  # the output in the terminal has not ended its last line
        self._out = console_on()
        self._err = console_on(stderr=True)
        self._status: Status | None = None
        self._reason = ""
        self._said_at = 0.0  # seconds of the wait at the last line about it

    def format_verb(self, verb: Verb, options: str = "") -> str:
        """Return the command line for `verb`, with this sandbox, session and directory."""
        template = self.lines.get(verb, "{verb} {options}{name}")
        directory = f"--directory {shlex.quote(self.directory)} " if self.directory else ""
        branch = f"--branch {shlex.quote(self.branch)} " if self.branch else ""
        if options:
            options = f"{options} "
        positions = f" --after {self._after}" if self._after else ""
        positions += f" --stderr-after {self._stderr_after}" if self._stderr_after else ""
        line = template.format(
            verb=verb,
            name=shlex.quote(self.name) if self.name else "NAME",
            session=shlex.quote(self.session) if self.session else "SESSION",
            positions=positions,
            directory="" if "--directory" in options else directory,
            branch="" if "--branch" in options else branch,
            options=options,
        )
        return f"`remote-sandbox {line}`"

    def say(self, text: str) -> None:
        """Print a line on standard error."""
        self._end_line()
        self._print_error(Text(text))

    def note(self, text: str) -> None:
        """Print a line about the command, which its output cannot imitate in a terminal.

        The prefix is coloured; control sequences of the output are printed as text.
        """
        self._end_line()
        self._print_error(Text.assemble(("remote-sandbox: ", "bold cyan"), text))

    def _end_line(self) -> None:
        if self._is_line_open:
            self._print_error()
            self._is_line_open = False

    def _print_error(self, *lines: Text) -> None:
        try:
            self._err.print(*(wrapped(line, self._err) for line in lines))
        except (OSError, SystemExit):  # rich exits if a pipe has no reader
            discard(sys.stderr)

    @property
    def is_terminal(self) -> bool:
        """Whether standard output is a terminal."""
        return self._out.is_terminal

    @property
    def width(self) -> int | None:
        """The columns of the terminal, or None for a pipe or a file."""
        return self._out.width if self._out.is_terminal else None

    def result(self, text: RenderableType, content: object, *, wrap: bool = True) -> None:
        """Print the result: `content` with --json, otherwise `text`, wrapped in a terminal.

        An empty text prints nothing.
        """
        if self.as_json:
            write(f"{json_text(content)}\n")
            return
        if isinstance(text, str | Text) and not text:
            return
        with self._out.capture() as capture:
            shown = Text(text) if isinstance(text, str) else text
            if wrap and isinstance(shown, Text):
                shown = wrapped(shown, self._out)
            is_laid_out = not isinstance(shown, Text) and self._out.is_terminal
            self._out.print(shown, soft_wrap=not is_laid_out)
        write(capture.get())

    def wrap(self, text: Text, *, indent: int = 0) -> Text:
        """Break the lines of a part of the result; see `wrapped`."""
        return wrapped(text, self._out, indent=indent)

    def error(self, error: SandboxError) -> None:
        """Print an error: what happened, the cause and the next step."""
        self.end_output()
        if isinstance(error, QuotaReached):
            self.name = ""  # another sandbox is to be deleted
        step = next_step(error, self.format_verb)
        if self.as_json:
            content = {"message": error.message, "cause": error.cause, "next": step}
            self.result("", {"error": content})
            return
        self._print_error(Text.assemble(("error: ", "bold red"), error.message))
        self._print_error(Text.assemble(("cause: ", "bold"), error.cause))
        self._print_error(Text.assemble(("next:  ", "bold"), step))

    def opened(self, session: str, *, after: int = 0, stderr_after: int = 0) -> None:
        """Set the session of the command, and the positions up to which its output was printed."""
        self.session = session
        self.is_keyboard_read = False
        self._after, self._stderr_after = after, stderr_after

    @property
    def positions(self) -> tuple[int, int]:
        """The positions up to which standard output and standard error were printed."""
        return self._after, self._stderr_after

    def show_output(self, *, is_raw: bool = False) -> None:
        """Prepare for output; if it is raw, a terminal gets its control sequences."""
        self._filter = OutputFilter(is_terminal=self._out.is_terminal, is_raw=is_raw)
        self._error_filter = OutputFilter(is_terminal=self._err.is_terminal, is_raw=is_raw)

    def on_output(self, chunk: OutputChunk) -> None:
        """Print a chunk of the command's output, and stop the progress line."""
        if self.as_json:
            return
        if chunk.is_error:
            self._stderr_after = chunk.end
        else:
            self._after = chunk.end
        self._has_output = True
        self._stop_status()
        if chunk.gone != 0:
            some = "some" if chunk.gone is None else f"{chunk.gone}"
            self.note(f"{some} {chunk.unit} of the output are gone: the runtime no longer has them")
        if chunk.is_error:
            self._print(self._error_filter.feed(chunk.text), is_error=True)
        else:
            self._print(self._filter.feed(chunk.text))

    def end_output(self) -> None:
        """End the output, and note how many of its characters were not valid UTF-8."""
        self._stop_status()
        if self.as_json:
            return
        self._filter.end()
        self._error_filter.end()
        if count := self._filter.replaced + self._error_filter.replaced:
            self._filter.replaced = self._error_filter.replaced = 0
            self.note(
                f"{pluralize(count, 'character')} of the output may be bytes that are not UTF-8,"
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
        """Whether a progress line can change in place."""
        return self._err.is_interactive and not self.as_json

    def progress(self, *columns: ProgressColumn) -> Progress:
        """Return a progress bar of these columns; it is erased at its end."""
        from rich.progress import Progress

        return Progress(*columns, console=self._err, transient=True)

    @contextlib.contextmanager
    def waiting(self, activity: str) -> Generator[None]:
        """Show `activity` in a changing line during the body, in an interactive terminal."""
        if not self._err.is_interactive:
            yield
            return
        with self._err.status(Text(activity)) as status:
            self._status = status
            try:
                yield
            finally:
                self._stop_status()

    def _stop_status(self) -> None:
        """Erase the changing line."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    async def report(self, elapsed: float, limit: float | None, reason: str) -> None:
        """Show the progress of a wait: in the changing line, or in lines.

        There is a line for each new reason, and one every REPEAT_AFTER seconds.
        """
        if self.is_keyboard_read:
            return
        if self._has_output and not reason.startswith(UNREACHABLE):
            self._reason = ""
            self._stop_status()
            return
        limit_text = "" if limit is None else f" of at most {limit:.0f}"
        if self._status is None and self._err.is_interactive and self._has_output:
            self._end_line()
            self._status = self._err.status("")
            self._status.start()
        if self._status is not None:
            self._status.update(Text(f"{elapsed:.0f}{limit_text} s  {reason}"))
        elif reason != self._reason or elapsed - self._said_at >= REPEAT_AFTER:
            self.say(f"{elapsed:5.1f} s  {reason}")
            self._said_at = elapsed
        self._reason = reason
