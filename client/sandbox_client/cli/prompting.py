"""Questions to whoever logs in: a person at a terminal, or a script with one line for a key."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from rich.prompt import Confirm, Prompt
from rich.text import Text

from sandbox_client.errors import InvalidInput

from .command import interruptible
from .console import console_on

if TYPE_CHECKING:
    from collections.abc import Generator

MAX_LINE = 4096  # bytes of standard input


class Questions(Protocol):
    """Who answers, and how often a wrong answer may be given."""

    @property
    def tries(self) -> int:
        """Return how often the same question may be answered."""
        ...

    def text(self, question: str, default: str, /) -> str:
        """Ask for a text."""
        ...

    def secret(self, question: str, /) -> str:
        """Ask for what must not be shown."""
        ...

    def agreed(self, question: str, /, *, default: bool) -> bool:
        """Ask for yes or no."""
        ...


class Person:
    """Somebody at a terminal: what is asked and answered stays out of standard output."""

    tries = 4

    def __init__(self) -> None:
        self._console = console_on(stderr=True)

    def text(self, question: str, default: str, /) -> str:
        """Ask for a text; the default is taken with Enter."""
        with self._asking():
            return Prompt.ask(
                Text(question),
                console=self._console,
                default=default,
                show_default=bool(default),
                stream=_LINES,
            ).strip()

    def secret(self, question: str, /) -> str:
        """Ask without showing what is typed."""
        with self._asking(), _without_echo():
            # Hidden first: what is pasted at once would be shown.
            self._console.print(Text(f"{question}: "), end="")
            answer = _LINES.readline()
            self._console.print()
            return answer.strip()

    def agreed(self, question: str, /, *, default: bool) -> bool:
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
            self._console.print()  # what follows begins on a line of its own
            raise
        except EOFError:
            self._console.print()
            raise InvalidInput(
                "The input ended before the answer", advice="Start again, and answer the question."
            ) from None


class Script:
    """Nobody who could be asked: defaults, and the first line of standard input for a key."""

    tries = 1

    def text(self, _: str, default: str, /) -> str:
        """Return the default."""
        return default

    def secret(self, _: str, /) -> str:
        """Return the line on standard input."""
        with interruptible():
            _wait_for_input()
            line = sys.stdin.buffer.readline(MAX_LINE)
        # Whatever is no text is refused later, without being shown.
        return line.decode(errors="replace").strip()

    def agreed(self, _: str, /, *, default: bool) -> bool:
        """Return the default."""
        return default


class _Lines:
    """The lines of standard input, without their ends; unlike `input`, it misses no Ctrl-C."""

    def readline(self) -> str:
        """Return a line.

        Raises:
            EOFError: there is none.
        """
        _wait_for_input()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")


_LINES = cast("TextIO", _Lines())  # rich reads its lines, and nothing else


@contextlib.contextmanager
def _without_echo() -> Generator[None]:
    """Hide what is typed in the terminal; what was typed before is dropped.

    Raises:
        InvalidInput: the terminal cannot.
    """
    import termios  # noqa: PLC0415  (for this question only)

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


def _wait_for_input() -> None:
    """Wait until standard input can be read, or a signal has come.

    A read that begins just after a signal would wait on; the descriptor that Python writes to on
    a signal ends this wait.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        select.select([sys.stdin, reader], [], [])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


_WITHOUT_TERMINAL = (
    "Give the key as one line of a file or a pipe:"
    " `remote-sandbox login --url URL --key-stdin < FILE`."
)


def questions(*, key_stdin: bool) -> Questions:
    """Return who answers.

    Raises:
        InvalidInput: standard input is not what the options say.
    """
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    if key_stdin and is_terminal:
        raise InvalidInput(
            "--key-stdin reads a file or a pipe, and standard input is a terminal",
            advice="Leave --key-stdin out: you are asked for the key, and it is not shown.",
        )
    if key_stdin and sys.stdin is not None:
        return Script()
    if is_terminal and sys.stderr.isatty():
        return Person()
    raise InvalidInput("There is no terminal to ask on", advice=_WITHOUT_TERMINAL)
