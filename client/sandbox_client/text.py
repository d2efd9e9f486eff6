"""Text for people and models: plural forms, one printable line, and masked API keys.

A text from the proxy or a sandbox may be hostile: it could act on a terminal, or pass for a text of
this client. `one_line` is for a sentence, `as_word` for a name in one, `json_text` for JSON.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_PREFIX = "sk_live_"
MAX_LINE = 120
_LAST_LINE_WITHIN = 16_000  # characters

_KEY = re.compile(rf"{KEY_PREFIX}[\w-]+", re.IGNORECASE)  # host names come back in lower case
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_WORD = re.compile(r"[\w.:/@+-]+", re.ASCII)
# Control characters except tab, newline and carriage return; those that reorder text or end a line
# in some programs; and tags, which a model reads and no person sees.
CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    r"\U000e0000-\U000e007f]"
)
_UNSAFE_IN_JSON = re.compile(rf"{CONTROL.pattern}|[\ud800-\udfff]")
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


def format_size(size: int) -> str:
    """Return a number of bytes as people read it: `17 bytes`, `1.5 kB`, `240 MB`."""
    if size < 1_000:
        return pluralize(size, "byte")
    number, unit = size / 1_000, "kB"
    for larger in ("MB", "GB", "TB"):
        if number >= 999.5:
            number, unit = number / 1_000, larger
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"


def format_duration(seconds: float) -> str:
    """Return a duration in the largest unit of which it has at least two: days to seconds."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.3g} s"


def lower_first(sentence: str) -> str:
    """Return a sentence as the rest of another one: its first word in lower case, if it is one."""
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence


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


def as_word(text: str) -> str:
    """Return a name or an id as it is, or quoted if it could pass for other words of a sentence."""
    return text if _WORD.fullmatch(text) else json.dumps(one_line(text), ensure_ascii=False)


def json_text(content: object) -> str:
    """Return an object as indented JSON; control characters are escaped, so that none acts."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return _UNSAFE_IN_JSON.sub(lambda match: json.dumps(match[0])[1:-1], text)


def last_line(output: str) -> str:
    """Return the last line that is not blank as one printable line, or an empty string."""
    for line in reversed(output[-_LAST_LINE_WITHIN:].splitlines()):
        if shown := one_line(_ESCAPES.sub("", line)):
            return shown
    return ""


def format_left_out(number: int, command: str) -> str:
    """Return a line about the rest of a list, with the command line for all; empty if none is."""
    return (
        f"… and {number} more: `remote-sandbox {command} --limit all` lists all"
        if number > 0
        else ""
    )


def join_names(names: Sequence[str], limit: int) -> str:
    """Join the first names of a proxy's list, and count those after `limit`."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(as_word, names[:limit])) + more
