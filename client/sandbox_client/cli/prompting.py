"""The questions of a command, answered by a person at a terminal or by a script."""

from __future__ import annotations

import contextlib
import sys
import termios
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from rich.prompt import Confirm, Prompt
from rich.text import Text

from sandbox_client.errors import InvalidInput

from .console import console_on, wrapped
from .process import TypedLines, interruptible, read_piped_line

if TYPE_CHECKING:
    from collections.abc import Generator


class Prompter(Protocol):
    """The source of the answers."""

    @property
    def attempts(self) -> int:
        """Return how many answers to one question are accepted."""
        ...

    def text(self, question: str, default: str, /) -> str:
        """Ask for a text."""
        ...

    def secret(self, question: str, /) -> str:
        """Ask for a text that is not shown."""
        ...

    def confirm(self, question: str, /, *, default: bool) -> bool:
        """Ask for yes or no."""
        ...


class TerminalPrompter:
    """A person at a terminal, asked on standard error."""

    attempts = 4

    def __init__(self) -> None:
        self._console = console_on(stderr=True)

    def text(self, question: str, default: str, /) -> str:
        """Ask for a text; Enter takes the default."""
        with self._asking():
            return Prompt.ask(
                Text(question),
                console=self._console,
                default=default,
                show_default=bool(default),
                stream=_LINES,
            ).strip()

    def secret(self, question: str, /) -> str:
        """Ask without showing the typed text."""
        with self._asking(), _without_echo():
            # Echo is off before the question: a quick paste would be shown.
            self._console.print(wrapped(Text(f"{question}:"), self._console), end=" ")
            answer = _LINES.readline()
            self._console.print()
            return answer.strip()

    def confirm(self, question: str, /, *, default: bool) -> bool:
        """Ask for yes or no."""
        with self._asking():
            return Confirm.ask(
                Text(question), console=self._console, default=default, stream=_LINES
            )

    @contextlib.contextmanager
    def _asking(self) -> Generator[None]:
        try:
            with interruptible():
                yield
        except KeyboardInterrupt:
            self._console.print()  # the next output begins on a new line
            raise
        except EOFError:
            self._console.print()
            raise InvalidInput(
                "The input ended before the answer", advice="Start again, and answer the question."
            ) from None


class PipePrompter:
    """A script without questions: defaults, and the first line of standard input as the key."""

    attempts = 1

    def text(self, _: str, default: str, /) -> str:
        """Return the default."""
        return default

    def secret(self, _: str, /) -> str:
        """Return the first line of standard input."""
        with interruptible():
            return read_piped_line()

    def confirm(self, _: str, /, *, default: bool) -> bool:
        """Return the default."""
        return default


_LINES = cast("TextIO", TypedLines())  # rich calls `readline` only


@contextlib.contextmanager
def _without_echo() -> Generator[None]:
    """Turn the terminal's echo off in the body; drop text typed before.

    Raises:
        InvalidInput: the terminal cannot turn its echo off.
    """
    try:
        before = termios.tcgetattr(sys.stdin)
        hidden = [*before]
        hidden[3] &= ~termios.ECHO
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, hidden)
    except termios.error:
        raise InvalidInput(
            "This terminal cannot hide what is typed", advice=_WITHOUT_TERMINAL
        ) from None
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)


_WITHOUT_TERMINAL = (
    "Give the key as one line of a file or a pipe:"
    " `remote-sandbox login --url URL --key-stdin < FILE`."
)


def prompter(*, key_stdin: bool) -> Prompter:
    """Return the source of the answers.

    Raises:
        InvalidInput: standard input does not fit the options.
    """
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    if key_stdin and is_terminal:
        raise InvalidInput(
            "--key-stdin reads a file or a pipe, but standard input is a terminal",
            advice="Leave --key-stdin out: you are asked for the key, which is not shown.",
        )
    if key_stdin and sys.stdin is not None:
        return PipePrompter()
    return terminal_prompter(_WITHOUT_TERMINAL)


def terminal_prompter(advice: str) -> Prompter:
    """Return the person at the terminal.

    Raises:
        InvalidInput: there is no terminal; `advice` says what to do.
    """
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        return TerminalPrompter()
    raise InvalidInput("There is no terminal to ask on", advice=advice)
