"""The tools for commands: send a prompt, follow it, cancel it, run an agent."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from sandbox_client.masking import visible
from sandbox_client.output import REPLACEMENT
from sandbox_client.polling import DEFAULT_WAIT
from sandbox_client.presentation.commands import (
    MAX_LISTED,
    NOT_FOUND,
    WITHOUT_SESSIONS,
    describe_ending,
    describe_missing_agent,
    describe_unreachable,
    describe_unset_variables,
    format_sessions,
    prompt_content,
    sessions_content,
)
from sandbox_client.prompts import MAX_WAIT
from sandbox_client.text import format_left_out, pluralize
from sandbox_client.truncation import head_and_tail, page, tail

from .sandboxes import Name
from .tool import Parameter, Result, format_verb, tool

if TYPE_CHECKING:
    from sandbox_client.client import Client
    from sandbox_client.execution.result import CommandResult
    from sandbox_client.output import Output
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.truncation import TruncatedText

STDERR_MARK: Final = "[standard error]"
_DEFAULT_WAIT: Final = int(DEFAULT_WAIT)  # seconds

_SESSION: Final = Parameter("The session that an earlier result named.")
WaitSeconds = Annotated[
    int,
    Parameter(
        f"How long to wait; {_DEFAULT_WAIT} if left out, 0 not at all.",
        minimum=0,
        maximum=int(MAX_WAIT),
    ),
]

_STARTED: Final = {"name": "string", "session": "string", "status": "string"}
_COMMAND: Final = {
    **_STARTED,
    "output": "string",
    "next_after": "integer",
    "left_out": "integer",
    "stderr?": "string",
    "next_stderr_after?": "integer",
    "seconds": "number",
    "exit_code?": "integer",
}
_COMMAND_OR_SESSIONS: Final = {
    "name": "string",
    **{f"{name.rstrip('?')}?": kind for name, kind in _COMMAND.items() if name != "name"},
    "count?": "integer",
    "sessions?": "array",
}


@tool("run", output=_COMMAND, destructive=True)
async def send_prompt_to_sandbox(
    client: "Client",
    on_progress: "ProgressCallback",
    *,
    name: Name,
    command: Annotated[str, Parameter("The shell command, for example: ls -la")],
    wait_seconds: WaitSeconds = _DEFAULT_WAIT,
    session: Annotated[
        str | None,
        Parameter(
            "A shell to run in, where cd and export last, with standard error in the output; a new"
            " one if left out."
        ),
    ] = None,
) -> Result:
    """Run a shell command in a ready sandbox.

    Use it for all work there. Returns output and exit code if it ends within wait_seconds; else
    its session, its output so far, and the next step.
    """
    result = await client.run(
        name, command, wait=wait_seconds, session=session, on_progress=on_progress
    )
    return _command_result(result, head_and_tail if result.status.has_ended else tail)


@tool("output", "sessions", output=_COMMAND_OR_SESSIONS, read_only=True, idempotent=True)
async def get_prompt_output(
    client: "Client",
    on_progress: "ProgressCallback",
    *,
    name: Name,
    session: Annotated[str | None, _SESSION] = None,
    wait_seconds: WaitSeconds = _DEFAULT_WAIT,
    after: Annotated[
        int | None,
        Parameter("Start position: next_after of the previous result.", minimum=0),
    ] = None,
    stderr_after: Annotated[
        int | None,
        Parameter("The same for standard error: next_stderr_after.", minimum=0),
    ] = None,
) -> Result:
    """Wait for more output of a command, or for its end.

    Use it with the session that another tool named; without one it lists the sessions. Returns
    2 s after new output comes, only output from position `after` on, 30000 characters at most, and
    whether it runs, ended (exit code) or was killed.
    """
    if session is None:
        return await _list_sessions(client, name)
    result = await client.output(
        name,
        session,
        after=after or 0,
        stderr_after=stderr_after or 0,
        wait=wait_seconds,
        on_progress=on_progress,
    )
    is_whole = after is None and stderr_after is None
    return _command_result(result, head_and_tail if is_whole else page)


@tool("cancel", output={**_COMMAND, "signals?": "array"}, destructive=True, idempotent=True)
async def cancel_prompt(
    client: "Client",
    on_progress: "ProgressCallback",
    *,
    name: Name,
    session: Annotated[str, _SESSION],
) -> Result:
    """Kill the command that runs in a session.

    Use it when the user wants it to stop: nothing else stops it. Returns its output and how it
    ended.
    """
    result = await client.cancel(name, session, on_progress=on_progress)
    return _command_result(result, head_and_tail)


@tool("agent", output=_STARTED, destructive=True)
async def run_agent(
    client: "Client",
    on_progress: "ProgressCallback",
    *,
    name: Name,
    prompt: Annotated[str, Parameter("The task, in the user's words.")],
    directory: Annotated[
        str | None,
        Parameter("Where it works, as send_repository returned it; /sandbox if left out."),
    ] = None,
) -> Result:
    """Start a coding agent in a ready sandbox with a prompt in plain words.

    Use it for work that the agent should do by itself. Returns at once with the session for
    get_prompt_output.
    """
    started = await client.run_agent(name, prompt, directory=directory, on_progress=on_progress)
    config = client.proxy.config
    is_missing = started.status.exit_code == NOT_FOUND
    hint = describe_missing_agent(config.agent_command) if is_missing else ""
    if not hint and config.unset_agent_variables:
        hint = describe_unset_variables(config.unset_agent_variables)
    result = _command_result(started, tail, hint=hint)
    return replace(result, content={key: (result.content or {})[key] for key in _STARTED})


async def _list_sessions(client: "Client", name: str) -> Result:
    rows = await client.sessions(name)
    content = sessions_content(name, rows)
    if not rows:
        text = f"Sandbox '{name}' has no sessions: {WITHOUT_SESSIONS}."
        return Result(f"{text} {format_verb('run')} runs a command.", content)
    more = format_left_out(len(rows) - MAX_LISTED, f"output {name}")
    lines = [
        f"{pluralize(len(rows), 'session')} of '{name}', newest first:",
        *(f"- {line}" for line in format_sessions(rows)),
        *([more] if more else []),
        f"{format_verb('output')} with one of them as session shows its output.",
    ]
    return Result("\n".join(lines), content)


class _Truncate(Protocol):
    """Select the part of an output to show; `name` is the argument that continues it."""

    def __call__(self, output: "Output", *, name: str = "after") -> "TruncatedText": ...


def _command_result(command: "CommandResult", truncate: _Truncate, *, hint: str = "") -> Result:
    """Return the state of a command and the next step, then its output.

    The output comes last, after its length, so that no part of it can pass for the tool's own text.
    """
    stdout = _visible(truncate(command.output))
    stderr = None
    if command.errors:
        stderr = _visible(truncate(command.errors, name="stderr_after"))
    stdout_text = stdout.text.rstrip()
    stderr_text = stderr.text.rstrip() if stderr is not None else ""
    notes = [
        describe_ending(command),
        describe_unreachable(command),
        hint or _explain_exit_code(command),
        _format_next_call(command, stdout, stderr),
        _format_replacements(stdout_text + stderr_text),
        _format_lengths(stdout_text, stderr_text, command),
    ]
    lines = [f"[{note}]" for note in notes if note]
    lines += [stdout_text] if stdout_text else []
    lines += [STDERR_MARK, stderr_text] if stderr_text else []
    return Result("\n".join(lines), prompt_content(command, stdout, stderr))


def _visible(output: "TruncatedText") -> "TruncatedText":
    return replace(output, text=visible(output.text))


def _explain_exit_code(command: "CommandResult") -> str:
    if command.status.exit_code != NOT_FOUND:
        return ""
    return "Exit code 127: the shell did not find a program."


def _format_next_call(
    command: "CommandResult", stdout: "TruncatedText", stderr: "TruncatedText | None"
) -> str:
    """Return the call that follows a command without a known end, as a model can copy it."""
    if command.status.has_ended:
        return ""
    arguments = {"name": command.name, "session": command.session, "after": stdout.after}
    if stderr is not None and stderr.after:
        arguments["stderr_after"] = stderr.after
    is_known_to_run = command.status.state == "running" and not command.read_error
    keeps_running = "The command keeps running. " if is_known_to_run else ""
    return (
        f"{keeps_running}{format_verb('output')} {json.dumps(arguments)} waits for more output;"
        f" {format_verb('cancel')} kills it."
    )


def _format_replacements(text: str) -> str:
    if not (count := text.count(REPLACEMENT)):
        return ""
    return (
        f"{pluralize(count, 'character')} may be bytes that are not UTF-8, shown as {REPLACEMENT}."
    )


def _format_lengths(stdout: str, stderr: str, command: "CommandResult") -> str:
    if not stdout and not stderr:
        if command.output.text or (command.errors and command.errors.text):
            return "It has printed blank lines only."
        start = command.output.start or (command.errors.start if command.errors else 0)
        return "Nothing new." if start else "It has printed nothing."
    lengths = [f"{pluralize(len(stdout), 'character')} of output"] if stdout else []
    if stderr:
        lengths.append(f"{pluralize(len(stderr), 'character')} of standard error")
    mixed = ", with standard error in it" if command.errors is None else ""
    return f"Below: {' and '.join(lengths)}{mixed}."
