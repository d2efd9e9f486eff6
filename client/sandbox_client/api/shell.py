"""Requests and replies of the runtime's terminal API, without I/O.

A session is a persistent shell; the client chooses the id. Any client can read the output by the
id until the sandbox is paused. A reply holds all the output that the runtime keeps; a
`SnapshotReader` finds the new output in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sandbox_client.output import Output, OutputChunk, Part

from .ends import NOTE_END, note_end
from .message import Request, as_object, member, optional, path_of
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
    quote,
    shell_word,
    signal_request,
    text_of,
    unquote,
)
from .sandboxes import WORK, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .message import Reply
    from .runtime import CommandState, Task

_MARK = re.compile(r": run-[0-9a-f]+; ")
# Set once in each shell, so that commands can change them.
_SETTINGS = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
_START = f'[ "${{REMOTE_SANDBOX-}}" ] || export REMOTE_SANDBOX=1 {_SETTINGS}; '
_NO_INPUT = " </dev/null"  # a terminal never ends: a command that reads it would hang
SIGKILL_DELAY = 5  # seconds between SIGTERM and SIGKILL at a time limit
TIME_LIMIT_CODE = 213  # the exit code for a time limit, which commands hardly ever use
# With job control (`-m`), the command has its own process group in the foreground of the terminal:
# Ctrl-C and `kill 0` affect only this group, and a time limit ends the whole group. The shell's
# messages about commands that were ended by a signal are not output, and go to /dev/null. $0 is the
# session, for the note of the command's end.
_NOTE = note_end("$0")
_OWN_GROUP = f"bash -mc '{_NOTE}exec 3>&2 2>/dev/null; bash -c -- \"$1\" 2>&3 3>&-; exit $?' "
# The watchdog reads the process group from a pipe, then waits for the limit or for the pipe to end.
TIME_LIMITED = (
    f"bash -mc '{_NOTE}exec 3>&2 2>/dev/null 4> >(exec >/dev/null 3>&-; read group; read -t $2;"
    " [ $? -gt 128 ] && { kill -USR1 $$; kill -TERM -- -$group;"
    f" sleep {SIGKILL_DELAY}; kill -KILL -- -$group; }}); trap late=1 USR1;"
    ' bash -c "echo \\$\\$ >&4; exec bash -c -- \\"\\$1\\" 2>&3 3>&- 4>&-" bash "$1"; code=$?;'
    f" [ $late ] && exit {TIME_LIMIT_CODE}; exit $code' "
)
# Earlier versions of the client made no note, and gave the word `bash` for the session.
_LIMITED = rf"bash -mc '(?:{NOTE_END})?exec 3>&2 [^']*; exit \$code' \S+ "
_ALONE = rf"bash -mc '(?:{NOTE_END})?exec 3>&2 [^']*; exit \$\?' \S+ "
_RUN = re.compile(rf"(?:eval (?:-- )?(.+)|{_ALONE}(.+)|{_LIMITED}(.+) \S+){_NO_INPUT}", re.DOTALL)
_KILLED = {"terminated", "hard_timeout"}
RUNTIME_KEEPS = 9_900_000  # characters at least: the first half and the last half of them
MAX_OVERLAP = 4_096  # characters before the position that are compared with the next snapshot
_LEFT_OUT = re.compile(r"\n\[\.\.\. ([0-9]{1,18}) characters left out \.\.\.\]\n")
_MARKER_SPAN = 200  # characters around the middle in which the marker is searched
_INTERRUPT = "\x03"  # Ctrl-C: the terminal sends SIGINT to the command


@dataclass(frozen=True)
class Snapshot:
    """The state and the output of a session's command at one moment.

    `line` is the command line as it was sent, empty if the runtime does not show it. It identifies
    the command.
    """

    status: CommandStatus
    output: str = ""
    line: str = ""


class SnapshotReader:
    """Find the new output in consecutive snapshots, from `position` on.

    Positions count all characters that the command has printed.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._before = ""  # the previous snapshot
        self._last = ""  # characters before the position, to find it in the next snapshot
        self._lost = 0  # characters that are missing before the position, at an unknown place

    def read(self, output: str) -> Iterator[OutputChunk]:
        """Yield the new output of the next snapshot."""
        before, self._before = self._before, output
        kept = parse_kept(output)
        unknown = False
        if kept.is_whole and not output[: self.position - self._lost].endswith(self._last):
            unknown = not self._find_position(before, output)
        page = kept.read(self.position - self._lost)
        while page.gone or page.text:
            self._last = ((self._last if not page.gone else "") + page.text)[-MAX_OVERLAP:]
            self.position += page.gone + len(page.text)
            yield OutputChunk(page.text, self.position, None if unknown else page.gone)
            unknown = False
            page = kept.read(self.position - self._lost)
        if unknown:
            yield OutputChunk("", self.position, None)

    def _find_position(self, before: str, output: str) -> bool:
        """Find the position in output that has lost characters before it; False if unsure."""
        found = output.rfind(self._last)
        place = found + len(self._last) if found >= 0 else _common_length(before, output)
        if found < 0:
            self._last = ""
        self._lost = self.position - place
        return found >= 0


def parse_kept(output: str) -> Output:
    """Parse output as the runtime returns it; long output has a marker instead of the middle."""
    if len(output) < RUNTIME_KEEPS:
        return Output.of(output)
    middle = len(output) // 2  # a marker anywhere else was printed by the command
    left_out = _LEFT_OUT.search(output, middle - _MARKER_SPAN, middle + _MARKER_SPAN)
    if left_out is None:
        return Output.of(output)
    head, tail, gone = output[: left_out.start()], output[left_out.end() :], int(left_out[1])
    start = len(head) + gone
    return Output(0, (Part(0, head, len(head)), Part(start, tail, start + len(tail))), gone)


def _common_length(one: str, other: str) -> int:
    """Return the length of the longest common prefix."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def open_session(name: str, session: str) -> Request:
    """Return a request that opens a session in WORK, unless it exists.

    The runtime's default is the home directory, which a pause empties.
    """
    body = {"id": check_session(session), "exec_dir": WORK}
    path = _path(name, "sessions", "create")
    return Request("open session", "POST", path, name, body, repeatable=True)


def execute(name: str, session: str, task: Task, *, mark: str = "") -> Request:
    """Return a request that starts a task, with a mark if there is one, in a session.

    The reply comes when the task ends, or after START_WAIT. Standard input is empty or comes from
    the payload, which also has to set the variables of the task. ENVIRONMENT is set once in each
    session. The runtime is asked not to truncate output above 30,000 characters.
    """
    check_task(task)
    body: dict[str, object] = {
        "id": check_session(session),
        "command": with_mark(_line(task, session, mark), mark),
        "timeout": START_WAIT,
        "truncate": False,
    }
    if task.directory is not None:
        body |= {"exec_dir": task.directory, "strict": True}
    return execute_request(name, _path(name, "exec"), body)


def view(name: str, session: str) -> Request:
    """Return a request for the state and the output of a session's commands."""
    return output_request(name, _path(name, "view"), {"id": check_session(session)})


def interrupt(name: str, session: str) -> Request:
    """Return a request that types Ctrl-C: the terminal sends SIGINT to the running command."""
    body = {"id": check_session(session), "input": _INTERRUPT, "press_enter": False}
    return signal_request(name, _path(name, "write"), body)


def kill(name: str, session: str) -> Request:
    """Return a request that kills the running command of a session."""
    body = {"id": check_session(session)}
    return signal_request(name, _path(name, "kill"), body)


def end_session(name: str, session: str) -> Request:
    """Return a request that ends a session and its processes."""
    path = _path(name, "sessions", check_session(session))
    return Request.to_change("end session", "DELETE", path, name)


def list_sessions(name: str) -> Request:
    """Return a request for all sessions of a sandbox."""
    return Request.to_read("list sessions", _path(name, "sessions"), name)


def read_executed(reply: Reply, session: str = "") -> Snapshot:
    """Read the reply to `execute` in `session`; short commands have already ended.

    Raises:
        ProxyFailed: the runtime could not run the command.
        InvalidResponse: the reply is malformed.
    """
    data = as_object(data_of(reply, session), "data")
    state = _state(member(data, "status", str))
    status = _status(optional(data, "command"), exit_code_of(data), state)
    return Snapshot(status, text_of(data.get("output"), "data.output"))


def read_view(reply: Reply, mark: str = "", session: str = "") -> Snapshot:
    """Read the last command with this mark, or the last one, from the reply to `view`.

    The session's console has a record for each command. The exit code is known only for the last
    record; the commands before it are completed.
    """
    data = as_object(data_of(reply, session), "data")
    has_console = data.get("console") is not None
    console = cast("list[object]", member(data, "console", list) if has_console else [])
    records = [as_object(each, "data.console[]") for each in console]
    prefix = with_mark("", mark)
    found = [each for each in records if optional(each, "command").startswith(prefix)]
    if not found:
        return Snapshot(CommandStatus("empty"))
    record = found[-1]
    is_last = record is records[-1]
    line = optional(record, "command") or (optional(data, "command") if is_last else "")
    status = CommandStatus("completed", None, _command_of(line))
    if is_last:
        status = _status(line, exit_code_of(data), _state(member(data, "status", str)))
    return Snapshot(status, text_of(record.get("output"), "data.console[].output"), line)


def with_mark(command: str, mark: str) -> str:
    """Prefix a command with a mark, a no-op that identifies the command in the console."""
    return f": {mark}; {command}" if mark else command


def _line(task: Task, session: str, mark: str) -> str:
    """Return the command line for a task: the session's shell runs it if it has a mark, else bash.

    A marked command can change the directory and the variables of the session.
    """
    if task.is_internal:
        return task.command
    run = _by_shell(task) if mark else _by_bash(task, session)
    if task.payload is None:
        return f"{_START}{run}{_NO_INPUT}"
    # The group opens the input before its command removes the payload.
    return f"{_START}{{ {run}; }} <{task.payload.input}{as_comment(task.command)}"


def _by_shell(task: Task) -> str:
    if task.payload is not None:
        return f"eval {task.payload.script}"
    is_like_an_option = task.command.startswith("-")
    return f"eval {'-- ' if is_like_an_option else ''}{quote(task.command)}"


def _by_bash(task: Task, session: str) -> str:
    if task.time_limit is None:
        return f"{_OWN_GROUP}{session} {shell_word(task)}"
    return f"{TIME_LIMITED}{session} {shell_word(task)} {task.time_limit:g}"


def _command_of(line: str) -> str:
    """Return the user's command from the command line of a session."""
    line = _MARK.sub("", line, count=1) if _MARK.match(line) else line
    if not line.startswith(_START):
        return line
    line = line.removeprefix(_START)
    found = _RUN.fullmatch(line)
    return unquote(found[found.lastindex or 0]) if found else command_in_comment(line)


def _status(line: str, code: int | None, state: CommandState) -> CommandStatus:
    """Return the status of a command; a time limit is recognized by its wrapper and exit code."""
    is_limited = re.match(_LIMITED, line.removeprefix(_START).removeprefix("{ "))
    if is_limited and code == TIME_LIMIT_CODE:
        return CommandStatus("timed_out", None, _command_of(line))
    return CommandStatus(state, code, _command_of(line))


def read_sessions(reply: Reply) -> list[SessionRow]:
    """Read the sessions from the reply to `list_sessions`."""
    data = as_object(data_of(reply), "data")
    sessions = as_object(data.get("sessions"), "data.sessions")
    return [
        _row(session, as_object(content, "a session"), reply)
        for session, content in sessions.items()
    ]


def _path(name: str, *route: str) -> str:
    return path_of("proxy", check_name(name), "v1", "shell", *route)


def _state(status: str) -> CommandState:
    if status == "completed":
        return "completed"
    # `running` or `no_change_timeout`: a caller stopped waiting, and the command is still running.
    return "killed" if status in _KILLED else "running"


def _row(session: str, content: Mapping[str, object], reply: Reply) -> SessionRow:
    return SessionRow(
        id=reply.clean(session),
        running=_state(optional(content, "status") or "completed") == "running",
        command=_command_of(optional(content, "current_command")),
        created_at=reply.clean(optional(content, "created_at")),
        used_at=reply.clean(optional(content, "last_used_at")),
    )
