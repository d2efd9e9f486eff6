"""A command's output as it may be shown: without the key, and without control over a terminal."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ._output import REPLACEMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._excerpt import Excerpt
    from ._output import Output

MASK = "[key]"

# Control characters except tab, newline and carriage return, and those that reorder text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ERASED_LINE = "\r\x1b[K"


def mask(text: str, secret: str) -> str:
    """Return `text` with a mask for each occurrence of the secret."""
    return text.replace(secret, MASK) if secret else text


def cut_masked(output: Output, secret: str, cut: Callable[[Output], Excerpt]) -> Excerpt:
    """Return a part of an output in which the secret is masked, also where it is cut in two."""
    cover = MASK.ljust(len(secret), "*")
    excerpt = cut(output.masked(secret, cover))
    return replace(excerpt, text=mask(excerpt.text, cover if secret else ""))


def visible(text: str) -> str:
    """Return `text` with control characters spelled, and of each line only its last frame.

    A frame ends with a carriage return, as those of a progress bar do.
    """
    lines = _CONTROL.sub(_spell, text).split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


class OutputFilter:
    """Change an output that comes in pieces into what may be written.

    The secret is masked. On a terminal, control characters are spelled, unless the output is `raw`,
    and a carriage return starts the line anew. `replaced` counts the characters that stand for
    bytes that are no UTF-8.
    """

    def __init__(
        self, secret: str = "", *, is_terminal: bool = False, is_raw: bool = False
    ) -> None:
        self.replaced = 0
        self._secret = secret
        self._spells = is_terminal and not is_raw
        self._held = ""  # the start of a secret, or a carriage return before a newline

    def feed(self, text: str) -> str:
        """Return the text that can be written after the next piece."""
        self.replaced += text.count(REPLACEMENT)
        text = mask(self._held + text, self._secret)
        kept = _length_of_start(text, self._secret)
        if self._spells and not kept:
            kept = len(text) - len(text.rstrip("\r"))
        text, self._held = text[: len(text) - kept], text[len(text) - kept :]
        return self._spelled(text)

    def end(self) -> str:
        """Return the text that was held back."""
        text, self._held = self._held, ""
        return self._spelled(text.rstrip("\r")) if self._spells else text

    def _spelled(self, text: str) -> str:
        if not self._spells:
            return text
        text = re.sub(r"\r+\n", "\n", _CONTROL.sub(_spell, text))
        return re.sub(r"\r+", lambda _: _ERASED_LINE, text)


def _length_of_start(text: str, secret: str) -> int:
    """Return the length of the longest end of `text` that is the start of the secret."""
    for length in range(min(len(text), len(secret) - 1), 0, -1):
        if text.endswith(secret[:length]):
            return length
    return 0


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20 or code == 0x7F:
        return f"^{chr(code ^ 0x40)}"
    return match[0].encode("unicode_escape").decode()
