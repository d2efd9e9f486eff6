"""Text of any origin, so that every report can hold it and no terminal obeys it."""

import re

# What XML 1.0 cannot hold, what a terminal obeys, what turns the direction of writing around.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    r"""Return text with each unsafe character spelt, as in `\x1b`; lines and tabs stay."""
    lines = text.replace("\r\n", "\n")
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), lines)


def cut(text: str, length: int) -> str:
    """Return no more than some characters of a text, and how many more there are."""
    more = len(text) - length
    return text if more <= 0 else f"{text[:length]}… ({more} characters more)"
