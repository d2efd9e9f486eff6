"""The outcome of each verb as an object, and the words that a model and a person both read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import NeverReady, NotReady
from ._lifecycle import Readiness, State, reason_of, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._wire import CommandResult, Sandbox


def readiness_content(name: str, outcome: Readiness) -> dict[str, object]:
    """Return how a wait for readiness ended, as an object."""
    state = state_of(outcome.sandbox) if outcome.sandbox else State.PENDING
    content: dict[str, object] = {
        "name": name,
        "state": state.value,
        "ready": outcome.ready,
        "waited_seconds": round(outcome.waited, 1),
    }
    return content if outcome.ready else {**content, "reason": outcome.reason}


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


def prompt_content(name: str, result: CommandResult, seconds: float) -> dict[str, object]:
    """Return how a command ended, as an object; without an exit code where there is none."""
    content: dict[str, object] = {
        "name": name,
        "status": result.status,
        "output": result.output,
        "seconds": round(seconds, 1),
    }
    return content if result.exit_code is None else {**content, "exit_code": result.exit_code}


def list_content(rows: Sequence[tuple[Sandbox, State]]) -> dict[str, object]:
    """Return a list of sandboxes, as an object."""
    sandboxes = [
        {"name": sandbox.name, "state": state.value, "created_at": sandbox.created_at}
        for sandbox, state in rows
    ]
    return {"count": len(rows), "sandboxes": sandboxes}


def unready(what: str, outcome: Readiness) -> NotReady:
    """Return what there is to say of `what`, which was waited for in vain."""
    if outcome.sandbox and state_of(outcome.sandbox).is_over:
        return NeverReady(f"{what} but will not become ready: {outcome.reason}")
    return NotReady(
        f"{what} but is NOT ready after {outcome.waited:.0f} s: {outcome.reason}",
        advice="It may still become ready: a new sandbox usually takes 10 to 30 s, an image that"
        " is pulled for the first time some minutes. Ask with {status} in a while; if it stays so,"
        " remove it with {delete} and check the image's name.",
    )


def ending(status: str, exit_code: int | None, seconds: float) -> str:
    """Return the words for how a command ended, or that it has not."""
    after = f"after {seconds:.1f} s"
    if status == "completed":
        return f"exit code {'unknown' if exit_code is None else exit_code}, {after}"
    words = {
        "hard_timeout": "killed at its time limit",
        "terminated": "killed before it ended",
        "no_change_timeout": "no new output for a long time; it still runs in the sandbox",
        "running": "it still runs in the sandbox",
    }
    return f"not completed: {words.get(status, status)}, {after}"
