"""Build the command line that starts a coding agent, from `agentCommand` and a prompt.

The prompt is quoted as one word, with any characters in it. `template_problem` rejects templates in
which the shell would interpret the quoted word again.
"""

from __future__ import annotations

import re

from .api.runtime import quote
from .config import DEFAULT_AGENT_COMMAND, PLACEHOLDER
from .errors import ConfigError, InvalidInput

_INTERPRETERS = {"eval", "trap"}  # builtins that interpret their argument as shell syntax
_SHELL_OPTION = re.compile(r"-[a-z]*c")
_CHANGE = re.compile(r"\A\s*cd\s+[^\s;&|]+\s*&&\s*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[\w./:@%+,-]*$", re.ASCII)
_PROGRAM = re.compile(r"[A-Za-z0-9._-]+|/[A-Za-z0-9._/-]+")
_QUOTES = "'\"`"


def template_problem(template: str) -> str:
    """Describe why the quoted prompt would not stay one word in `template`; empty if it would."""
    if template.count(PLACEHOLDER) != 1:
        return f"holds {PLACEHOLDER} {template.count(PLACEHOLDER)} times, not once"
    before = template.partition(PLACEHOLDER)[0]
    quoting = _open_quote(before)
    if quoting:
        return f"has {PLACEHOLDER} within {quoting}, where the prompt would not stay one word"
    if before.endswith("$"):
        return f"has a $ before {PLACEHOLDER}, which would make the prompt shell syntax"
    words = before.split()
    if any(word.startswith("#") for word in words):
        return f"has {PLACEHOLDER} in a comment"
    previous = words[-1] if words else ""
    if previous in _INTERPRETERS or _SHELL_OPTION.fullmatch(previous):
        return f"has {PLACEHOLDER} after {previous!r}, which would run the prompt as shell syntax"
    return ""


def agent_command_line(template: str, prompt: str, *, in_directory: bool = False) -> str:
    """Return `template` with the quoted prompt in place of the placeholder.

    If it is to run `in_directory`, of a repository, a `cd …` at its beginning is left out.

    Raises:
        ConfigError: the template is invalid (see `template_problem`).
        InvalidInput: the prompt is empty or contains a NUL character.
    """
    if problem := template_problem(template):
        raise ConfigError(
            f"agentCommand {problem}",
            advice=f'Write it like "{DEFAULT_AGENT_COMMAND}": the prompt is quoted when it is'
            " inserted.",
        )
    if not prompt.strip():
        raise InvalidInput("The prompt is empty", advice="Say what the agent should do.")
    if "\0" in prompt:
        raise InvalidInput(
            "The prompt holds a NUL character, which no command line can", advice="Remove it."
        )
    template = _CHANGE.sub("", template) if in_directory else template
    return template.replace(PLACEHOLDER, quote(prompt))


def agent_program(template: str) -> str:
    """Return the program that `template` starts, if that can be looked for; else an empty string.

    It can if it is a name, or an absolute path, before any syntax of the shell but `cd … &&`.
    """
    words = _CHANGE.sub("", template).split()
    word = next((each for each in words if not _ASSIGNMENT.match(each)), "")
    return word if _PROGRAM.fullmatch(word) else ""


def _open_quote(text: str) -> str:
    """Describe the quoting that is still open at the end of `text`; empty if there is none."""
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
