"""The MCP tools: names, annotations, and how a result or an error reads to a model.

Nothing here imports the MCP package, so that the tools are tested without it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ._content import (
    ending,
    list_content,
    prompt_content,
    readiness_content,
    status_content,
    unready,
)
from ._errors import NeverReady, SandboxError, Verb
from ._lifecycle import READY_DEADLINE, Readiness, State, reason_of, state_of
from ._tool import Arguments, Parameter, Result, Tool

if TYPE_CHECKING:
    from ._lifecycle import Report
    from ._sandboxes import Sandboxes

MAX_OUTPUT = 30_000  # characters of a command's output in one result

INSTRUCTIONS: Final = (
    "Remote sandboxes are isolated machines that run shell commands. create_sandbox makes one and"
    " waits until it is ready; send_prompt_to_sandbox runs a command in it; pause_sandbox stops it"
    " and keeps its files; resume_sandbox starts it again; delete_sandbox removes it with its files"
    " for good, so ask the person first. Every error says whose fault it is and what to do next."
)

_TOOL_OF_VERB: Final[dict[Verb, str]] = {
    "create": "create_sandbox",
    "status": "get_sandbox_status",
    "prompt": "send_prompt_to_sandbox",
    "list": "list_sandboxes",
    "delete": "delete_sandbox",
    "pause": "pause_sandbox",
    "resume": "resume_sandbox",
}


def spell(verb: Verb) -> str:
    """Return the tool that does `verb`."""
    return _TOOL_OF_VERB[verb]


def render_error(error: SandboxError) -> Result:
    """Return the whole story as text: what happened, whose fault it is, what to do next."""
    return Result(error.explain(spell), is_error=True)


def cut(output: str, limit: int = MAX_OUTPUT) -> str:
    """Return `output`, or its head and tail and how many characters lie between them."""
    if len(output) <= limit:
        return output
    half = limit // 2
    left_out = len(output) - 2 * half
    return f"{output[:half]}\n[… {left_out} characters left out …]\n{output[-half:]}"


def _readiness(name: str, outcome: Readiness, done: str) -> Result:
    content = readiness_content(name, outcome)
    if outcome.ready:
        after = f"ready after {outcome.waited:.1f} s"
        advice = f"Run commands in it with {spell('prompt')}."
        return Result(f"Sandbox '{name}' was {done} and is {after}. {advice}", content)
    error = unready(f"Sandbox '{name}' was {done}", outcome)
    # One that may still become ready was made as asked; one that cannot is a failure.
    return Result(error.explain(spell), content, is_error=isinstance(error, NeverReady))


async def _create(sandboxes: Sandboxes, arguments: Arguments, report: Report) -> Result:
    name = arguments.text("name")
    image, outcome = await sandboxes.create(
        name, image=arguments.text("image"), port=arguments.number("port"), report=report
    )
    result = _readiness(name, outcome, f"created from {image}" if image else "created")
    return replace(result, content={**(result.content or {}), "image": image})


async def _resume(sandboxes: Sandboxes, arguments: Arguments, report: Report) -> Result:
    name = arguments.text("name")
    return _readiness(name, await sandboxes.resume(name, report=report), "resumed")


async def _status(sandboxes: Sandboxes, arguments: Arguments, _: Report) -> Result:
    sandbox = await sandboxes.status(arguments.text("name"))
    text = f"Sandbox '{sandbox.name}' is {state_of(sandbox).value} ({reason_of(sandbox)})"
    created = sandbox.created_at or "at an unknown time"
    return Result(f"{text}, created {created}.", status_content(sandbox))


async def _prompt(sandboxes: Sandboxes, arguments: Arguments, report: Report) -> Result:
    name, command = arguments.text("name"), arguments.text("command")
    result, seconds = await sandboxes.prompt(name, command, report=report)
    shown = replace(result, output=cut(result.output))
    end = ending(result.status, result.exit_code, seconds)
    text = f"{shown.output.rstrip() or '(no output)'}\n[{end}]"
    return Result(text, prompt_content(name, shown, seconds))


async def _list(sandboxes: Sandboxes, _: Arguments, __: Report) -> Result:
    rows = await sandboxes.list()
    content = list_content(rows)
    if not rows:
        return Result(f"No sandboxes. {spell('create')} makes one.", content)
    count = "1 sandbox" if len(rows) == 1 else f"{len(rows)} sandboxes"
    lines = [f"- {each.name}: {state.value}, created {each.created_at}" for each, state in rows]
    return Result("\n".join([f"{count}, newest first:", *lines]), content)


async def _delete(sandboxes: Sandboxes, arguments: Arguments, _: Report) -> Result:
    name = arguments.text("name")
    await sandboxes.delete(name)
    text = f"Sandbox '{name}' and its files were deleted. The name is free again."
    return Result(text, {"name": name, "deleted": True})


async def _pause(sandboxes: Sandboxes, arguments: Arguments, _: Report) -> Result:
    name = arguments.text("name")
    await sandboxes.pause(name)
    text = f"Sandbox '{name}' was paused: its processes end, its files stay. "
    return Result(
        f"{text}{spell('resume')} starts it.", {"name": name, "state": State.PAUSED.value}
    )


_NAME = Parameter("name", "string", "The sandbox's name, for example my-sandbox.")

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
        title="Create a sandbox",
        description="Create a sandbox and wait until it is ready"
        f" ({READY_DEADLINE:.0f} s at most). Use it before the first command. Returns whether it is"
        " ready, and the reason if not.",
        run=_create,
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
                "port", "integer", "The runtime's port; the default if left out.", required=False
            ),
        ),
        output={**_READINESS, "image": "string"},
    ),
    Tool(
        name="get_sandbox_status",
        title="Status of a sandbox",
        description="Tell the state of a sandbox: pending, starting, ready, paused, failed or"
        " expired. Use it after a wait that ended too early or a command that was refused. Returns"
        " the state and the controller's reason.",
        run=_status,
        parameters=(_NAME,),
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
        name="send_prompt_to_sandbox",
        title="Run a command in a sandbox",
        description="Run a shell command, a coding agent's for example, in a ready sandbox and wait"
        " for its end (300 s at most). Use it for all work in the sandbox. Returns output (stdout"
        " and stderr merged) and exit code.",
        run=_prompt,
        parameters=(
            _NAME,
            Parameter("command", "string", "The shell command, for example: ls -la"),
        ),
        output={
            "name": "string",
            "status": "string",
            "output": "string",
            "seconds": "number",
            "exit_code?": "integer",
        },
        destructive=True,
    ),
    Tool(
        name="list_sandboxes",
        title="List sandboxes",
        description="List the person's own sandboxes. Use it when a name is not known. Returns"
        " name, state and creation time of each, newest first.",
        run=_list,
        parameters=(),
        output={"count": "integer", "sandboxes": "array"},
        read_only=True,
        idempotent=True,
    ),
    Tool(
        name="delete_sandbox",
        title="Delete a sandbox",
        description="Delete a sandbox and all its files for good. Use it only when the person asked"
        " for it. Returns a confirmation.",
        run=_delete,
        parameters=(_NAME,),
        output={"name": "string", "deleted": "boolean"},
        destructive=True,
    ),
    Tool(
        name="pause_sandbox",
        title="Pause a sandbox",
        description="Stop a sandbox: its processes end, its files stay. Use it to save resources"
        " between sessions. Returns a confirmation.",
        run=_pause,
        parameters=(_NAME,),
        output={"name": "string", "state": "string"},
        destructive=True,
        idempotent=True,
    ),
    Tool(
        name="resume_sandbox",
        title="Resume a sandbox",
        description="Start a paused sandbox and wait until it is ready"
        f" ({READY_DEADLINE:.0f} s at most). Use it after a pause, before the next command. Returns"
        " whether it is ready, and the reason if not.",
        run=_resume,
        parameters=(_NAME,),
        output=_READINESS,
        idempotent=True,
    ),
)
