"""The runtime's shell API as values: what `exec` may be asked, and how its answer reads."""

import math
from dataclasses import dataclass
from typing import Any, cast

from ._errors import Refusal
from ._http import Reply, is_json, parse_json
from ._runtime import Command, Outcome

_PROMPT = "gem@sandbox:/sandbox$ "
# What is not built yet may be sent with its default only: ignored, it would be misunderstood.
_UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "exec_dir": (None,),
    "async_mode": (None, False),
    "timeout": (None,),
    "no_change_timeout": (None, 120),
}


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """What `POST /v1/shell/exec` asks for."""

    command: Command
    session: str | None


class Unprocessable(Exception):
    """A body that does not fit, with all that is wrong with it in FastAPI's shape."""

    def __init__(self, *issues: dict[str, Any]) -> None:
        super().__init__(*issues)
        self.reply = Reply({"detail": list(issues)}, 422)


def parse_exec(content_type: str, body: bytes) -> ExecRequest:
    """Read the body of `exec`.

    Raises:
        Unprocessable: it does not fit.
    """
    fields = _fields(content_type, body)
    issues = [
        _issue(name, f"The fake proxy supports only the default of {name} so far", "unsupported")
        for name, accepted in _UNSUPPORTED.items()
        if not any(fields.get(name) is each or fields.get(name) == each for each in accepted)
    ]
    issues += _command_issues(fields) + _hard_timeout_issues(fields)
    session, truncate = fields.get("id"), fields.get("truncate", True)
    if session is not None and not isinstance(session, str):
        issues.append(_issue("id", "Input should be a valid string", "string_type"))
    issues += [
        _issue(name, "Input should be a valid boolean", "bool_type")
        for name in ("truncate", "strict")
        if not isinstance(fields.get(name, False), bool)
    ]
    if issues:
        raise Unprocessable(*issues)
    return ExecRequest(Command(fields["command"], fields.get("hard_timeout"), truncate), session)


def executed(session: str, command: Command, outcome: Outcome) -> Reply:
    """Word a command's outcome; a command that failed is a success of the API."""
    return Reply(
        {
            "success": True,
            "message": "Command executed",
            "data": {
                "session_id": session,
                "command": command.text,
                "status": outcome.status,
                "output": outcome.output,
                "console": [{"ps1": _PROMPT, "command": command.text, "output": outcome.output}],
                "exit_code": outcome.exit_code,
            },
            "hint": None,
        }
    )


def no_session(session: str) -> Reply:
    """Word that a session is unknown."""
    message = f"Session not found: {session}"
    return Reply({"success": False, "message": message, "data": None, "hint": None}, 404)


def _fields(content_type: str, body: bytes) -> dict[str, Any]:
    if not body or not is_json(content_type):
        return {}
    try:
        value = parse_json(body)
    except Refusal as exc:
        raise Unprocessable(
            {"loc": ["body", 0], "msg": "JSON decode error", "type": "json_invalid"}
        ) from exc
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise Unprocessable(
        {
            "loc": ["body"],
            "msg": "Input should be a valid dictionary",
            "type": "model_attributes_type",
        }
    )


def _command_issues(fields: dict[str, Any]) -> list[dict[str, Any]]:
    if "command" not in fields:
        return [_issue("command", "Field required", "missing")]
    if not isinstance(fields["command"], str):
        return [_issue("command", "Input should be a valid string", "string_type")]
    if "\0" in fields["command"]:
        return [_issue("command", "No command line can hold a NUL character", "value_error")]
    return []


def _hard_timeout_issues(fields: dict[str, Any]) -> list[dict[str, Any]]:
    value = fields.get("hard_timeout")
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [_issue("hard_timeout", "Input should be a valid number", "float_type")]
    if not 0 < value < math.inf:
        return [_issue("hard_timeout", "Input should be greater than 0", "greater_than")]
    return []


def _issue(field: str, message: str, kind: str) -> dict[str, Any]:
    return {"loc": ["body", field], "msg": message, "type": kind}
