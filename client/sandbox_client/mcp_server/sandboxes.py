"""The tools of a sandbox's life: create, status, list, delete, pause, resume."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sandbox_client.errors import SandboxFailed, format_verbs
from sandbox_client.presentation import (
    list_content,
    pause_content,
    readiness_content,
    readiness_error,
    status_content,
    told_age,
    unseen_pause,
)
from sandbox_client.provider import with_client
from sandbox_client.readiness import READY_DEADLINE, WaitResult, reason_of, state_of

from .speech import spell
from .tool import Arguments, Parameter, Result, Tool

if TYPE_CHECKING:
    from sandbox_client.client import Client
    from sandbox_client.polling import ProgressCallback
    from sandbox_client.sandboxes import Row


def _readiness(name: str, outcome: WaitResult, done: str) -> Result:
    content = readiness_content(name, outcome)
    if outcome.reached:
        after = f"ready after {outcome.waited:.1f} s"
        advice = f"Run commands in it with {spell('run')}."
        return Result(f"Sandbox '{name}' was {done} and is {after}. {advice}", content)
    error = readiness_error(f"Sandbox '{name}' was {done}", outcome)
    # One that may still become ready was made as asked; one that cannot is a failure.
    return Result(error.explain(spell), content, is_error=isinstance(error, SandboxFailed))


async def _create(client: Client, arguments: Arguments, report: ProgressCallback) -> Result:
    name = arguments.text("name")
    outcome = await client.create(
        name, image=arguments.text("image"), port=arguments.number("port"), on_progress=report
    )
    result = _readiness(
        name, outcome, f"created from {outcome.image}" if outcome.image else "created"
    )
    return replace(result, content={**(result.content or {}), "image": outcome.image})


async def _resume(client: Client, arguments: Arguments, report: ProgressCallback) -> Result:
    name = arguments.text("name")
    outcome = await client.resume(name, on_progress=report)
    if outcome.was_ready and outcome.reached:
        text = f"Sandbox '{name}' is ready, and was ready before."
        return Result(text, {**readiness_content(name, outcome), "was_ready": True})
    return _readiness(name, outcome, "resumed")


async def _status(client: Client, arguments: Arguments, _: ProgressCallback) -> Result:
    sandbox = await client.status(arguments.text("name"))
    text = f"Sandbox '{sandbox.name}' is {state_of(sandbox).value} ({reason_of(sandbox)})"
    created = sandbox.created_at or "at an unknown time"
    return Result(f"{text}, created {created}.", status_content(sandbox))


async def _list(client: Client, _: Arguments, __: ProgressCallback) -> Result:
    rows = await client.list()
    content = list_content(rows)
    if not rows:
        return Result(f"No sandboxes. {spell('create')} makes one.", content)
    count = "1 sandbox" if len(rows) == 1 else f"{len(rows)} sandboxes"
    lines = [f"- {row.sandbox.name}: {row.state.value}, {_told_age(row)}" for row in rows]
    return Result("\n".join([f"{count}, newest first:", *lines]), content)


def _told_age(row: Row) -> str:
    age = f"made {told_age(row.age)} ago" if row.age is not None else "of unknown age"
    if row.is_up_for_long:
        return f"{age}: UP FOR MORE THAN A DAY, pause or delete it if nobody needs it"
    return age


async def _delete(client: Client, arguments: Arguments, _: ProgressCallback) -> Result:
    name = arguments.text("name")
    text = f"Sandbox '{name}' and its files were deleted. The name is free again."
    if not await client.delete(name):
        text = f"There is no sandbox '{name}' any more; the proxy's own answer was lost."
    return Result(text, {"name": name, "deleted": True})


async def _pause(client: Client, arguments: Arguments, report: ProgressCallback) -> Result:
    name = arguments.text("name")
    outcome = await client.pause(name, on_progress=report)
    content = pause_content(name, outcome)
    if not outcome.reached:
        return Result(format_verbs(unseen_pause(f"sandbox '{name}'", outcome), spell), content)
    text = f"Sandbox '{name}' is paused: its processes end, its files stay. "
    return Result(f"{text}{spell('resume')} starts it.", content)


NAME = Parameter("name", "string", "The sandbox's name.")

_READINESS: Final = {
    "name": "string",
    "state": "string",
    "ready": "boolean",
    "waited_seconds": "number",
    "reason?": "string",
}

TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        name="create_sandbox",
        description="Create a sandbox and wait until it is ready"
        f" ({READY_DEADLINE:.0f} s at most). Use it before the first command. Returns whether it is"
        " ready, and the reason if not.",
        run=with_client(_create),
        parameters=(
            Parameter(
                "name",
                "string",
                "A new name: lower-case letters, digits and hyphens, a letter first, at most 63.",
            ),
            Parameter(
                "image", "string", "A container image; the default if left out.", required=False
            ),
            Parameter(
                "port",
                "integer",
                "The runtime's port; the default if left out.",
                required=False,
                bounds=(1, 65535),
            ),
        ),
        output={**_READINESS, "image": "string"},
    ),
    Tool(
        name="get_sandbox_status",
        description="Tell the state of a sandbox: pending, starting, ready, paused, failed or"
        " expired. Use it when a wait ended early or a command was refused. Returns the state and"
        " the controller's reason.",
        run=with_client(_status),
        parameters=(NAME,),
        output={
            "name": "string",
            "state": "string",
            "ready": "boolean",
            "reason": "string",
            "created_at": "string",
        },
        read_only=True,
        idempotent=True,
    ),
    Tool(
        name="list_sandboxes",
        description="List the person's own sandboxes. Use it when a name is not known. Returns"
        " name, state in one word and age of each, newest first, and marks what has been up for"
        " more than a day.",
        run=with_client(_list),
        parameters=(),
        output={"count": "integer", "sandboxes": "array"},
        read_only=True,
        idempotent=True,
    ),
    Tool(
        name="delete_sandbox",
        description="Delete a sandbox and all its files for good. Use it only when the person asked"
        " for it. Returns a confirmation.",
        run=with_client(_delete),
        parameters=(NAME,),
        output={"name": "string", "deleted": "boolean"},
        destructive=True,
    ),
    Tool(
        name="pause_sandbox",
        description="Stop a sandbox and wait until that shows: processes end, files stay."
        " Use it to save resources between sessions. Returns its state.",
        run=with_client(_pause),
        parameters=(NAME,),
        output={"name": "string", "state": "string"},
        destructive=True,
        idempotent=True,
    ),
    Tool(
        name="resume_sandbox",
        description="Start a paused sandbox and wait until it is ready"
        f" ({READY_DEADLINE:.0f} s at most). Use it after a pause, before the next command. Returns"
        " whether it is ready, and the reason if not.",
        run=with_client(_resume),
        parameters=(NAME,),
        output=_READINESS,
        idempotent=True,
    ),
)
