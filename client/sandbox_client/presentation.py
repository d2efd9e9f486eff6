"""The results of the verbs as objects and as sentences, and the text of an error.

The tools and the terminal commands use both; they differ in how they write a verb.
"""

from __future__ import annotations

import re
from signal import Signals
from typing import TYPE_CHECKING, Literal, get_args

from sandbox_client.masking import visible
from sandbox_client.text import as_word, last_line, one_line, pluralize

from .api.sandboxes import State
from .errors import NotReady, SandboxExpired, SandboxFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from .api.runtime import SessionRow, Signal
    from .api.sandboxes import Sandbox
    from .errors import SandboxError
    from .execution.result import CommandResult
    from .listing import Row
    from .readiness import WaitResult
    from .truncation import TruncatedText


NOT_FOUND = 127  # the exit code of a shell for a program that does not exist
MAX_SANDBOXES = 100  # of a list in a tool's result and in a terminal, the newest first
MAX_LISTED = 50  # sessions, the last used first
MAX_COMMAND = 1_000  # characters of a session's command line

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


def readiness_content(name: str, outcome: WaitResult) -> dict[str, object]:
    """Return the result of a wait for readiness as an object."""
    content: dict[str, object] = {
        "name": name,
        "state": outcome.state.value,
        "ready": outcome.reached,
        "waited_seconds": round(outcome.waited, 1),
    }
    if not outcome.reached:
        return {**content, "reason": outcome.reason}
    return {**content, "old_entries": outcome.old_entries} if outcome.old_entries else content


def describe_old_entries(outcome: WaitResult) -> str:
    """Return a sentence about files that a new sandbox has; empty if it has none."""
    if not outcome.old_entries:
        return ""
    count = pluralize(outcome.old_entries, "entry")
    return (
        f"Its /sandbox already has {count}: from a deleted sandbox of that name, or from the image."
    )


def status_content(sandbox: Sandbox) -> dict[str, object]:
    """Return the state of a sandbox as an object."""
    state = sandbox.state
    return {
        "name": sandbox.name,
        "state": state.value,
        "ready": state is State.READY,
        "reason": sandbox.explanation,
        "created_at": sandbox.created_at,
    }


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
    limit: int | None = MAX_LISTED,
) -> dict[str, object]:
    """Return the first sessions of a sandbox, the last used, with their commands as an object.

    `count` counts all of them, and `left_out` those after the first `limit`, if there are any.
    """
    listed = [_session_content(row, last) for row, last in rows[:limit]]
    content: dict[str, object] = {"name": name, "count": len(rows), "sessions": listed}
    return _with_left_out(content, len(rows) - len(listed))


def _with_left_out(content: dict[str, object], number: int) -> dict[str, object]:
    return {**content, "left_out": number} if number else content


def _session_content(row: SessionRow, last: CommandResult | None) -> dict[str, object]:
    content: dict[str, object] = {
        "session": row.id,
        "status": _state_name(row, last),
        "command": _cut(visible(last.status.command if last else row.command)),
        "used_at": row.used_at,
    }
    code = last.status.exit_code if last else None
    return content if code is None else {**content, "exit_code": code}


def _cut(command: str) -> str:
    return command if len(command) <= MAX_COMMAND else f"{command[: MAX_COMMAND - 1]}…"


def format_sessions(
    rows: Sequence[tuple[SessionRow, CommandResult | None]], *, name: str
) -> list[str]:
    """Return a line for each of the first MAX_LISTED sessions, and one about the others."""
    lines = [_format_session(row, last) for row, last in rows[:MAX_LISTED]]
    more = format_left_out(len(rows) - len(lines), f"output {name}")
    return [*lines, more] if more else lines


def format_left_out(number: int, command: str) -> str:
    """Return a line about the rest of a list, with the command line for all; empty if none is."""
    return f"… and {number} more: `remote-sandbox {command} --json` lists all" if number else ""


def join_names(names: Sequence[str], limit: int) -> str:
    """Join the first names of a proxy's list, and count those after `limit`."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(as_word, names[:limit])) + more


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


def list_content(rows: Sequence[Row], limit: int | None = MAX_SANDBOXES) -> dict[str, object]:
    """Return the first sandboxes of a list as an object.

    `count` counts all of them, and `left_out` those after the first `limit`, if there are any.
    """
    sandboxes = [_row_content(row) for row in rows[:limit]]
    content: dict[str, object] = {"count": len(rows), "sandboxes": sandboxes}
    return _with_left_out(content, len(rows) - len(sandboxes))


def _row_content(row: Row) -> dict[str, object]:
    content: dict[str, object] = {
        "name": row.sandbox.name,
        "state": row.state.value,
        "created_at": row.sandbox.created_at,
        "age": format_age(row.age),
        "up_for_long": row.is_up_for_long,
    }
    return content | {"reason": row.reason} if row.reason else content


def format_created(sandbox: Sandbox) -> str:
    """Return when a sandbox was created, as the end of a sentence."""
    return f"created {sandbox.created_at or 'at an unknown time'}"


def format_age(age: timedelta | None) -> str:
    """Format an age in the largest unit that fits."""
    if age is None:
        return "unknown"
    minutes = max(0, int(age.total_seconds())) // 60
    if minutes < 1:
        return "< 1 min"
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 24 else pluralize(hours // 24, "day")


def readiness_error(done: str, outcome: WaitResult) -> SandboxError:
    """Return the error for a sandbox that was `done` (created, resumed) but is not ready."""
    if outcome.error is not None:
        return unreadable_error(done, outcome, outcome.error)
    if outcome.sandbox and outcome.sandbox.state.is_over:
        kind = SandboxExpired if outcome.sandbox.state is State.EXPIRED else SandboxFailed
        return kind(f"{done} but will not become ready: {outcome.reason}")
    return NotReady(
        f"{done} but is NOT ready after {outcome.waited:.0f} s: {outcome.reason}",
        advice="It may still become ready: a new sandbox usually takes 10 to 30 s, an image that"
        " is pulled for the first time some minutes. Check with {status} in a while; if it is"
        " still not ready, remove it with {delete} and check the image's name.",
    )


def unreadable_error(done: str, outcome: WaitResult, error: SandboxError) -> SandboxError:
    """Return the error for a change that was `done`, after which the status cannot be read.

    Its cause is that of `error`, such as the network, as the sandbox may be in any state.
    """
    since = "cannot be read"
    if outcome.unread_for >= 1:
        since = f"has not been readable for {outcome.unread_for:.0f} s"
    advice = f"Check with {{status}} in a while. If that fails, too: {error.advice}"
    if error.retry_after:
        advice = f"Wait {error.retry_after:.0f} s, as the proxy asks, then check with {{status}}."
    return error.but(message=f"{done}, but its status {since}: {error.message}", advice=advice)


def pause_content(name: str, outcome: WaitResult) -> dict[str, object]:
    """Return the result of a pause as an object, with the state that the status shows."""
    content: dict[str, object] = {"name": name, "state": outcome.state.value}
    return content | {"reason": outcome.reason} if outcome.error else content


def pause_error(sandbox: str, outcome: WaitResult) -> SandboxError | None:
    """Return the error for a pause after which the status cannot be read; None if it can."""
    if outcome.error is None:
        return None
    return unreadable_error(f"The pause of {sandbox} was accepted", outcome, outcome.error)


def describe_unseen_pause(
    sandbox: str, outcome: WaitResult, format_verb: Callable[[Verb], str]
) -> str:
    """Return a sentence about a pause that does not show yet."""
    return (
        f"The pause of {sandbox} was accepted and does not show yet after {outcome.waited:.0f} s"
        f" ({outcome.reason}). Check with {format_verb('status')} in a while, and do not resume"
        " before it shows."
    )


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
