"""Make untrusted text safe to put into a report or to print on a terminal."""

import re

# Characters that XML 1.0 forbids, terminal control characters, and bidirectional overrides.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def escape_unsafe(text: str) -> str:
    r"""Return `text` with unsafe characters escaped, as in `\x1b`; newlines and tabs stay."""
    lines = text.replace("\r\n", "\n")
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), lines)


def truncate(text: str, length: int) -> str:
    """Return the first `length` characters of `text`, and the number of those left out."""
    excess = len(text) - length
    return text if excess <= 0 else f"{text[:length]}… ({excess} characters more)"
