"""The text of an error, and of advice: each verb as a tool's name or a command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from sandbox_client.errors import SandboxError

Verb = Literal[
    "create",
    "status",
    "run",
    "output",
    "sessions",
    "cancel",
    "agent",
    "list",
    "delete",
    "pause",
    "resume",
    "check",
    "read",
    "write",
    "files",
    "push",
    "pull",
]
_VERB = re.compile("{(?P<verb>" + "|".join(get_args(Verb)) + ")(?: (?P<options>-[^{}]+))?}")


class FormatVerb(Protocol):
    """A function that returns the name of a tool, or a command line, for a verb in advice."""

    def __call__(self, verb: Verb, options: str = "") -> str:
        """Return it, for a push or pull with `options` of the command line."""
        ...


def format_verbs(text: str, format_verb: FormatVerb) -> str:
    """Return `text` with each `{verb}` or `{verb --options}` replaced by `format_verb`."""

    def replace(match: re.Match[str]) -> str:
        verb: Verb = match["verb"]  # type: ignore[assignment]  # the pattern is Verb
        return format_verb(verb, match["options"] or "")

    return _VERB.sub(replace, text)


def next_step(error: SandboxError, format_verb: FormatVerb) -> str:
    """Return the advice of an error with each verb replaced by `format_verb`."""
    steps = [error.not_done, error.advice]
    steps += [f"The command's session is '{error.session}'."] if error.session else []
    return format_verbs(" ".join(filter(None, steps)), format_verb)


def explain(error: SandboxError, format_verb: FormatVerb) -> str:
    """Return the message, the cause and the next step, each on a line of its own."""
    return f"{error.message}\nCause: {error.cause}\nNext: {next_step(error, format_verb)}"
