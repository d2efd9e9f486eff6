"""The command line that starts a coding agent with a prompt, which stays one word to the shell."""

from __future__ import annotations

import re

from .api.runtime import quote
from .config import DEFAULT_AGENT_COMMAND, PLACEHOLDER
from .errors import ConfigError, InvalidInput

_READERS = {"eval", "trap"}  # what reads a word as shell syntax again
_SHELL_OPTION = re.compile(r"-[a-z]*c")
_QUOTES = "'\"`"


def template_fault(template: str) -> str:
    """Return what is wrong with a template; empty where nothing is.

    The prompt is quoted as it is put in, which works only where the shell reads plain words.
    """
    if template.count(PLACEHOLDER) != 1:
        return f"holds {PLACEHOLDER} {template.count(PLACEHOLDER)} times, not once"
    before = template.partition(PLACEHOLDER)[0]
    place = _open_quote(before)
    if place:
        return f"has {PLACEHOLDER} within {place}, where the prompt would not stay one word"
    if before.endswith("$"):
        return f"has a $ before {PLACEHOLDER}, which would make syntax of the prompt"
    words = before.split()
    if any(word.startswith("#") for word in words):
        return f"has {PLACEHOLDER} in a comment"
    before_it = words[-1] if words else ""
    if before_it in _READERS or _SHELL_OPTION.fullmatch(before_it):
        return f"has {PLACEHOLDER} after {before_it!r}, which would read the prompt as syntax again"
    return ""


def command_line(template: str, prompt: str) -> str:
    """Return the command line of `template` with the prompt as one word.

    Raises:
        ConfigError: the template would make something else of it.
        InvalidInput: the prompt is empty, or no command line can hold it.
    """
    if fault := template_fault(template):
        raise ConfigError(
            f"agentCommand {fault}",
            advice=f'Write it like "{DEFAULT_AGENT_COMMAND}": the prompt is quoted when it is'
            " inserted.",
        )
    if not prompt.strip():
        raise InvalidInput("The prompt is empty", advice="Say what the agent should do.")
    if "\0" in prompt:
        raise InvalidInput(
            "The prompt holds a NUL character, which no command line can", advice="Leave it out."
        )
    return template.replace(PLACEHOLDER, quote(prompt))


def _open_quote(text: str) -> str:
    """Return the words for the quoting that `text` leaves open; empty where there is none."""
    inside = before = ""
    characters = iter(text)
    for character in characters:
        if character == "\\" and inside != "'":
            if next(characters, "") == "":
                return "a backslash's reach"
        elif inside:
            inside = "" if character == inside[-1] else inside
        elif character in _QUOTES:
            inside = "$'" if before + character == "$'" else character
        before = character
    return f"{inside}…{inside[-1]}" if inside else ""
