"""List the tools, in the order in which clients see them, and call one.

To add a tool: write its function in a module of this folder, with the decorator `tool`, and list
it here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from sandbox_client.errors import SandboxError, place_of_fault
from sandbox_client.masking import visible
from sandbox_client.output import Output
from sandbox_client.presentation.errors import explain
from sandbox_client.text import pluralize
from sandbox_client.truncation import tail

from . import files, prompts, repositories, sandboxes
from .tool import Result, Tool, format_verb
from .workspaces import no_roots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_client.polling import ProgressCallback
    from sandbox_client.provider import ClientProvider

    from .workspaces import ListRoots

INSTRUCTIONS: Final = (
    "Remote sandboxes are isolated machines that run shell commands. create_sandbox creates one and"
    " waits until it is ready; send_prompt_to_sandbox runs a command in it, and returns a session"
    " if that takes long; get_prompt_output follows the session, cancel_prompt kills its command;"
    " run_agent starts a coding agent; read_sandbox_file, write_sandbox_file and list_sandbox_files"
    " are for files; pause_sandbox ends all commands and keeps /sandbox only; resume_sandbox starts"
    " it again; delete_sandbox deletes it for good, so ask the user first. Cancelling a"
    " call stops the waiting, not the command. Every error gives its cause and the next step;"
    " check_connection looks for the cause."
)

TOOLS: Final[tuple[Tool[...], ...]] = (
    sandboxes.create_sandbox,
    sandboxes.get_sandbox_status,
    sandboxes.list_sandboxes,
    sandboxes.delete_sandbox,
    sandboxes.pause_sandbox,
    sandboxes.resume_sandbox,
    prompts.send_prompt_to_sandbox,
    prompts.get_prompt_output,
    prompts.cancel_prompt,
    prompts.run_agent,
    repositories.send_repository,
    repositories.fetch_work,
    files.read_sandbox_file,
    files.write_sandbox_file,
    files.list_sandbox_files,
    sandboxes.check_connection,
)


async def call_tool(
    tool: Tool[...],
    arguments: Mapping[str, object],
    provider: ClientProvider,
    on_progress: ProgressCallback,
    list_roots: ListRoots = no_roots,
) -> Result:
    """Run a tool; return its result, or an error of any kind as a result."""
    try:
        return await tool.run(provider, arguments, on_progress, list_roots)
    except SandboxError as error:
        return render_error(error)
    except Exception as error:  # noqa: BLE001  # the boundary: the client gets a response to a bug, too
        place = place_of_fault(error)
        print(f"remote-sandbox: internal error: {place}", file=sys.stderr)
        return Result(
            f"Internal error in remote-sandbox: {place}\nCause: remote-sandbox itself."
            "\nNext: report it to the project with the line above.",
            is_error=True,
        )


def render_error(error: SandboxError) -> Result:
    """Return an error as text: the event, its cause and the next step.

    The output of a command before the error comes last, with its length.
    """
    text = explain(error, format_verb)
    if error.printed.strip():
        printed = visible(tail(Output.of(error.printed)).text).rstrip()
        text += f"\n[Below: {pluralize(len(printed), 'character')} of output.]\n{printed}"
    return Result(text, is_error=True)
