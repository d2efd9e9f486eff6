"""The MCP tools, without the MCP package: names, schemas, and how a result or an error reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import connection, files, prompts, sandboxes

if TYPE_CHECKING:
    from .tool import Tool

INSTRUCTIONS: Final = (
    "Remote sandboxes are isolated machines that run shell commands. create_sandbox makes one and"
    " waits until it is ready; send_prompt_to_sandbox runs a command in it, and hands over a"
    " session where it takes long; get_prompt_output follows that, cancel_prompt kills it;"
    " run_agent starts a coding agent; read_sandbox_file, write_sandbox_file and list_sandbox_files"
    " are for files; pause_sandbox ends what runs and keeps the files;"
    " resume_sandbox starts it again; delete_sandbox removes it with its files for good, so ask the"
    " person first. Cancelling a call stops the waiting, not the command. Every error says whose"
    " fault it is and what to do next; check_connection looks for the cause."
)

TOOLS: Final[tuple[Tool, ...]] = (
    *sandboxes.TOOLS,
    *prompts.TOOLS,
    *files.TOOLS,
    *connection.TOOLS,
)
