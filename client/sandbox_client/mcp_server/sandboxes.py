"""The tools for sandboxes (create, status, list, delete, pause, resume) and for the connection."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from sandbox_client.diagnostics import findings_as_dict, format_findings, run_checks
from sandbox_client.errors import SandboxFailed
from sandbox_client.listing import format_age
from sandbox_client.presentation.errors import explain
from sandbox_client.presentation.sandboxes import (
    MAX_SANDBOXES,
    describe_old_entries,
    describe_unseen_pause,
    format_created,
    list_content,
    pause_content,
    pause_error,
    readiness_content,
    readiness_error,
    status_content,
)
from sandbox_client.readiness import WaitResult
from sandbox_client.text import as_word, format_left_out

from .tool import Parameter, Result, format_verb, tool

if TYPE_CHECKING:
    from sandbox_client.client import Client
    from sandbox_client.listing import Row
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.provider import ClientProvider

Name = Annotated[str, Parameter("Sandbox name.")]

_READINESS: Final = {
    "name": "string",
    "state": "string",
    "ready": "boolean",
    "waited_seconds": "number",
    "reason?": "string",
}


@tool("create", output={**_READINESS, "image": "string", "old_entries?": "integer"})
async def create_sandbox(
    client: "Client",
    on_progress: "ProgressCallback",
    *,
    name: Annotated[
        str,
        Parameter(
            "A new name: lower-case letters, digits and hyphens, a letter first, at most 63."
        ),
    ],
    image: Annotated[str | None, Parameter("A container image; the default if left out.")] = None,
    port: Annotated[
        int | None,
        Parameter("The runtime's port; the default if left out.", minimum=1, maximum=65535),
    ] = None,
) -> Result:
    """Create a sandbox and wait until it is ready (60 s at most).

    Use it before the first command. Returns whether it is ready, and the reason if not.
    """
    outcome = await client.create(name, image=image, port=port, on_progress=on_progress)
    done = f"created from {as_word(outcome.image)}" if outcome.image else "created"
    result = _readiness_result(name, outcome, done)
    return replace(result, content={**(result.content or {}), "image": outcome.image})


@tool(
    "status",
    output={
        "name": "string",
        "state": "string",
        "ready": "boolean",
        "reason": "string",
        "created_at": "string",
    },
    read_only=True,
    idempotent=True,
)
async def get_sandbox_status(client: "Client", *, name: Name) -> Result:
    """Tell the state of a sandbox: pending, starting, ready, paused, failed or expired.

    Use it when a wait ended early or a command was refused. Returns the state and the controller's
    reason.
    """
    sandbox = await client.status(name)
    text = f"Sandbox '{name}' is {sandbox.state.value} ({sandbox.explanation})"
    return Result(f"{text}, {format_created(sandbox)}.", status_content(sandbox))


@tool(
    "list",
    output={"count": "integer", "sandboxes": "array", "left_out?": "integer"},
    read_only=True,
    idempotent=True,
)
async def list_sandboxes(client: "Client") -> Result:
    """List the user's sandboxes.

    Use it when a name is not known. Returns name, state in one word and age of each, newest first,
    100 at most, and marks those that are up for more than a day.
    """
    rows = await client.list()
    content = list_content(rows)
    if not rows:
        return Result(f"No sandboxes. {format_verb('create')} creates one.", content)
    lines = [
        f"- {as_word(row.sandbox.name)}: {_format_state(row)}, {_format_age(row)}"
        for row in rows[:MAX_SANDBOXES]
    ]
    count = "1 sandbox" if len(rows) == 1 else f"{len(rows)} sandboxes"
    more = format_left_out(len(rows) - len(lines), "list")
    return Result(
        "\n".join([f"{count}, newest first:", *lines, *([more] if more else [])]), content
    )


@tool("delete", output={"name": "string", "deleted": "boolean"}, destructive=True)
async def delete_sandbox(
    client: "Client", on_progress: "ProgressCallback", *, name: Name
) -> Result:
    """Delete a sandbox for good, with /home/gem and /tmp.

    The proxy may keep /sandbox for a new one of that name.
    Use it only when the user asked for it. Returns a confirmation.
    """
    text = (
        f"Sandbox '{name}' was deleted, with /home/gem and /tmp. The name is free again. The proxy"
        " may keep its /sandbox: a new sandbox of that name then has the old files."
    )
    if not await client.delete(name, on_progress=on_progress):
        text = f"Sandbox '{name}' no longer exists; the proxy's response was lost."
    return Result(text, {"name": name, "deleted": True})


@tool(
    "pause",
    output={"name": "string", "state": "string", "reason?": "string"},
    destructive=True,
    idempotent=True,
)
async def pause_sandbox(client: "Client", on_progress: "ProgressCallback", *, name: Name) -> Result:
    """Stop a sandbox and wait until it is paused: all processes end.

    /sandbox stays, /home/gem and /tmp are emptied.
    Use it to save resources between sessions. Returns its state.
    """
    outcome = await client.pause(name, on_progress=on_progress)
    content = pause_content(name, outcome)
    if error := pause_error(f"sandbox '{name}'", outcome):
        return Result(explain(error, format_verb), content, is_error=True)
    if not outcome.reached:
        text = describe_unseen_pause(f"sandbox '{name}'", outcome, format_verb)
        return Result(text, content)
    text = (
        f"Sandbox '{name}' is paused: its processes end, /sandbox stays, /home/gem and /tmp are"
        f" emptied. {format_verb('resume')} starts it."
    )
    return Result(text, content)


@tool("resume", output=_READINESS, idempotent=True)
async def resume_sandbox(
    client: "Client", on_progress: "ProgressCallback", *, name: Name
) -> Result:
    """Start a paused sandbox and wait until it is ready (60 s at most).

    Use it after a pause, before the next command. Returns whether it is ready, and the reason if
    not.
    """
    outcome = await client.resume(name, on_progress=on_progress)
    if outcome.was_ready and outcome.reached:
        text = f"Sandbox '{name}' is ready, and was ready before."
        return Result(text, {**readiness_content(name, outcome), "was_ready": True})
    return _readiness_result(name, outcome, "resumed")


@tool("check", output={"ok": "boolean", "checks": "array"}, read_only=True, idempotent=True)
async def check_connection(provider: "ClientProvider", on_progress: "ProgressCallback") -> Result:
    """Check configuration, proxy, API key, clock and quota.

    Use it when calls fail for no clear reason. Returns a line for each check: passed, warned,
    failed or not tried, with the fix.
    """
    findings = await run_checks(provider, report=on_progress)
    # A failed check is a result, not an error of the tool.
    return Result(format_findings(findings, format_verb), findings_as_dict(findings, format_verb))


def _readiness_result(name: str, outcome: WaitResult, done: str) -> Result:
    """Return the result for a sandbox that was `done` (created, resumed)."""
    content = readiness_content(name, outcome)
    if outcome.reached:
        after = f"ready after {outcome.waited:.1f} s"
        advice = f"Run commands in it with {format_verb('run')}."
        old = f" {describe_old_entries(outcome)}".rstrip()
        return Result(f"Sandbox '{name}' was {done} and is {after}.{old} {advice}", content)
    error = readiness_error(f"Sandbox '{name}' was {done}", outcome)
    # A sandbox that may still become ready is not an error: the request was fulfilled.
    is_error = outcome.error is not None or isinstance(error, SandboxFailed)
    return Result(explain(error, format_verb), content, is_error=is_error)


def _format_state(row: "Row") -> str:
    return f"{row.state.value} ({row.reason})" if row.reason else row.state.value


def _format_age(row: "Row") -> str:
    age = f"made {format_age(row.age)} ago" if row.age is not None else "of unknown age"
    if row.is_up_for_long:
        return f"{age}: UP FOR MORE THAN A DAY, pause or delete it if it is not needed"
    return age
