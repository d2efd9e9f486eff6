"""Text for people and models: plural forms, one printable line, and masked API keys."""

from __future__ import annotations

import re

KEY_PREFIX = "sk_live_"
MAX_LINE = 120
_LAST_LINE_WITHIN = 16_000  # characters

_KEY = re.compile(rf"{KEY_PREFIX}[\w-]+", re.IGNORECASE)  # host names come back in lower case
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_KINDS: dict[type, str] = {
    type(None): "nothing",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def mask_keys(text: str) -> str:
    """Return `text` with a mask for everything that looks like an API key."""
    return _KEY.sub(f"{KEY_PREFIX}…", text)


def pluralize(number: int, noun: str) -> str:
    """Return the number with the noun in its singular or plural form."""
    if number == 1:
        return f"1 {noun}"
    ends_in_consonant_y = noun.endswith("y") and noun[-2:-1] not in {"a", "e", "o", "u"}
    return f"{number} {noun.removesuffix('y')}ies" if ends_in_consonant_y else f"{number} {noun}s"


def kind_of(value: object) -> str:
    """Return JSON's name for the kind of a value, with its article."""
    return kind_named(type(value))


def kind_named(kind: type) -> str:
    """Return JSON's name for the values of a Python type, with its article."""
    return _KINDS[kind]


def one_line(text: str) -> str:
    """Return `text` as one printable line of at most 120 characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"


def last_line(output: str) -> str:
    """Return the last line that is not blank as one printable line, or an empty string."""
    for line in reversed(output[-_LAST_LINE_WITHIN:].splitlines()):
        if shown := one_line(_ESCAPES.sub("", line)):
            return shown
    return ""
