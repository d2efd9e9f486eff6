"""The runtime's pipe API behind the proxy, pure: requests to a sandbox's sessions, replies in.

Each command of ours has a session of its own, which exists before the command is sent: its id leads
to the command from anywhere until the session was idle for an hour or the sandbox is paused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from sandbox_client.output import OutputChunk

from .message import Request, as_object, member, optional, path_of, unlike
from .runtime import (
    ANSWER_WITHIN,
    ENVIRONMENT,
    CommandStatus,
    SessionRow,
    check_session,
    check_task,
    data_of,
    execution,
    exit_code_of,
    output_request,
    remark,
    signal_request,
    text_of,
    unquoted,
    without_payload,
    word_of,
)
from .sandboxes import WORK, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Reply
    from .runtime import Signal, State, Task

MAX_INLINE = 50_000  # characters of a stream in the answer to `execute`
SURELY_WHOLE = 40_000  # characters: a longer one may have been cut
AFTER_ALL = 2**53 - 1  # an offset behind any output
_NO_INPUT = " </dev/null"
_BASH = 'exec -a bash "$BASH" -c -- '
_RUN = re.compile(rf"{re.escape(_BASH)}(.+){_NO_INPUT}", re.DOTALL)
_STATES: dict[str, State] = {
    "pending": "running",
    "running": "running",
    "completed": "completed",
    "timed_out": "timed_out",
    "killed": "killed",
}


@dataclass(frozen=True)
class Piece:
    """How a command stands, and its output from the requested offsets on.

    `ends` are the offsets after it, which are smaller than the requested ones where those are
    behind the end.
    """

    status: CommandStatus
    chunk: tuple[OutputChunk, ...] = ()
    ends: tuple[int, int] = (0, 0)


def open_session(name: str, session: str) -> Request:
    """Ask for a session of that id, made in WORK unless it exists."""
    body = {"session_id": check_session(session), "exec_dir": WORK}
    path = _path(name, "sessions", "create")
    return Request("open session", "POST", path, name, body, repeatable=True)


def execute(name: str, session: str, task: Task) -> Request:
    """Ask to start a task and to answer when it has ended, or after ANSWER_WITHIN.

    Its standard input is empty or from its payload, and ENVIRONMENT is set unless its own variables
    are others. The answer is small, also if the command prints a lot meanwhile.
    """
    check_task(task)
    body: dict[str, object] = {
        "session_id": check_session(session),
        "command": _line(task),
        "env": {**ENVIRONMENT, **task.env},
        "timeout": ANSWER_WITHIN,
        "max_output_length": MAX_INLINE,
    }
    if task.directory is not None:
        body["exec_dir"] = task.directory
    if task.time_limit is not None:
        body["hard_timeout"] = task.time_limit
    return execution(name, _path(name, "exec"), body)


def output(
    name: str, session: str, offset: int, stderr_offset: int, *, wait: float = 0.0
) -> Request:
    """Ask for the output of the session's command from the offsets on.

    The answer comes once there is some, or the command has ended, or after `wait` seconds.
    """
    body: dict[str, object] = {
        "session_id": check_session(session),
        "offset": offset,
        "stderr_offset": stderr_offset,
    }
    if wait:
        body |= {"wait": True, "wait_timeout": round(wait, 3)}
    return output_request(name, _path(name, "output"), body, wait=wait)


def send_signal(name: str, session: str, signal: Signal) -> Request:
    """Ask to send a signal to the command that runs in a session."""
    body = {"session_id": check_session(session), "signal": signal}
    return signal_request(name, _path(name, "kill"), body)


def close_session(name: str, session: str) -> Request:
    """Ask to end a session with all that runs in it."""
    path = _path(name, "sessions", check_session(session), "close")
    return Request.to_change("end session", "POST", path, name)


def list_sessions(name: str) -> Request:
    """Ask for all sessions of a sandbox."""
    return Request.to_read("list sessions", _path(name, "sessions"), name)


def read_executed(reply: Reply) -> Piece:
    """Read the reply to `execute`; as running, without news, where its output may have been cut.

    Raises:
        ProxyFailed: the runtime says that it could not run the command at all.
        InvalidResponse: the reply is not the runtime's.
    """
    data = as_object(data_of(reply), "data")
    status, chunk = _standing(data), _news(*_streams(data, 0, 0))
    if any(each.gone or len(each.text) > SURELY_WHOLE for each in chunk):
        return Piece(replace(status, state="running", exit_code=None))
    return Piece(status, chunk)


def read_output(reply: Reply, offset: int, stderr_offset: int) -> Piece:
    """Read the reply to `output` with these offsets."""
    data = as_object(data_of(reply), "data")
    command = data.get("command")
    if command is None:
        return Piece(CommandStatus("empty"))
    output, errors = _streams(data, offset, stderr_offset)
    status = _standing(as_object(command, "data.command"))
    return Piece(status, _news(output, errors), (output.end, errors.end))


def read_sessions(reply: Reply) -> list[SessionRow]:
    """Read the reply to `list_sessions`."""
    data = data_of(reply)
    if not isinstance(data, list):
        data = as_object(data, "data").get("sessions")
    if not isinstance(data, list):
        raise unlike("data", "a list of sessions", data)
    rows = [as_object(each, "a session") for each in cast("list[object]", data)]
    return [
        SessionRow(
            id=reply.clean(member(row, "session_id", str)),
            running=bool(optional(row, "current_command")),
            command=_shown(optional(row, "current_command")),
            created_at=reply.clean(optional(row, "created_at")),
            used_at=reply.clean(optional(row, "last_used_at")),
        )
        for row in rows
        if row.get("status") != "closed"
    ]


def read_opened(reply: Reply) -> None:
    """Read the reply to `open_session`: a session, without which a command would run elsewhere."""
    member(as_object(data_of(reply), "data"), "session_id", str)


def _line(task: Task) -> str:
    if task.is_own:
        return task.command
    # Standard input is a pipe that nothing closes: a reader would wait for ever. $BASH is there
    # whatever PATH the command gets.
    run = f"{_BASH}{word_of(task)}"
    if task.payload is None:
        return f"{run}{_NO_INPUT}"
    # The group opens the input before its command removes the payload.
    return f"{{ {run}; }} <{task.payload.input}{remark(task.command)}"


def _shown(line: str) -> str:
    """Return the command that a person gave, of one that a session shows."""
    found = _RUN.fullmatch(line)
    return unquoted(found[1]) if found else without_payload(line)


def _standing(content: Mapping[str, object]) -> CommandStatus:
    status = member(content, "status", str)
    if status not in _STATES:
        raise unlike("status", f"one of {', '.join(_STATES)}", status)
    code = exit_code_of(content)
    if code is not None and code < 0:  # the number of a signal, except at a time limit
        code = None if status == "timed_out" else 128 - code
    return CommandStatus(_STATES[status], code, _shown(optional(content, "command")))


def _news(*streams: OutputChunk) -> tuple[OutputChunk, ...]:
    return tuple(chunk for chunk in streams if chunk.text or chunk.gone)


def _streams(
    data: Mapping[str, object], offset: int, stderr_offset: int
) -> tuple[OutputChunk, OutputChunk]:
    output = _stream(data, "stdout", "offset", offset, is_error=False)
    return output, _stream(data, "stderr", "stderr_offset", stderr_offset, is_error=True)


def _stream(
    data: Mapping[str, object], name: str, offset_name: str, before: int, *, is_error: bool
) -> OutputChunk:
    """Read one stream; an offset that grew by more than the text has bytes tells of a gap."""
    text = text_of(data.get(name), f"data.{name}")
    size = len(text.encode())
    end = before + size
    if data.get(offset_name) is not None:
        end = member(data, offset_name, int)
    gone = max(end - before - size, 0)
    if text and end <= before:  # it would be read again for ever
        raise unlike(offset_name, f"the position after {name}", end)
    return OutputChunk(text, end, gone, is_error=is_error, unit="bytes")


def _path(name: str, *route: str) -> str:
    return path_of("proxy", check_name(name), "v1", "bash", *route)
