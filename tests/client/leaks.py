"""Everything that an exception says, and to whom."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from sandbox_client._errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_client._errors import Verb


def spelled(verb: Verb) -> str:
    return f"<{verb}>"


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that stand behind it, shown by a traceback or not."""
    pending: list[BaseException] = [error]
    while pending:
        current = pending.pop()
        yield current
        pending += [link for link in (current.__cause__, current.__context__) if link]


def all_words(error: BaseException) -> str:
    """The messages, reprs, advice and the traceback of the exception as a person meets them."""
    words = [str(error), repr(error), "".join(traceback.format_exception(error))]
    if isinstance(error, SandboxError):
        words += [error.message, error.advice, error.fault, error.explain(spelled)]
    return "\n".join(words)


def hidden_words(error: BaseException) -> str:
    """The same of the whole chain, with what a traceback leaves out."""
    return "\n".join(f"{each}\n{each!r}\n{each.args!r}" for each in chain(error))


def check_told(error: SandboxError, *, secret: str) -> None:
    """Fail where the error is not told in one printable line, or tells the secret."""
    assert is_one_printable_line(error.message), ascii(error.message)
    assert secret not in all_words(error)


def is_one_printable_line(text: str) -> bool:
    return bool(text) and text.isprintable()
