"""The command lines, in advice, that repeat a push or pull with the options that were given."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from sandbox_client.repository.model import PushOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client.presentation.errors import Verb
    from sandbox_client.repository.model import PullOptions

    from .console import Console


def set_advice(
    console: Console,
    repo: str,
    options: PushOptions | PullOptions,
    *,
    agent: str = "",
    names: Sequence[str] = (),
) -> None:
    """Let advice to push or pull again have the options that were given.

    `agent` is the beginning of an agent's command line, `names` its sandboxes if it has several.
    """
    at = _literal(["--repo", repo])
    given = _literal(_deciding(options)) if isinstance(options, PushOptions) else ""
    target = _literal([word for each in names for word in ("--on", each)]) or "{name} "
    repository = "" if repo == "." else at
    push = f"push {repository}{given}{{directory}}{{options}}{{name}}"
    if agent:
        push = f"{agent} {at}{given}{{directory}}{{options}}{target}PROMPT"
    pull = f"pull {repository}{{branch}}{{directory}}{{options}}{{name}}"
    lines: dict[Verb, str] = {"push": push, "pull": pull}
    console.lines = {**console.lines, **lines}
    console.directory = options.directory or ""
    console.branch = "" if isinstance(options, PushOptions) else options.branch or ""


def _deciding(options: PushOptions) -> list[str]:
    """Return the options that decide which files go, as on a command line."""
    patterns = [("--include", each) for each in options.include]
    patterns += [("--leave-out", each) for each in options.leave_out]
    words = [
        word
        for flag, each in patterns
        for word in ([f"{flag}={each}"] if each.startswith("-") else [flag, each])
    ]
    return words + ["--history"] * options.history


def _literal(words: Sequence[str]) -> str:
    """Return words for the template of a command line, with a blank after each."""
    line = "".join(f"{shlex.quote(each)} " for each in words)
    return line.replace("{", "{{").replace("}", "}}")
