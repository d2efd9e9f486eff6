"""Assertions that no key is shown: in messages, reprs, tracebacks and chained exceptions."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from sandbox_client import SandboxError
from sandbox_client.presentation.errors import Verb, explain

if TYPE_CHECKING:
    from collections.abc import Iterator


def format_verb(verb: Verb, options: str = "") -> str:
    """Return the verb in angle brackets, to see that advice was formatted."""
    return f"<{verb} {options}>" if options else f"<{verb}>"


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and all its causes and contexts."""
    pending: list[BaseException] = [error]
    while pending:
        current = pending.pop()
        yield current
        pending += [link for link in (current.__cause__, current.__context__) if link]


def shown_text(error: BaseException) -> str:
    """Return all text of the exception that a user may see: message, repr, advice, traceback."""
    words = [str(error), repr(error), "".join(traceback.format_exception(error))]
    if isinstance(error, SandboxError):
        words += [error.message, error.advice, error.cause, explain(error, format_verb)]
    return "\n".join(words)


def chained_text(error: BaseException) -> str:
    """Return messages, reprs and arguments of the whole chain, suppressed contexts included."""
    return "\n".join(f"{each}\n{each!r}\n{each.args!r}" for each in chain(error))


def assert_presentable(error: SandboxError, *, secret: str) -> None:
    """Assert that the message is one printable line and that nothing shows the secret."""
    assert is_one_printable_line(error.message), ascii(error.message)
    assert secret not in shown_text(error)


def is_one_printable_line(text: str) -> bool:
    return bool(text) and text.isprintable()
