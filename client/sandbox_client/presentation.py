"""The outcome of each verb as an object, and the words that a model and a person both read."""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING

from sandbox_client.text import last_line, one_line, pluralize

from .errors import NotReady, SandboxFailed
from .readiness import State, WaitResult, reason_of, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from .api.runtime import SessionRow, Signal
    from .api.sandboxes import Sandbox
    from .prompts import CommandResult
    from .sandboxes import Row
    from .truncation import TruncatedText


NOT_FOUND = 127  # a shell's exit code for a program that is not there
MAX_LISTED = 50  # sessions, the last used first


def readiness_content(name: str, outcome: WaitResult) -> dict[str, object]:
    """Return how a wait for readiness ended, as an object."""
    state = state_of(outcome.sandbox) if outcome.sandbox else State.PENDING
    content: dict[str, object] = {
        "name": name,
        "state": state.value,
        "ready": outcome.reached,
        "waited_seconds": round(outcome.waited, 1),
    }
    return content if outcome.reached else {**content, "reason": outcome.reason}


def status_content(sandbox: Sandbox) -> dict[str, object]:
    """Return a sandbox's state, as an object."""
    state = state_of(sandbox)
    return {
        "name": sandbox.name,
        "state": state.value,
        "ready": state is State.READY,
        "reason": reason_of(sandbox),
        "created_at": sandbox.created_at,
    }


def prompt_content(
    prompt: CommandResult, shown: TruncatedText, errors: TruncatedText | None = None
) -> dict[str, object]:
    """Return how a command stands, as an object; without an exit code where there is none.

    `errors` is its standard error, where that is not in the output.
    """
    content: dict[str, object] = {
        "name": prompt.name,
        "session": prompt.session,
        "status": prompt.status.state,
        "output": shown.text,
        "next_after": shown.after,
        "left_out": shown.left_out,
        "seconds": round(prompt.seconds, 1),
    }
    if shown.gone:
        content["gone"] = shown.gone
    if errors is not None:
        content |= {"stderr": errors.text, "next_stderr_after": errors.after}
        if errors.left_out:
            content["stderr_left_out"] = errors.left_out
        if errors.gone:
            content["stderr_gone"] = errors.gone
    if prompt.signals:
        content["signals"] = list(prompt.signals)
    code = prompt.status.exit_code
    return content if code is None else {**content, "exit_code": code}


def sessions_content(
    name: str, rows: Sequence[tuple[SessionRow, CommandResult | None]]
) -> dict[str, object]:
    """Return what runs and what ended in a sandbox, as an object."""
    return {
        "name": name,
        "count": len(rows),
        "sessions": [_session_content(row, seen) for row, seen in rows[:MAX_LISTED]],
    }


def _session_content(row: SessionRow, seen: CommandResult | None) -> dict[str, object]:
    content: dict[str, object] = {
        "session": row.id,
        "status": _standing(row, seen),
        "command": seen.status.command if seen else row.command,
        "used_at": row.used_at,
    }
    code = seen.status.exit_code if seen else None
    return content if code is None else {**content, "exit_code": code}


def told_sessions(rows: Sequence[tuple[SessionRow, CommandResult | None]]) -> list[str]:
    """Return a line for each of so many sessions, and one for how many more there are."""
    lines = [_told_session(row, seen) for row, seen in rows[:MAX_LISTED]]
    more = len(rows) - len(lines)
    return [*lines, f"… and {more} more"] if more else lines


def _told_session(row: SessionRow, seen: CommandResult | None) -> str:
    """Return a line that tells what a session's last command does, or did."""
    command = one_line(seen.status.command if seen else row.command)
    code = seen.status.exit_code if seen else "unknown"
    words = {
        "running": f"runs {command}",
        "completed": f"ended with exit code {code}: {command}",
        "killed": f"was killed: {command}",
        "timed_out": f"was killed by its time limit: {command}",
        "empty": "has run nothing",
        "unknown": "is there",
        "ended": "has ended; what ran in it is not known",
    }
    said = words[_standing(row, seen)]
    line = last_line(seen.printed) if seen else ""
    return f"{row.id} {said}" + (f"\n    {line}" if line else "")


def _standing(row: SessionRow, seen: CommandResult | None) -> str:
    if seen is not None:
        return seen.status.state
    return "running" if row.running else "ended"


def list_content(rows: Sequence[Row]) -> dict[str, object]:
    """Return a list of sandboxes, as an object."""
    sandboxes = [
        {
            "name": row.sandbox.name,
            "state": row.state.value,
            "created_at": row.sandbox.created_at,
            "age": told_age(row.age),
            "up_for_long": row.is_up_for_long,
        }
        for row in rows
    ]
    return {"count": len(rows), "sandboxes": sandboxes}


def told_age(age: timedelta | None) -> str:
    """Return an age in its largest unit."""
    if age is None:
        return "unknown"
    minutes = max(0, int(age.total_seconds())) // 60
    if minutes < 1:
        return "< 1 min"
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 24 else pluralize(hours // 24, "day")


def readiness_error(done: str, outcome: WaitResult) -> NotReady:
    """Return the error for a sandbox that was `done` (created, resumed) and is not ready."""
    if outcome.sandbox and state_of(outcome.sandbox).is_over:
        return SandboxFailed(f"{done} but will not become ready: {outcome.reason}")
    return NotReady(
        f"{done} but is NOT ready after {outcome.waited:.0f} s: {outcome.reason}",
        advice="It may still become ready: a new sandbox usually takes 10 to 30 s, an image that"
        " is pulled for the first time some minutes. Ask with {status} in a while; if it stays so,"
        " remove it with {delete} and check the image's name.",
    )


def pause_content(name: str, outcome: WaitResult) -> dict[str, object]:
    """Return how a pause ended, as an object: the state is the one that the status shows."""
    state = state_of(outcome.sandbox).value if outcome.sandbox else "unknown"
    return {"name": name, "state": state}


def unseen_pause(sandbox: str, outcome: WaitResult) -> str:
    """Return the words for a pause that was accepted and does not show; a verb is in braces."""
    return (
        f"The pause of {sandbox} was accepted and does not show yet after {outcome.waited:.0f} s"
        f" ({outcome.reason}). Ask with {{status}} in a while, and do not resume before it shows."
    )


def ending(prompt: CommandResult) -> str:
    """Return the words for how a command stands, and which signals were sent to it."""
    words = _ending(prompt)
    if prompt.was_over:
        return f"it had ended before ({words}): nothing was killed"
    if not prompt.signals:
        return words
    # On a terminal, two signals are one and the same kill.
    *before, last = dict.fromkeys(_signal(each, prompt) for each in prompt.signals)
    if not prompt.status.has_ended:
        all_sent = _listed([*before, last])
        if prompt.read_error:
            return f"{all_sent} sent; whether the command has ended is not known"
        return f"{words}; {all_sent} did not end it"
    vain = f"; {_listed(before)} did not end it" if before else ""
    if prompt.status.state == "killed":
        return f"killed by {last}{vain}"
    return f"{words}, ended by {last}{vain}"


def agent_missing(template: str) -> str:
    """Return the words for a coding agent that the sandbox does not have."""
    return (
        f"The sandbox lacks a program of the agent's command line: {template}. Install it there, or"
        " name another agent in agentCommand."
    )


def out_of_sight(prompt: CommandResult) -> str:
    """Return the words for a command that could not be looked at in the end; else nothing."""
    if not prompt.read_error:
        return ""
    if prompt.status.has_ended:
        return f"its output could not be read to the end: {prompt.read_error}"
    return f"in the end it could not be reached: {prompt.read_error}"


def _listed(words: Sequence[str]) -> str:
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last


def _signal(signal: Signal, prompt: CommandResult) -> str:
    if prompt.api == "pipes":
        return signal
    return "Ctrl-C" if signal == "SIGINT" else "the runtime's kill"


def _ending(prompt: CommandResult) -> str:
    seen, after = prompt.status, f", after {prompt.seconds:.1f} s" if prompt.started else ""
    match seen.state:
        case "completed":
            code = "unknown" if seen.exit_code is None else seen.exit_code
            return f"exit code {code}{after}"
        case "killed":
            signal = "" if seen.exit_code is None else f" by {_name_of(seen.exit_code - 128)}"
            return f"killed{signal}{after}"
        case "timed_out":
            limit = f" of {prompt.time_limit:g} s" if prompt.time_limit else ""
            return f"killed by its time limit{limit}{after}"
        case "empty":
            return f"no command has run in session '{prompt.session}'"
        case "unknown":
            return f"how it stands is not known, in session '{prompt.session}'"
        case _:
            is_worth_it = prompt.seconds >= 0.05
            waited = after or (f", waited for {prompt.seconds:.1f} s" if is_worth_it else "")
            if prompt.read_error:
                return f"it ran when it was last seen, in session '{prompt.session}'{waited}"
            return f"still running in session '{prompt.session}'{waited}"


def _name_of(signal: int) -> str:
    """Return the name of a signal, such as SIGTERM."""
    try:
        return Signals(signal).name
    except ValueError:
        return f"signal {signal}"
