"""Each command of the extension, as a person types it, and what is to come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

BOX = "my-sandbox"
SESSION = "work"
READY = {BOX: "ready"}
PAUSED = {BOX: "paused"}


@dataclass(frozen=True)
class Row:
    """One command: the words after its name, what the model makes of them, and what happens."""

    words: str
    tool: str
    arguments: dict[str, str]
    asked: str | None  # of the proxy, once
    told: str  # a pattern of what the model receives and the person sees
    before: dict[str, str] = field(default_factory=lambda: READY)
    after: dict[str, str] = field(default_factory=lambda: READY)
    runs: str | None = None  # in the sandbox, in SESSION


# What only the sandbox's shell is to understand, each space and line end included.
COMMAND = """tr a-z A-Z <<'END'
  it's "indented"  `so` $far
END"""

ORDER = """Fix it's "bug";  rm -rf /
and say `why`, $HOME"""

ROWS = {
    "create": Row(
        words=BOX,
        tool="create_sandbox",
        arguments={"name": BOX},
        asked="POST /api/sandboxes 201",
        told=f"Sandbox '{BOX}' was created .+ ready after",
        before={},
    ),
    "status": Row(
        words=BOX,
        tool="get_sandbox_status",
        arguments={"name": BOX},
        asked=f"GET /api/sandboxes/{BOX} 200",
        told=f"Sandbox '{BOX}' is ready",
    ),
    "prompt": Row(
        words=f"{BOX} {COMMAND}",
        tool="send_prompt_to_sandbox",
        arguments={"name": BOX, "command": COMMAND},
        asked=f"POST /proxy/{BOX}/v1/shell/exec 200",
        told=r"  IT'S \"INDENTED\"  `SO` \$FAR\n",
    ),
    # The prompt is one word to the shell of the sandbox, whose home has no agent.
    "agent": Row(
        words=f"{BOX} {ORDER}",
        tool="run_agent",
        arguments={"name": BOX, "prompt": ORDER},
        asked=f"POST /proxy/{BOX}/v1/shell/exec 200",
        told=r"still running in session 'prompt-\w+'",
    ),
    "output": Row(
        words=f"{BOX} {SESSION}",
        tool="get_prompt_output",
        arguments={"name": BOX, "session": SESSION},
        asked=f"POST /proxy/{BOX}/v1/shell/view 200",
        told=r"begun\n\[still running in session 'work'",
        runs="echo begun; sleep 60",
    ),
    "cancel": Row(
        words=f"{BOX} {SESSION}",
        tool="cancel_prompt",
        arguments={"name": BOX, "session": SESSION},
        asked=f"POST /proxy/{BOX}/v1/shell/kill 200",
        told=r"begun\n\[killed before it ended\]",
        runs="echo begun; sleep 60",
    ),
    "doctor": Row(
        words="",
        tool="check_connection",
        arguments={},
        asked="GET /api/me 200",
        told="passed",
    ),
    "list": Row(
        words="",
        tool="list_sandboxes",
        arguments={},
        asked="GET /api/sandboxes 200",
        told=f"{BOX}: ready",
    ),
    "pause": Row(
        words=BOX,
        tool="pause_sandbox",
        arguments={"name": BOX},
        asked=f"POST /api/sandboxes/{BOX}/pause 200",
        told=f"Sandbox '{BOX}' is paused",
        after=PAUSED,
    ),
    "resume": Row(
        words=BOX,
        tool="resume_sandbox",
        arguments={"name": BOX},
        asked=f"POST /api/sandboxes/{BOX}/resume 200",
        told=f"Sandbox '{BOX}' was resumed .+ ready after",
        before=PAUSED,
    ),
    # Nobody is there to be asked, so it is refused, --yolo or not.
    "delete": Row(
        words=BOX,
        tool="delete_sandbox",
        arguments={"name": BOX},
        asked=None,
        told="delete_sandbox .+ requires user confirmation",
    ),
}
