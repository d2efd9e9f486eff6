"""How the client speaks to a model: tools by their names, errors as the whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_client.masking import visible
from sandbox_client.output import Output
from sandbox_client.text import pluralize
from sandbox_client.truncation import tail

from .tool import Result

if TYPE_CHECKING:
    from sandbox_client.errors import SandboxError, Verb

_TOOL_OF_VERB: Final[dict[Verb, str]] = {
    "create": "create_sandbox",
    "status": "get_sandbox_status",
    "run": "send_prompt_to_sandbox",
    "output": "get_prompt_output",
    "sessions": "get_prompt_output",
    "cancel": "cancel_prompt",
    "agent": "run_agent",
    "list": "list_sandboxes",
    "delete": "delete_sandbox",
    "pause": "pause_sandbox",
    "resume": "resume_sandbox",
    "check": "check_connection",
    "read": "read_sandbox_file",
    "write": "write_sandbox_file",
    "files": "list_sandbox_files",
}


def spell(verb: Verb) -> str:
    """Return the tool that does `verb`."""
    return _TOOL_OF_VERB[verb]


def render_error(error: SandboxError) -> Result:
    """Return the whole story as text: what happened, the cause, what to do next.

    What a command had printed comes last, with its length.
    """
    text = error.explain(spell)
    if error.printed.strip():
        printed = visible(tail(Output.of(error.printed)).text).rstrip()
        text += f"\n[What follows is {pluralize(len(printed), 'character')} of output.]\n{printed}"
    return Result(text, is_error=True)
