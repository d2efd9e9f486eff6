"""Sandboxes and waits for them, as objects and as sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_client.api.sandboxes import State
from sandbox_client.errors import (
    InvalidResponse,
    NotReady,
    Paused,
    RuntimeSilent,
    SandboxExpired,
    SandboxFailed,
    SandboxUnreadable,
)
from sandbox_client.listing import format_age
from sandbox_client.text import format_duration, lower_first, pluralize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client.api.sandboxes import Sandbox
    from sandbox_client.errors import SandboxError
    from sandbox_client.listing import Row
    from sandbox_client.readiness import WaitResult

    from .errors import FormatVerb

MAX_SANDBOXES = 100  # of a list, the newest first, unless the user asks for more


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


def list_content(rows: Sequence[Row], limit: int = MAX_SANDBOXES) -> dict[str, object]:
    """Return the first sandboxes of a list as an object.

    `count` counts all of them, and `left_out` those after the first `limit`, if there are any.
    """
    sandboxes = [_row_content(row) for row in rows[:limit]]
    content: dict[str, object] = {"count": len(rows), "sandboxes": sandboxes}
    left_out = len(rows) - len(sandboxes)
    return content | {"left_out": left_out} if left_out else content


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


def readiness_error(done: str, outcome: WaitResult) -> SandboxError:
    """Return the error for a sandbox that was `done` (created, resumed) but is not ready."""
    if outcome.error is not None:
        return unreadable_error(done, outcome, outcome.error)
    if outcome.sandbox and outcome.sandbox.state.is_over:
        kind = SandboxExpired if outcome.sandbox.state is State.EXPIRED else SandboxFailed
        return kind(f"{done} but will not become ready: {outcome.reason}")
    if outcome.sandbox and outcome.sandbox.state is State.READY:
        return RuntimeSilent(
            f"{done} but cannot be used after {outcome.waited:.0f} s: {outcome.reason}",
            advice="Wait some seconds, then run a command with {run}. If it stays silent, restart"
            " it with {pause} and {resume}, which end its processes.",
        )
    if outcome.sandbox and outcome.sandbox.state is State.PAUSED:
        return Paused(f"{done} but is paused after {outcome.waited:.0f} s")
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
    advice = f"Check with {{status}} in a while. If that fails, too, {lower_first(error.advice)}"
    if isinstance(error, InvalidResponse):  # the change itself was answered well
        error = error.after_an_answer()
    if isinstance(error, SandboxUnreadable):
        advice = error.advice
    elif not error.retryable:  # time alone does not help
        advice = f"{error.advice} Then check with {{status}}."
    elif error.retry_after:
        wait = format_duration(error.retry_after)
        advice = f"Wait {wait}, as the proxy asks, then check with {{status}}."
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


def describe_unseen_pause(sandbox: str, outcome: WaitResult, format_verb: FormatVerb) -> str:
    """Return a sentence about a pause that does not show yet."""
    return (
        f"The pause of {sandbox} was accepted and does not show yet after {outcome.waited:.0f} s"
        f" ({outcome.reason}). Check with {format_verb('status')} in a while, and do not resume"
        " before it shows."
    )
