"""The tools for commands: send a prompt, follow it, cancel it, run an agent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from sandbox_client.masking import visible
from sandbox_client.output import REPLACEMENT
from sandbox_client.presentation import (
    NOT_FOUND,
    describe_ending,
    describe_missing_agent,
    describe_unreachable,
    format_sessions,
    prompt_content,
    sessions_content,
)
from sandbox_client.prompts import DEFAULT_WAIT, LINGER, MAX_WAIT
from sandbox_client.text import pluralize
from sandbox_client.truncation import MAX_OUTPUT, head_and_tail, page, tail

from .sandboxes import Name  # noqa: TC001  # the decorator reads it
from .tool import Argument, Result, format_verb, tool

if TYPE_CHECKING:
    from sandbox_client.client import Client
    from sandbox_client.output import Output
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.prompts import CommandResult
    from sandbox_client.truncation import TruncatedText


STDERR_MARK = "[standard error]"
SessionId = Annotated[str, Argument("The session that an earlier answer named.")]
Wait = Annotated[
    int,
    Argument(f"How long to wait; {DEFAULT_WAIT:.0f} if left out, 0 not at all.", 0, int(MAX_WAIT)),
]
_WAIT: Final = int(DEFAULT_WAIT)

_BEGUN: Final = {"name": "string", "session": "string", "status": "string"}
_STANDING: Final = {
    **_BEGUN,
    "output": "string",
    "next_after": "integer",
    "left_out": "integer",
    "gone?": "integer",
    "stderr?": "string",
    "next_stderr_after?": "integer",
    "stderr_left_out?": "integer",
    "stderr_gone?": "integer",
    "signals?": "array",
    "seconds": "number",
    "exit_code?": "integer",
}
_FOLLOWED: Final = {
    **{
        name if name == "name" else f"{name.rstrip('?')}?": kind for name, kind in _STANDING.items()
    },
    "count?": "integer",
    "sessions?": "array",
}


@tool(
    "Run a shell command in a ready sandbox. Use it for all work there. Returns"
    " output and exit code if it ends within wait_seconds; else the session in which it goes"
    " on, its output so far, and what to do next.",
    output=_STANDING,
    verb="run",
    destructive=True,
)
async def send_prompt_to_sandbox(
    client: Client,
    on_progress: ProgressCallback,
    *,
    name: Name,
    command: Annotated[str, Argument("The shell command, for example: ls -la")],
    wait_seconds: Wait = _WAIT,
    session: Annotated[
        str,
        Argument(
            "A shell to run in, where cd and export last, with standard error in the output; a"
            " new one if left out."
        ),
    ] = "",
) -> Result:
    prompt = await client.run(
        name, command, wait=wait_seconds, session=session or None, on_progress=on_progress
    )
    return _answer(prompt, head_and_tail if prompt.status.has_ended else tail)


@tool(
    "Start a coding agent in a ready sandbox with a prompt in plain words. Use it"
    " for work that the agent there shall do by itself. Returns at once with the session for"
    " get_prompt_output.",
    output=_BEGUN,
    verb="agent",
    destructive=True,
)
async def run_agent(
    client: Client,
    on_progress: ProgressCallback,
    *,
    name: Name,
    prompt: Annotated[str, Argument("What the agent shall do, in the person's words.")],
) -> Result:
    template = client.proxy.config.agent_command
    started = await client.run_agent(name, prompt, on_progress=on_progress)
    lacks_agent = started.exit_code == NOT_FOUND
    result = _answer(started, tail, hint=describe_missing_agent(template) if lacks_agent else "")
    return replace(result, content={each: (result.content or {})[each] for each in _BEGUN})


@tool(
    "Wait for more output of a command, or for its end. Use it with the session"
    " that another tool named; without one it lists what runs and what ended. Returns"
    f" {LINGER:.0f} s after something new comes, only what is new after `after`, {MAX_OUTPUT}"
    " characters at most, and whether it runs, ended (exit code) or was killed.",
    output=_FOLLOWED,
    verb=("output", "sessions"),
    read_only=True,
    idempotent=True,
)
async def get_prompt_output(
    client: Client,
    on_progress: ProgressCallback,
    *,
    name: Name,
    session: SessionId = "",
    wait_seconds: Wait = _WAIT,
    after: Annotated[
        int | None, Argument("Position known already: next_after of the answer before.", 0)
    ] = None,
    stderr_after: Annotated[
        int | None, Argument("The same for standard error: next_stderr_after.", 0)
    ] = None,
) -> Result:
    if not session:
        return await _sessions(client, name)
    prompt = await client.output(
        name,
        session,
        after=after or 0,
        stderr_after=stderr_after or 0,
        wait=wait_seconds,
        on_progress=on_progress,
    )
    return _answer(prompt, head_and_tail if after is None and stderr_after is None else page)


async def _sessions(client: Client, name: str) -> Result:
    rows = await client.sessions(name)
    content = sessions_content(name, rows)
    if not rows:
        text = f"Nothing has run in sandbox '{name}' since its start."
        return Result(f"{text} {format_verb('run')} runs a command.", content)
    count = "1 session" if len(rows) == 1 else f"{len(rows)} sessions"
    lines = [f"- {line}" for line in format_sessions(rows)]
    end = f"{format_verb('output')} with one of them as session shows what it printed."
    return Result("\n".join([f"{count} of '{name}', the last used first:", *lines, end]), content)


@tool(
    "Kill the command that runs in a session. Use it when the person wants it to"
    " stop: nothing else stops it. Returns what it had printed, and how it ended.",
    output=_STANDING,
    verb="cancel",
    destructive=True,
    idempotent=True,
)
async def cancel_prompt(
    client: Client, on_progress: ProgressCallback, *, name: Name, session: SessionId
) -> Result:
    prompt = await client.cancel(name, session, on_progress=on_progress)
    return _answer(prompt, head_and_tail)


class _Cut(Protocol):
    """A way to choose what of an output is shown; `name` is the argument for the rest."""

    def __call__(self, output: Output, *, name: str = "after") -> TruncatedText: ...


def _answer(prompt: CommandResult, cut: _Cut, *, hint: str = "") -> Result:
    """Return how a command stands, with what to do next, and then what it has printed.

    The output comes last, with its length, so that nothing in it can pass for the tool's own words.
    """
    shown = _visible(cut(prompt.output))
    errors = _visible(cut(prompt.errors, name="stderr_after")) if prompt.errors else None
    notes = [f"[{describe_ending(prompt)}]"]
    if unread := describe_unreachable(prompt):
        notes.append(f"[{unread}]")
    if hint:
        notes.append(f"[{hint}]")
    elif prompt.status.exit_code == NOT_FOUND:
        notes.append("[127 is the shell's code for a program that is not there.]")
    if not prompt.status.has_ended:
        after = {"after": shown.after}
        if errors is not None and errors.after:
            after["stderr_after"] = errors.after
        follow = _call_of_output(prompt.name, prompt.session, **after)
        notes.append(
            f"[It goes on whether or not anybody asks. {follow} waits for more;"
            f" {format_verb('cancel')} kills it.]"
        )
    text = shown.text.rstrip()
    error_text = errors.text.rstrip() if errors is not None else ""
    if replaced := (text + error_text).count(REPLACEMENT):
        notes.append(
            f"[{pluralize(replaced, 'character')} of it may be bytes that are no UTF-8, shown as"
            f" {REPLACEMENT}.]"
        )
    notes.append(_told_lengths(text, error_text, prompt))
    parts = [text] if text else []
    parts += [STDERR_MARK, error_text] if error_text else []
    return Result("\n".join([*notes, *parts]), prompt_content(prompt, shown, errors))


def _visible(excerpt: TruncatedText) -> TruncatedText:
    return replace(excerpt, text=visible(excerpt.text))


def _told_lengths(text: str, error_text: str, prompt: CommandResult) -> str:
    if not text and not error_text:
        if prompt.output.text or (prompt.errors and prompt.errors.text):
            return "[It has printed blank lines only.]"
        started_at = prompt.output.start or (prompt.errors.start if prompt.errors else 0)
        return "[Nothing new.]" if started_at else "[It has printed nothing.]"
    told = [f"{pluralize(len(text), 'character')} of output"] if text else []
    if error_text:
        told.append(f"{pluralize(len(error_text), 'character')} of standard error")
    mixed = ", with standard error in it" if prompt.errors is None else ""
    return f"[What follows is {' and '.join(told)}{mixed}.]"


def _call_of_output(name: str, session: str, **more: int) -> str:
    """Return the call that gets back to a command, as a model can copy it."""
    return f"{format_verb('output')} {json.dumps({'name': name, 'session': session, **more})}"
