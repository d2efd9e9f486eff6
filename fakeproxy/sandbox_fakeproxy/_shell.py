"""The runtime's shell API as values: what `exec` may be asked, and how its answer reads."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from ._aio import JsonObject, Unprocessable, done, issue, read_fields

_PROMPT = "gem@sandbox:/sandbox$ "
# What is not built yet may be sent with its default only: ignored, it would be misunderstood.
_UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "exec_dir": (None,),
    "async_mode": (None, False),
    "timeout": (None,),
    "no_change_timeout": (None, 120),
}


Status = Literal["completed", "hard_timeout"]


@dataclass(frozen=True, slots=True)
class Command:
    """A shell command line, and how it may end. `hard_timeout` is in seconds."""

    text: str
    hard_timeout: float | None = None
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended; without an exit code when it did not end by itself."""

    output: str = ""
    exit_code: int | None = 0
    status: Status = "completed"


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """What `POST /v1/shell/exec` asks for."""

    command: Command
    session: str | None


async def execute(
    request: Request, run: Callable[[Command], Awaitable[Outcome]], new_id: Callable[[], str]
) -> Response:
    """Answer `POST /v1/shell/exec`."""
    asked = parse_exec(await read_fields(request))
    if asked.session is not None:
        return done(f"Session not found: {asked.session}", None, success=False, status=404)
    return executed(new_id(), asked.command, await run(asked.command))


def parse_exec(fields: JsonObject) -> ExecRequest:
    """Read the body of `exec`.

    Raises:
        Unprocessable: it does not fit.
    """
    issues = [
        issue(name, f"The fake proxy supports only the default of {name} so far", "unsupported")
        for name, accepted in _UNSUPPORTED.items()
        if not any(fields.get(name) is each or fields.get(name) == each for each in accepted)
    ]
    issues += _command_issues(fields) + _hard_timeout_issues(fields)
    session, truncate = fields.get("id"), fields.get("truncate", True)
    if session is not None and not isinstance(session, str):
        issues.append(issue("id", "Input should be a valid string", "string_type"))
    issues += [
        issue(name, "Input should be a valid boolean", "bool_type")
        for name in ("truncate", "strict")
        if not isinstance(fields.get(name, False), bool)
    ]
    if issues:
        raise Unprocessable(*issues)
    return ExecRequest(Command(fields["command"], fields.get("hard_timeout"), truncate), session)


def executed(session: str, command: Command, outcome: Outcome) -> Response:
    """Word a command's outcome; a command that failed is a success of the API."""
    return done(
        "Command executed",
        {
            "session_id": session,
            "command": command.text,
            "status": outcome.status,
            "output": outcome.output,
            "console": [{"ps1": _PROMPT, "command": command.text, "output": outcome.output}],
            "exit_code": outcome.exit_code,
        },
    )


def _command_issues(fields: dict[str, Any]) -> list[dict[str, Any]]:
    if "command" not in fields:
        return [issue("command", "Field required", "missing")]
    if not isinstance(fields["command"], str):
        return [issue("command", "Input should be a valid string", "string_type")]
    if "\0" in fields["command"]:
        return [issue("command", "No command line can hold a NUL character", "value_error")]
    return []


def _hard_timeout_issues(fields: dict[str, Any]) -> list[dict[str, Any]]:
    value = fields.get("hard_timeout")
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [issue("hard_timeout", "Input should be a valid number", "float_type")]
    if not 0 < value < math.inf:
        return [issue("hard_timeout", "Input should be greater than 0", "greater_than")]
    return []
