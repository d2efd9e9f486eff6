"""The `/remote:` commands of the extension, with the expected requests and results."""

from __future__ import annotations

from dataclasses import dataclass, field

BOX = "my-sandbox"
SESSION = "command-0a1b2c3d"
READY = {BOX: "ready"}
PAUSED = {BOX: "paused"}


@dataclass(frozen=True)
class CommandCase:
    """A command with its arguments, the tool call of the scripted model, and the outcome."""

    typed: str  # the arguments after the command's name
    tool: str
    arguments: dict[str, str]
    request: str | None  # sent to the proxy exactly once; None: no request at all
    pattern: str  # matches the tool's result
    phases_before: dict[str, str] = field(default_factory=lambda: READY)
    phases_after: dict[str, str] = field(default_factory=lambda: READY)
    running: str | None = None  # a command that runs in SESSION before the test


# Only the sandbox's shell may interpret this: quotes, spaces and line ends must be kept.
COMMAND = """tr a-z A-Z <<'END'
  it's "indented"  `so` $far
END"""

AGENT_PROMPT = """Fix it's "bug";  rm -rf /
and say `why`, $HOME"""

CASES = {
    "create": CommandCase(
        typed=BOX,
        tool="create_sandbox",
        arguments={"name": BOX},
        request="POST /api/sandboxes 201",
        pattern=f"Sandbox '{BOX}' was created .+ ready after",
        phases_before={},
    ),
    "status": CommandCase(
        typed=BOX,
        tool="get_sandbox_status",
        arguments={"name": BOX},
        request=f"GET /api/sandboxes/{BOX} 200",
        pattern=f"Sandbox '{BOX}' is ready",
    ),
    "prompt": CommandCase(
        typed=f"{BOX} {COMMAND}",
        tool="send_prompt_to_sandbox",
        arguments={"name": BOX, "command": COMMAND},
        request=f"POST /proxy/{BOX}/v1/bash/exec 200",
        pattern=r"  IT'S \"INDENTED\"  `SO` \$FAR",
    ),
    # The sandbox's shell gets the prompt as one word; the fake proxy has no agent to run, which the
    # answer may tell already.
    "agent": CommandCase(
        typed=f"{BOX} {AGENT_PROMPT}",
        tool="run_agent",
        arguments={"name": BOX, "prompt": AGENT_PROMPT},
        request=f"POST /proxy/{BOX}/v1/bash/exec 200",
        pattern=r"still running in session 'command-\w+'|gemini: command not found",
    ),
    "output": CommandCase(
        typed=f"{BOX} {SESSION}",
        tool="get_prompt_output",
        arguments={"name": BOX, "session": SESSION},
        request=f"POST /proxy/{BOX}/v1/bash/output 200",
        pattern=rf"\[still running in session '{SESSION}'(?s:.+)\nbegun",
        running="echo begun; sleep 60",
    ),
    "cancel": CommandCase(
        typed=f"{BOX} {SESSION}",
        tool="cancel_prompt",
        arguments={"name": BOX, "session": SESSION},
        request=f"POST /proxy/{BOX}/v1/bash/kill 200",
        pattern=r"\[killed by SIGINT\](?s:.+)\nbegun",
        running="echo begun; sleep 60",
    ),
    "doctor": CommandCase(
        typed="",
        tool="check_connection",
        arguments={},
        request="GET /api/me 200",
        pattern="passed",
    ),
    "list": CommandCase(
        typed="",
        tool="list_sandboxes",
        arguments={},
        request="GET /api/sandboxes 200",
        pattern=f"{BOX}: ready",
    ),
    "pause": CommandCase(
        typed=BOX,
        tool="pause_sandbox",
        arguments={"name": BOX},
        request=f"POST /api/sandboxes/{BOX}/pause 200",
        pattern=f"Sandbox '{BOX}' is paused",
        phases_after=PAUSED,
    ),
    "resume": CommandCase(
        typed=BOX,
        tool="resume_sandbox",
        arguments={"name": BOX},
        request=f"POST /api/sandboxes/{BOX}/resume 200",
        pattern=f"Sandbox '{BOX}' was resumed .+ ready after",
        phases_before=PAUSED,
    ),
    # Without a terminal no user can confirm, so Gemini CLI refuses, with --yolo too.
    "delete": CommandCase(
        typed=BOX,
        tool="delete_sandbox",
        arguments={"name": BOX},
        request=None,
        pattern="delete_sandbox .+ requires user confirmation",
    ),
}
