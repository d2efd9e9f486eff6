"""The text of an error, and of advice: each verb as a tool's name or a command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

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
_VERB = re.compile("{(" + "|".join(get_args(Verb)) + ")}")


def format_verbs(text: str, format_verb: Callable[[Verb], str]) -> str:
    """Return `text` with each `{verb}` in it replaced by `format_verb`."""
    return _VERB.sub(lambda match: format_verb(match[1]), text)  # type: ignore[arg-type]  # the pattern is Verb


def next_step(error: SandboxError, format_verb: Callable[[Verb], str]) -> str:
    """Return the advice of an error with each verb replaced by `format_verb`."""
    steps = [error.not_done, error.advice]
    steps += [f"The command's session is '{error.session}'."] if error.session else []
    return format_verbs(" ".join(filter(None, steps)), format_verb)


def explain(error: SandboxError, format_verb: Callable[[Verb], str]) -> str:
    """Return the message, the cause and the next step, each on a line of its own."""
    return f"{error.message}\nCause: {error.cause}\nNext: {next_step(error, format_verb)}"
