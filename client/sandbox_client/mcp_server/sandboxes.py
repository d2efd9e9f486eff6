"""The tools for sandboxes: create, status, list, delete, pause, resume; and the check."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from sandbox_client.diagnostics import findings_as_dict, format_findings, run_checks
from sandbox_client.errors import SandboxFailed, format_verbs
from sandbox_client.presentation import (
    describe_unseen_pause,
    format_age,
    list_content,
    pause_content,
    readiness_content,
    readiness_error,
    status_content,
)
from sandbox_client.readiness import READY_DEADLINE, WaitResult, reason_of, state_of

from .tool import Argument, Result, format_verb, tool

if TYPE_CHECKING:
    from sandbox_client.client import Client
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.provider import ClientProvider
    from sandbox_client.sandboxes import Row


Name = Annotated[str, Argument("The sandbox's name.")]

_READINESS: Final = {
    "name": "string",
    "state": "string",
    "ready": "boolean",
    "waited_seconds": "number",
    "reason?": "string",
}


def _readiness(name: str, outcome: WaitResult, done: str) -> Result:
    content = readiness_content(name, outcome)
    if outcome.reached:
        after = f"ready after {outcome.waited:.1f} s"
        advice = f"Run commands in it with {format_verb('run')}."
        return Result(f"Sandbox '{name}' was {done} and is {after}. {advice}", content)
    error = readiness_error(f"Sandbox '{name}' was {done}", outcome)
    # One that may still become ready was made as asked; one that cannot is a failure.
    return Result(error.explain(format_verb), content, is_error=isinstance(error, SandboxFailed))


@tool(
    "Create a sandbox and wait until it is ready"
    f" ({READY_DEADLINE:.0f} s at most). Use it before the first command. Returns whether it is"
    " ready, and the reason if not.",
    output={**_READINESS, "image": "string"},
    verb="create",
)
async def create_sandbox(
    client: Client,
    on_progress: ProgressCallback,
    *,
    name: Annotated[
        str,
        Argument("A new name: lower-case letters, digits and hyphens, a letter first, at most 63."),
    ],
    image: Annotated[str, Argument("A container image; the default if left out.")] = "",
    port: Annotated[
        int | None, Argument("The runtime's port; the default if left out.", 1, 65535)
    ] = None,
) -> Result:
    outcome = await client.create(name, image=image, port=port, on_progress=on_progress)
    result = _readiness(
        name, outcome, f"created from {outcome.image}" if outcome.image else "created"
    )
    return replace(result, content={**(result.content or {}), "image": outcome.image})


@tool(
    "Start a paused sandbox and wait until it is ready"
    f" ({READY_DEADLINE:.0f} s at most). Use it after a pause, before the next command. Returns"
    " whether it is ready, and the reason if not.",
    output=_READINESS,
    verb="resume",
    idempotent=True,
)
async def resume_sandbox(client: Client, on_progress: ProgressCallback, *, name: Name) -> Result:
    outcome = await client.resume(name, on_progress=on_progress)
    if outcome.was_ready and outcome.reached:
        text = f"Sandbox '{name}' is ready, and was ready before."
        return Result(text, {**readiness_content(name, outcome), "was_ready": True})
    return _readiness(name, outcome, "resumed")


@tool(
    "Tell the state of a sandbox: pending, starting, ready, paused, failed or"
    " expired. Use it when a wait ended early or a command was refused. Returns the state and"
    " the controller's reason.",
    output={
        "name": "string",
        "state": "string",
        "ready": "boolean",
        "reason": "string",
        "created_at": "string",
    },
    verb="status",
    read_only=True,
    idempotent=True,
)
async def get_sandbox_status(client: Client, *, name: Name) -> Result:
    sandbox = await client.status(name)
    text = f"Sandbox '{sandbox.name}' is {state_of(sandbox).value} ({reason_of(sandbox)})"
    created = sandbox.created_at or "at an unknown time"
    return Result(f"{text}, created {created}.", status_content(sandbox))


@tool(
    "List the person's own sandboxes. Use it when a name is not known. Returns"
    " name, state in one word and age of each, newest first, and marks what has been up for"
    " more than a day.",
    output={"count": "integer", "sandboxes": "array"},
    verb="list",
    read_only=True,
    idempotent=True,
)
async def list_sandboxes(client: Client) -> Result:
    rows = await client.list()
    content = list_content(rows)
    if not rows:
        return Result(f"No sandboxes. {format_verb('create')} makes one.", content)
    count = "1 sandbox" if len(rows) == 1 else f"{len(rows)} sandboxes"
    lines = [f"- {row.sandbox.name}: {row.state.value}, {_told_age(row)}" for row in rows]
    return Result("\n".join([f"{count}, newest first:", *lines]), content)


def _told_age(row: Row) -> str:
    age = f"made {format_age(row.age)} ago" if row.age is not None else "of unknown age"
    if row.is_up_for_long:
        return f"{age}: UP FOR MORE THAN A DAY, pause or delete it if nobody needs it"
    return age


@tool(
    "Delete a sandbox and all its files for good. Use it only when the person asked"
    " for it. Returns a confirmation.",
    output={"name": "string", "deleted": "boolean"},
    verb="delete",
    destructive=True,
)
async def delete_sandbox(client: Client, *, name: Name) -> Result:
    text = f"Sandbox '{name}' and its files were deleted. The name is free again."
    if not await client.delete(name):
        text = f"There is no sandbox '{name}' any more; the proxy's own answer was lost."
    return Result(text, {"name": name, "deleted": True})


@tool(
    "Stop a sandbox and wait until that shows: processes end, files stay."
    " Use it to save resources between sessions. Returns its state.",
    output={"name": "string", "state": "string"},
    verb="pause",
    destructive=True,
    idempotent=True,
)
async def pause_sandbox(client: Client, on_progress: ProgressCallback, *, name: Name) -> Result:
    outcome = await client.pause(name, on_progress=on_progress)
    content = pause_content(name, outcome)
    if not outcome.reached:
        return Result(
            format_verbs(describe_unseen_pause(f"sandbox '{name}'", outcome), format_verb), content
        )
    text = f"Sandbox '{name}' is paused: its processes end, its files stay. "
    return Result(f"{text}{format_verb('resume')} starts it.", content)


@tool(
    "Check configuration, proxy, API key, clock and quota. Use it when calls fail"
    " for no clear reason. Returns a line for each check: passed, warned, failed or not tried,"
    " with the fix.",
    output={"ok": "boolean", "checks": "array"},
    verb="check",
    read_only=True,
    idempotent=True,
)
async def check_connection(provider: ClientProvider, on_progress: ProgressCallback) -> Result:
    findings = await run_checks(provider, report=on_progress)
    # Never an error: the tool found what it was asked for.
    return Result(format_findings(findings, format_verb), findings_as_dict(findings, format_verb))
