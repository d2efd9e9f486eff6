"""Commands and sessions, as objects and as sentences."""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING

from sandbox_client.listing import format_age
from sandbox_client.masking import visible
from sandbox_client.text import as_word, last_line, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client.activity import IdleSandbox, SandboxCommand, SandboxCommands
    from sandbox_client.api.runtime import SessionRow, Signal
    from sandbox_client.execution.result import CommandResult
    from sandbox_client.truncation import TruncatedText


NOT_FOUND = 127  # the exit code of a shell for a program that does not exist
MAX_LISTED = 50  # sessions, the newest first, unless the user asks for more
MAX_COMMAND = 1_000  # characters of a session's command line
# The runtime removes sessions with pipes that have been idle for an hour.
WITHOUT_SESSIONS = "no command has run since its start, or none in the last hour"


def prompt_content(
    result: CommandResult, shown: TruncatedText, errors: TruncatedText | None = None
) -> dict[str, object]:
    """Return the result of a command as an object, with an exit code if there is one.

    `shown` is the output and `errors` standard error, None if the output contains it.
    """
    content: dict[str, object] = {
        "name": result.name,
        "session": result.session,
        "status": result.status.state,
        "output": shown.text,
        "next_after": shown.after,
        "left_out": shown.left_out,
        "seconds": round(result.seconds, 1),
    }
    if shown.gone:
        content["gone"] = shown.gone
    if errors is not None:
        content |= {"stderr": errors.text, "next_stderr_after": errors.after}
        if errors.left_out:
            content["stderr_left_out"] = errors.left_out
        if errors.gone:
            content["stderr_gone"] = errors.gone
    if result.signals:
        content["signals"] = list(result.signals)
    code = result.status.exit_code
    return content if code is None else {**content, "exit_code": code}


def sessions_content(
    name: str,
    rows: Sequence[tuple[SessionRow, CommandResult | None]],
    limit: int = MAX_LISTED,
) -> dict[str, object]:
    """Return the newest sessions of a sandbox, with their commands, as an object.

    `count` counts all of them, and `left_out` those after the first `limit`, if there are any.
    """
    listed = [_session_content(row, last) for row, last in rows[:limit]]
    content: dict[str, object] = {"name": name, "count": len(rows), "sessions": listed}
    left_out = len(rows) - len(listed)
    return content | {"left_out": left_out} if left_out else content


def _session_content(row: SessionRow, last: CommandResult | None) -> dict[str, object]:
    content: dict[str, object] = {
        "session": row.id,
        "status": _state_name(row, last),
        "command": _cut(visible(last.status.command if last else row.command)),
        "created_at": row.created_at,
        "used_at": row.used_at,
    }
    code = last.status.exit_code if last else None
    return content if code is None else {**content, "exit_code": code}


def activity_content(
    found: Sequence[SandboxCommands], sandboxes: int, commands: int
) -> dict[str, object]:
    """Return the first commands of the first sandboxes as an object.

    `count` counts all of them, and `left_out` those that are not listed, if there are any.
    """
    listed = [_sandbox_content(each, commands) for each in found[:sandboxes]]
    content: dict[str, object] = {"count": len(found), "sandboxes": listed}
    left_out = len(found) - len(listed)
    return content | {"left_out": left_out} if left_out else content


def _sandbox_content(found: SandboxCommands, most: int) -> dict[str, object]:
    row, left_out = found.row, len(found.commands) - most
    content: dict[str, object] = {
        "name": row.sandbox.name,
        "state": row.state.value,
        "created_at": row.sandbox.created_at,
        "age": format_age(row.age),
        "idle": found.is_idle,
        "count": len(found.commands),
        "commands": [_command_content(each) for each in found.commands[:most]],
    }
    if left_out > 0:
        content["left_out"] = left_out
    return content | {"reason": found.reason} if found.reason else content


def _command_content(command: SandboxCommand) -> dict[str, object]:
    content: dict[str, object] = {
        "session": command.session,
        "status": command.state,
        "command": _cut(visible(command.command)),
        "last_line": command.last_line,
    }
    if command.started_at:
        content["started_at"] = command.started_at
    if command.ran is not None:
        content["seconds"] = int(command.ran.total_seconds())
    return content if command.exit_code is None else {**content, "exit_code": command.exit_code}


def idle_content(row: IdleSandbox) -> dict[str, object]:
    """Return how long a sandbox is idle, or why it is not paused, as an object."""
    content: dict[str, object] = {"name": row.row.sandbox.name, "idle": format_age(row.idle)}
    return content | {"reason": row.reason} if row.reason else content


def _cut(command: str) -> str:
    return command if len(command) <= MAX_COMMAND else f"{command[: MAX_COMMAND - 1]}…"


def format_sessions(
    rows: Sequence[tuple[SessionRow, CommandResult | None]], limit: int = MAX_LISTED
) -> list[str]:
    """Return a line for each of the newest sessions."""
    return [_format_session(row, last) for row, last in rows[:limit]]


def _format_session(row: SessionRow, last: CommandResult | None) -> str:
    """Return a line about the last command of a session, and the last line of its output."""
    command = one_line(last.status.command if last else row.command)
    code = last.status.exit_code if last else "unknown"
    text = {
        "running": f"runs {command}",
        "completed": f"ended with exit code {code}: {command}",
        "killed": f"was killed: {command}",
        "timed_out": f"was killed by its time limit: {command}",
        "empty": "has run nothing",
        "unknown": "exists",
        "ended": "has ended; its command is not known",
    }
    line = last_line(last.printed) if last else ""
    return f"{as_word(row.id)} {text[_state_name(row, last)]}" + (f"\n    {line}" if line else "")


def _state_name(row: SessionRow, last: CommandResult | None) -> str:
    if last is not None:
        return last.status.state
    return "running" if row.running else "ended"


def describe_ending(result: CommandResult) -> str:
    """Describe the status of a command and the effect of the signals that were sent."""
    status = _describe_status(result)
    if result.was_over:
        is_empty = result.status.state == "empty"
        before = status if is_empty else f"it had ended before ({status})"
        return f"{before}: nothing was killed"
    if not result.signals:
        return status
    # On a terminal, SIGTERM and SIGKILL are the same request.
    sent = list(dict.fromkeys(_signal_name(each, result) for each in result.signals))
    if not result.status.has_ended:
        if result.read_error:
            return f"{_join(sent)} sent; whether the command has ended is not known"
        return f"{status}; {_join(sent)} did not end it"
    return _describe_effect(result, status, sent)


def _describe_effect(result: CommandResult, status: str, sent: Sequence[str]) -> str:
    """Describe the end of a command after signals; it may have ended by itself meanwhile."""
    effective = _effective_signal(result)
    if effective not in sent:
        return f"{status}; {_join(sent)} sent, but it may have ended for another reason"
    before = sent[: sent.index(effective)]
    without_effect = f"; {_join(before)} did not end it" if before else ""
    if result.status.state == "killed":
        return f"killed by {effective}{without_effect}"
    return f"{status}, ended by {effective}{without_effect}"


def _effective_signal(result: CommandResult) -> str:
    """Return the name of the signal that has ended a command; empty if that is unknown."""
    code = result.status.exit_code
    if result.api == "pipes":
        return _name_of_signal(code - 128) if code is not None and code > 128 else ""
    if result.status.state == "killed":
        return _signal_name("SIGKILL", result)
    return _signal_name("SIGINT", result) if code == 128 + Signals.SIGINT else ""


def describe_missing_agent(template: str) -> str:
    """Return a sentence about a coding agent that the sandbox does not have."""
    return (
        f"The sandbox lacks a program of the agent's command line: {template}. Install it there, or"
        " name another agent in agentCommand."
    )


def describe_unset_variables(names: Sequence[str]) -> str:
    """Return a sentence about variables that an agent does not get, as they are not set here."""
    return (
        f"agentEnvironment names {', '.join(names)}, which"
        f" {'is' if len(names) == 1 else 'are'} not set on this machine: the agent does without."
    )


def describe_unreachable(result: CommandResult) -> str:
    """Describe why a command could not be read in the end; return "" if it could."""
    if not result.read_error:
        return ""
    if result.status.has_ended:
        return f"its output could not be read to the end: {result.read_error}"
    since = f" for {result.unread_for:.0f} s" if result.unread_for >= 1 else ""
    return f"in the end it could not be reached{since}: {result.read_error}"


def _join(words: Sequence[str]) -> str:
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last


def _signal_name(signal: Signal, result: CommandResult) -> str:
    if result.api == "pipes":
        return signal
    return "Ctrl-C" if signal == "SIGINT" else "the runtime's kill"


def _describe_status(result: CommandResult) -> str:
    code = result.status.exit_code
    after = f", after {result.seconds:.1f} s" if result.started else ""
    match result.status.state:
        case "completed":
            return f"exit code {'unknown' if code is None else code}{after}"
        case "killed":
            signal = "" if code is None else f" by {_name_of_signal(code - 128)}"
            return f"killed{signal}{after}"
        case "timed_out":
            limit = f" of {result.time_limit:g} s" if result.time_limit else ""
            return f"killed by its time limit{limit}{after}"
        case "empty":
            return f"no command has run in session '{result.session}'"
        case "unknown":
            return f"its state is not known, in session '{result.session}'"
        case _:
            is_long = result.seconds >= 0.05
            waited = after or (f", waited for {result.seconds:.1f} s" if is_long else "")
            if result.read_error:
                return f"last known to be running in session '{result.session}'{waited}"
            return f"still running in session '{result.session}'{waited}"


def _name_of_signal(signal: int) -> str:
    """Return the name of a signal, such as SIGTERM."""
    try:
        return Signals(signal).name
    except ValueError:
        return f"signal {signal}"
