"""What a terminal command is: its arguments, what it does, its exit codes. None is named here."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Awaitable, Callable, Generator, Mapping

    from sandbox_client.provider import ClientProvider

    from .console import Console

OK, FAILED, USAGE, NOT_READY, NO_RESULT, INTERRUPTED = 0, 1, 2, 3, 125, 130
TIMED_OUT, READER_GONE = 124, 141  # as timeout(1) and a shell give them
KILLED = 137
_LIKE_CTRL_C = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Generator[None]:
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


@dataclass
class Interruption:
    """The signal that interrupted this process; SIGINT until another one does."""

    signal: int = signal.SIGINT

    @contextmanager
    def by_other_signals(self) -> Generator[None]:
        """Handle SIGTERM and SIGHUP like Ctrl-C in the body, unless they or Ctrl-C are ignored."""

        def interrupt(number: int, _: object) -> None:
            self.signal = number
            signal.raise_signal(signal.SIGINT)  # asyncio turns that one into a cancellation

        before = {each: signal.getsignal(each) for each in _LIKE_CTRL_C}
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            before.clear()  # raised again, they would have no effect
        taken = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
        for each in taken:
            signal.signal(each, interrupt)
        try:
            yield
        finally:
            for each in taken:
                signal.signal(each, before[each])


@dataclass(frozen=True)
class Argument:
    """An argument or option as argparse takes it."""

    names: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def add_to(self, parser: ArgumentParser) -> None:
        """Make `parser` take it."""
        parser.add_argument(*self.names, **self.options)


@dataclass(frozen=True)
class Command:
    """A command line's verb: `words` are its help, `failed` the exit code where it gives no result.

    `interrupted` says what Ctrl-C leaves behind, with verbs in braces.
    """

    verb: str
    words: str
    run: Callable[[ClientProvider, Namespace, Console], Awaitable[int]]
    arguments: tuple[Argument, ...] = ()
    usage: str | None = None
    failed: int = FAILED
    interrupted: Callable[[Console], str] = lambda _: "interrupted"


def argument(*names: str, **options: Any) -> Argument:
    """Return an argument, spelled as for argparse."""
    return Argument(names, options)


NAME = argument("name", metavar="NAME", help="the sandbox's name")
