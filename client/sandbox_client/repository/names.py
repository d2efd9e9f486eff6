"""Names of files and texts of commits as git stores them: bytes of any encoding, shown safely."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNSHOWN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode categories
MAX_SHOWN = 200  # characters of a name or a subject


def decode(raw: bytes) -> str:
    """Decode UTF-8; other bytes become surrogates, so that `encode` gives them back."""
    return raw.decode("utf-8", "surrogateescape")


def encode(name: str) -> bytes:
    """Return the bytes of a decoded name."""
    return name.encode("utf-8", "surrogateescape")


def nul_list(names: Iterable[str]) -> bytes:
    """Return names as git reads them with -z."""
    return b"".join(encode(name) + b"\0" for name in names)


def shown(text: str, most: int = MAX_SHOWN) -> str:
    r"""Return a text on one line, with escapes (`\x1b`, `\u202e`) for what a terminal interprets.

    A longer one than `most` characters is cut, with `…` at its end.
    """
    line = "".join(map(_shown_character, text[: most + 1]))
    return line if len(line) <= most else line[: most - 1] + "…"


def _shown_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) in _UNSHOWN:
        return ascii(character)[1:-1]
    return character
