"""The tools of commands: send a prompt, follow it, cancel it, run an agent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from sandbox_client.masking import visible
from sandbox_client.output import REPLACEMENT
from sandbox_client.presentation import (
    NOT_FOUND,
    agent_missing,
    ending,
    out_of_sight,
    prompt_content,
    sessions_content,
    told_sessions,
)
from sandbox_client.prompts import DEFAULT_WAIT, MAX_WAIT, SETTLE
from sandbox_client.provider import with_client
from sandbox_client.text import pluralize
from sandbox_client.truncation import MAX_OUTPUT, head_and_tail, page, tail

from .sandboxes import NAME
from .speech import spell
from .tool import Arguments, Parameter, Result, Tool

if TYPE_CHECKING:
    from sandbox_client.client import Client
    from sandbox_client.output import Output
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.prompts import CommandResult
    from sandbox_client.truncation import TruncatedText


async def _send(client: Client, arguments: Arguments, report: ProgressCallback) -> Result:
    prompt = await client.run(
        arguments.text("name"),
        arguments.text("command"),
        wait=_wait(arguments),
        session=arguments.text("session") or None,
        on_progress=report,
    )
    return _answer(prompt, head_and_tail if prompt.status.has_ended else tail)


async def _agent_run(client: Client, arguments: Arguments, report: ProgressCallback) -> Result:
    name = arguments.text("name")
    template = client.proxy.config.agent_command
    prompt = await client.run_agent(name, arguments.text("prompt"), on_progress=report)
    lacks_agent = prompt.status.exit_code == NOT_FOUND
    result = _answer(prompt, tail, hint=agent_missing(template) if lacks_agent else "")
    return replace(result, content={name: (result.content or {})[name] for name in _BEGUN})


async def _output(client: Client, arguments: Arguments, report: ProgressCallback) -> Result:
    name, session = arguments.text("name"), arguments.text("session")
    if not session:
        return await _sessions(client, name)
    after, stderr_after = arguments.number("after"), arguments.number("stderr_after")
    prompt = await client.output(
        name,
        session,
        after=after or 0,
        stderr_after=stderr_after or 0,
        wait=_wait(arguments),
        on_progress=report,
    )
    return _answer(prompt, head_and_tail if after is None and stderr_after is None else page)


async def _sessions(client: Client, name: str) -> Result:
    rows = await client.sessions(name)
    content = sessions_content(name, rows)
    if not rows:
        return Result(
            f"Nothing has run in sandbox '{name}' since its start. {spell('run')} runs a command.",
            content,
        )
    count = "1 session" if len(rows) == 1 else f"{len(rows)} sessions"
    lines = [f"- {line}" for line in told_sessions(rows)]
    end = f"{spell('output')} with one of them as session shows what it printed."
    return Result("\n".join([f"{count} of '{name}', the last used first:", *lines, end]), content)


async def _cancel(client: Client, arguments: Arguments, report: ProgressCallback) -> Result:
    name, session = arguments.text("name"), arguments.text("session")
    prompt = await client.cancel(name, session, on_progress=report)
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
    notes = [f"[{ending(prompt)}]"]
    if unread := out_of_sight(prompt):
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
            f"[It goes on whether or not anybody asks. {follow} waits for more; {spell('cancel')}"
            " kills it.]"
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
    return f"{spell('output')} {json.dumps({'name': name, 'session': session, **more})}"


def _wait(arguments: Arguments) -> float:
    seconds = arguments.number("wait_seconds")
    return DEFAULT_WAIT if seconds is None else float(seconds)


STDERR_MARK = "[standard error]"
_SESSION = Parameter("session", "string", "The session that an earlier answer named.")
_WAIT = Parameter(
    "wait_seconds",
    "integer",
    f"How long to wait; {DEFAULT_WAIT:.0f} if left out, 0 not at all.",
    required=False,
    bounds=(0, int(MAX_WAIT)),
)

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

TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        name="send_prompt_to_sandbox",
        description="Run a shell command in a ready sandbox. Use it for all work there. Returns"
        " output and exit code if it ends within wait_seconds; else the session in which it goes"
        " on, its output so far, and what to do next.",
        run=with_client(_send),
        parameters=(
            NAME,
            Parameter("command", "string", "The shell command, for example: ls -la"),
            _WAIT,
            Parameter(
                "session",
                "string",
                "A shell to run in, where cd and export last, with standard error in the output; a"
                " new one if left out.",
                required=False,
            ),
        ),
        output=_STANDING,
        destructive=True,
    ),
    Tool(
        name="get_prompt_output",
        description="Wait for more output of a command, or for its end. Use it with the session"
        " that another tool named; without one it lists what runs and what ended. Returns"
        f" {SETTLE:.0f} s after something new comes, only what is new after `after`, {MAX_OUTPUT}"
        " characters at most, and whether it runs, ended (exit code) or was killed.",
        run=with_client(_output),
        parameters=(
            NAME,
            Parameter(_SESSION.name, _SESSION.kind, _SESSION.description, required=False),
            _WAIT,
            Parameter(
                "after",
                "integer",
                "Position known already: next_after of the answer before.",
                required=False,
                bounds=(0, None),
            ),
            Parameter(
                "stderr_after",
                "integer",
                "The same for standard error: next_stderr_after.",
                required=False,
                bounds=(0, None),
            ),
        ),
        output=_FOLLOWED,
        read_only=True,
        idempotent=True,
    ),
    Tool(
        name="cancel_prompt",
        description="Kill the command that runs in a session. Use it when the person wants it to"
        " stop: nothing else stops it. Returns what it had printed, and how it ended.",
        run=with_client(_cancel),
        parameters=(NAME, _SESSION),
        output=_STANDING,
        destructive=True,
        idempotent=True,
    ),
    Tool(
        name="run_agent",
        description="Start a coding agent in a ready sandbox with a prompt in plain words. Use it"
        " for work that the agent there shall do by itself. Returns at once with the session for"
        " get_prompt_output.",
        run=with_client(_agent_run),
        parameters=(
            NAME,
            Parameter("prompt", "string", "What the agent shall do, in the person's words."),
        ),
        output=_BEGUN,
        destructive=True,
    ),
)
