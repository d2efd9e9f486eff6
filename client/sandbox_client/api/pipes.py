"""Requests and replies of the runtime's pipe API, without I/O.

Each command runs in its own session, which is opened before the command is sent. Any client can
find the command by the session's id until the session has been idle for an hour or the sandbox is
paused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from sandbox_client.output import OutputChunk

from .ends import NOTE_END, can_note_end, note_end
from .message import Request, as_object, member, mismatch, optional, path_of
from .runtime import (
    ENVIRONMENT,
    START_WAIT,
    CommandStatus,
    SessionRow,
    as_comment,
    check_session,
    check_task,
    command_in_comment,
    data_of,
    execute_request,
    exit_code_of,
    output_request,
    shell_word,
    signal_request,
    text_of,
    unquote,
)
from .sandboxes import WORK, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Reply
    from .runtime import CommandState, Signal, Task

MAX_INLINE = 50_000  # characters of a stream in the reply to `execute`
MAX_UNCUT = 40_000  # characters: a longer stream may have been truncated
PAST_THE_END = 2**53 - 1  # bytes: an offset after any output
_NO_INPUT = " </dev/null"
_BASH = 'exec -a bash "$BASH" -c -- '
# Without job control, a bash that waits for a program drops a SIGINT, unless it has a trap.
_KEEP_SIGINT, _WAITED = r'trap "trap - INT; kill -INT \$\$" INT; ', "trap - INT; "
_NOTED = rf"(?:{re.escape(_KEEP_SIGINT)}{NOTE_END}{_WAITED})?"
_RUN = re.compile(rf"{_NOTED}{re.escape(_BASH)}(.+){_NO_INPUT}", re.DOTALL)
_STATES: dict[str, CommandState] = {
    "pending": "running",
    "running": "running",
    "completed": "completed",
    "timed_out": "timed_out",
    "killed": "killed",
}


@dataclass(frozen=True)
class PipeSnapshot:
    """The state of a command and its output from the requested offsets on.

    `ends` are the byte offsets after the output of both streams. They are smaller than the
    requested offsets if those are past the end.
    """

    status: CommandStatus
    chunks: tuple[OutputChunk, ...] = ()
    ends: tuple[int, int] = (0, 0)


def open_session(name: str, session: str) -> Request:
    """Return a request that opens a session in WORK, unless it exists."""
    body = {"session_id": check_session(session), "exec_dir": WORK}
    path = _path(name, "sessions", "create")
    return Request("open session", "POST", path, name, body, repeatable=True)


def execute(name: str, session: str, task: Task) -> Request:
    """Return a request that starts a task; the reply comes when it ends, or after START_WAIT.

    Standard input is empty or comes from the payload. The variables of the task override
    ENVIRONMENT. The reply has at most MAX_INLINE characters of each stream.
    """
    check_task(task)
    body: dict[str, object] = {
        "session_id": check_session(session),
        "command": _line(task, session),
        "env": {**ENVIRONMENT, **task.env},
        "timeout": START_WAIT,
        "max_output_length": MAX_INLINE,
    }
    if task.directory is not None:
        body["exec_dir"] = task.directory
    if task.time_limit is not None:
        body["hard_timeout"] = task.time_limit
    return execute_request(name, _path(name, "exec"), body)


def output(
    name: str, session: str, offset: int, stderr_offset: int, *, wait: float = 0.0
) -> Request:
    """Return a request for the output of a command from these byte offsets on.

    The reply comes when there is output, when the command ends, or after `wait` seconds.
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
    """Return a request that sends a signal to the command of a session."""
    body = {"session_id": check_session(session), "signal": signal}
    return signal_request(name, _path(name, "kill"), body)


def close_session(name: str, session: str) -> Request:
    """Return a request that ends a session and its processes."""
    path = _path(name, "sessions", check_session(session), "close")
    return Request.to_change("end session", "POST", path, name)


def list_sessions(name: str) -> Request:
    """Return a request for all sessions of a sandbox."""
    return Request.to_read("list sessions", _path(name, "sessions"), name)


def read_executed(reply: Reply, session: str = "") -> PipeSnapshot:
    """Read the reply to `execute` in `session`.

    If the output may have been truncated, the command is reported as running without output, so
    that all of it is read with `output`.

    Raises:
        ProxyFailed: the runtime could not run the command.
        InvalidResponse: the reply is malformed.
    """
    data = as_object(data_of(reply, session), "data")
    status, chunks = _status_of(data), _non_empty(*_streams(data, 0, 0))
    if any(each.gone or len(each.text) > MAX_UNCUT for each in chunks):
        return PipeSnapshot(replace(status, state="running", exit_code=None))
    return PipeSnapshot(status, chunks)


def read_output(reply: Reply, offset: int, stderr_offset: int, session: str = "") -> PipeSnapshot:
    """Read the reply to `output` of `session` with these byte offsets."""
    data = as_object(data_of(reply, session), "data")
    command = data.get("command")
    if command is None:
        return PipeSnapshot(CommandStatus("empty"))
    output, errors = _streams(data, offset, stderr_offset)
    status = _status_of(as_object(command, "data.command"))
    return PipeSnapshot(status, _non_empty(output, errors), (output.end, errors.end))


def read_sessions(reply: Reply) -> list[SessionRow]:
    """Read the open sessions from the reply to `list_sessions`."""
    data = data_of(reply)
    if not isinstance(data, list):
        data = as_object(data, "data").get("sessions")
    if not isinstance(data, list):
        raise mismatch("data", "a list of sessions", data)
    rows = [as_object(each, "a session") for each in cast("list[object]", data)]
    return [
        SessionRow(
            id=reply.clean(member(row, "session_id", str)),
            running=bool(optional(row, "current_command")),
            command=_command_of(optional(row, "current_command")),
            created_at=reply.clean(optional(row, "created_at")),
            used_at=reply.clean(optional(row, "last_used_at")),
        )
        for row in rows
        if row.get("status") != "closed"
    ]


def read_opened(reply: Reply, session: str) -> None:
    """Check the reply to `open_session` of `session`.

    Raises:
        InvalidResponse: there is no session or another one, in which a command would run.
    """
    member(as_object(data_of(reply, session), "data"), "session_id", str)


def _line(task: Task, session: str) -> str:
    if task.is_internal:
        return task.command
    note = f"{_KEEP_SIGINT}{note_end(session)}{_WAITED}" if can_note_end(task.env) else ""
    # The runtime never closes the pipe of standard input: a command that reads it would hang. $BASH
    # exists even if the variables of the task change PATH.
    run = f"{_BASH}{shell_word(task)}"
    if task.payload is None:
        return f"{note}{run}{_NO_INPUT}"
    # The group opens the input before its command removes the payload.
    return f"{note}{{ {run}; }} <{task.payload.input}{as_comment(task.command)}"


def _command_of(line: str) -> str:
    """Return the user's command from the command line of a session."""
    found = _RUN.fullmatch(line)
    return unquote(found[1]) if found else command_in_comment(line)


def _status_of(content: Mapping[str, object]) -> CommandStatus:
    status = member(content, "status", str)
    if status not in _STATES:
        raise mismatch("status", f"one of {', '.join(_STATES)}", status)
    code = exit_code_of(content)
    if code is not None and code < 0:  # minus the number of a signal, except at a time limit
        code = None if status == "timed_out" else 128 - code
    return CommandStatus(_STATES[status], code, _command_of(optional(content, "command")))


def _non_empty(*streams: OutputChunk) -> tuple[OutputChunk, ...]:
    return tuple(chunk for chunk in streams if chunk.text or chunk.gone)


def _streams(
    data: Mapping[str, object], offset: int, stderr_offset: int
) -> tuple[OutputChunk, OutputChunk]:
    output = _stream(data, "stdout", "offset", offset, is_error=False)
    return output, _stream(data, "stderr", "stderr_offset", stderr_offset, is_error=True)


def _stream(
    data: Mapping[str, object], name: str, offset_name: str, before: int, *, is_error: bool
) -> OutputChunk:
    """Read one stream; if the offset grew by more bytes than the text has, there is a gap."""
    text = text_of(data.get(name), f"data.{name}")
    size = len(text.encode())
    end = before + size
    if data.get(offset_name) is not None:
        end = member(data, offset_name, int)
    gone = max(end - before - size, 0)
    if text and end <= before:  # the same text would be read again without end
        raise mismatch(offset_name, f"the position after {name}", end)
    return OutputChunk(text, end, gone, is_error=is_error, unit="bytes")


def _path(name: str, *route: str) -> str:
    return path_of("proxy", check_name(name), "v1", "bash", *route)
