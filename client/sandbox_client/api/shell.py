"""The runtime's terminal API behind the proxy, pure: requests to a sandbox's sessions, replies in.

A session is a persistent shell with an id of the client's own choosing. Any client can ask for its
output by that id until the sandbox is paused. A reply holds all
that the runtime keeps of an output, so a `SnapshotReader` finds what is new in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sandbox_client.output import Output, OutputChunk, Part

from .message import Request, as_object, member, optional, path_of
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
    quote,
    remark,
    signal_request,
    text_of,
    unquoted,
    without_payload,
    word_of,
)
from .sandboxes import WORK, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .message import Reply
    from .runtime import State, Task

_MARK = re.compile(r": run-[0-9a-f]+; ")
# Set once in each shell, in which commands may change them.
_SETTINGS = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
_START = f'[ "${{REMOTE_SANDBOX-}}" ] || export REMOTE_SANDBOX=1 {_SETTINGS}; '
_NO_INPUT = " </dev/null"  # the terminal has no end of input: a reader would wait for ever
KILL_AFTER = 5  # seconds between the two signals of a time limit
LATE = 213  # the exit code for a time limit: one that hardly any command has of its own
# With job control (`-m`), the command has its own process group in the foreground of the terminal:
# Ctrl-C and `kill 0` affect only this group, and a time limit ends all of it. The shell's messages
# about a command that was ended by a signal are not output, and go to /dev/null.
_ALONE = "bash -mc 'exec 3>&2 2>/dev/null; bash -c -- \"$1\" 2>&3 3>&-; exit $?' bash "
# The watchdog reads the process group from a pipe, and then waits for the limit or the pipe's end.
LIMITED = (
    "bash -mc 'exec 3>&2 2>/dev/null 4> >(exec >/dev/null 3>&-; read group; read -t $2;"
    " [ $? -gt 128 ] && { kill -USR1 $$; kill -TERM -- -$group;"
    f" sleep {KILL_AFTER}; kill -KILL -- -$group; }}); trap late=1 USR1;"
    ' bash -c "echo \\$\\$ >&4; exec bash -c -- \\"\\$1\\" 2>&3 3>&- 4>&-" bash "$1"; code=$?;'
    f" [ $late ] && exit {LATE}; exit $code' bash "
)
_RUN = re.compile(
    rf"(?:eval (?:-- )?(.+)|{re.escape(_ALONE)}(.+)|{re.escape(LIMITED)}(.+) \S+){_NO_INPUT}",
    re.DOTALL,
)
_KILLED = {"terminated", "hard_timeout"}
RUNTIME_KEEPS = 9_900_000  # characters, or a few more: half of them the start, half the end
KNOWN_AGAIN = 4_096  # characters by which an output is known to go on where it was
_LEFT_OUT = re.compile(r"\n\[\.\.\. ([0-9]{1,18}) characters left out \.\.\.\]\n")
_MARKER_ROOM = 200  # characters by which the two halves may differ
_INTERRUPT = "\x03"  # Ctrl-C, for which the terminal sends SIGINT to the command


@dataclass(frozen=True)
class Snapshot:
    """The output of a session's command and how it stood, at one moment.

    `line` is the command as it was sent, which tells it from others, where the runtime shows it.
    """

    status: CommandStatus
    output: str = ""
    line: str = ""


class SnapshotReader:
    """Find the new output in each of consecutive snapshots.

    Positions count all characters that the command has printed. `position` is where to begin.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._before = ""
        self._last = ""  # characters before the position, by which it is found again
        self._moved = 0  # characters that the output has lost at an unknown place

    def read(self, output: str) -> Iterator[OutputChunk]:
        """Yield the new output of the next snapshot."""
        before, self._before = self._before, output
        kept = kept_of(output)
        unknown = False
        if kept.is_whole and not output[: self.position - self._moved].endswith(self._last):
            unknown = not self._find_again(before, output)
        page = kept.read(self.position - self._moved)
        while page.gone or page.text:
            self._last = ((self._last if not page.gone else "") + page.text)[-KNOWN_AGAIN:]
            self.position += page.gone + len(page.text)
            yield OutputChunk(page.text, self.position, None if unknown else page.gone)
            unknown = False
            page = kept.read(self.position - self._moved)
        if unknown:
            yield OutputChunk("", self.position, None)

    def _find_again(self, before: str, output: str) -> bool:
        """Find the end of the known output in one that has lost characters before it."""
        found = output.rfind(self._last)
        place = found + len(self._last) if found >= 0 else _common_length(before, output)
        if found < 0:
            self._last = ""
        self._moved = self.position - place
        return found >= 0


def kept_of(output: str) -> Output:
    """Read an output as the runtime returns it, with a marker in place of the middle."""
    if len(output) < RUNTIME_KEEPS:
        return Output.of(output)
    middle = len(output) // 2  # anywhere else, it is the command's own
    left_out = _LEFT_OUT.search(output, middle - _MARKER_ROOM, middle + _MARKER_ROOM)
    if left_out is None:
        return Output.of(output)
    head, tail, gone = output[: left_out.start()], output[left_out.end() :], int(left_out[1])
    start = len(head) + gone
    return Output(0, (Part(0, head, len(head)), Part(start, tail, start + len(tail))), gone)


def _common_length(one: str, other: str) -> int:
    """Return the number of characters with which both texts begin."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def open_session(name: str, session: str) -> Request:
    """Ask for a session of that id, made in WORK unless it is there.

    The runtime would start it in the home directory, which a pause empties; copied files go to
    WORK, and stay.
    """
    body = {"id": check_session(session), "exec_dir": WORK}
    path = _path(name, "sessions", "create")
    return Request("open session", "POST", path, name, body, repeatable=True)


def execute(name: str, session: str, task: Task, *, mark: str = "") -> Request:
    """Ask to start a task, behind its mark, in a session.

    The answer comes when it has ended, or after ANSWER_WITHIN. Its standard input is empty or from
    its payload, which its variables have to be in. ENVIRONMENT is set unless an earlier command has
    changed it. The runtime cuts output above 30,000 characters unless it is told not to.
    """
    check_task(task)
    body: dict[str, object] = {
        "id": check_session(session),
        "command": marked(_line(task, mark), mark),
        "timeout": ANSWER_WITHIN,
        "truncate": False,
    }
    if task.directory is not None:
        body |= {"exec_dir": task.directory, "strict": True}
    return execution(name, _path(name, "exec"), body)


def view(name: str, session: str) -> Request:
    """Ask for the output of a session's last command, and how it stands."""
    return output_request(name, _path(name, "view"), {"id": check_session(session)})


def interrupt(name: str, session: str) -> Request:
    """Ask to type Ctrl-C, for which the terminal sends SIGINT to the command that runs."""
    body = {"id": check_session(session), "input": _INTERRUPT, "press_enter": False}
    return signal_request(name, _path(name, "write"), body)


def kill(name: str, session: str) -> Request:
    """Ask to end the command that runs in a session."""
    body = {"id": check_session(session)}
    return signal_request(name, _path(name, "kill"), body)


def end_session(name: str, session: str) -> Request:
    """Ask to end a session with all that runs in it."""
    path = _path(name, "sessions", check_session(session))
    return Request.to_change("end session", "DELETE", path, name)


def list_sessions(name: str) -> Request:
    """Ask for all sessions of a sandbox."""
    return Request.to_read("list sessions", _path(name, "sessions"), name)


def read_executed(reply: Reply) -> Snapshot:
    """Read the reply to `execute`: as a rule that the command runs; from some, that it has ended.

    Raises:
        ProxyFailed: the runtime says that it could not run the command at all.
        InvalidResponse: the reply is not the runtime's.
    """
    data = as_object(data_of(reply), "data")
    state = _state(member(data, "status", str))
    status = _ended(optional(data, "command"), exit_code_of(data), state)
    return Snapshot(status, text_of(data.get("output"), "data.output"))


def read_view(reply: Reply, mark: str = "") -> Snapshot:
    """Read the reply to `view`: the last command that bears the mark, or simply the last.

    Commands are the records of the session's console. Only of its last one is it known how it
    ended; those before it have ended somehow.
    """
    data = as_object(data_of(reply), "data")
    is_there = data.get("console") is not None
    console = cast("list[object]", member(data, "console", list) if is_there else [])
    records = [as_object(each, "data.console[]") for each in console]
    ours = [each for each in records if optional(each, "command").startswith(marked("", mark))]
    if not ours:
        return Snapshot(CommandStatus("empty"))
    is_last = ours[-1] is records[-1]
    command = optional(ours[-1], "command") or (optional(data, "command") if is_last else "")
    status = CommandStatus("completed", None, _shown(command))
    if is_last:
        status = _ended(command, exit_code_of(data), _state(member(data, "status", str)))
    return Snapshot(status, text_of(ours[-1].get("output"), "data.console[].output"), command)


def marked(command: str, mark: str) -> str:
    """Return the command with a mark before it, which does nothing but be seen again."""
    return f": {mark}; {command}" if mark else command


def _line(task: Task, mark: str) -> str:
    """Return the line that a session's shell is to run for a task, by itself if it has a mark."""
    if task.is_own:
        return task.command
    run = (_by_shell if mark else _by_bash)(task)
    if task.payload is None:
        return f"{_START}{run}{_NO_INPUT}"
    # The group opens the input before its command removes the payload.
    return f"{_START}{{ {run}; }} <{task.payload.input}{remark(task.command)}"


def _by_shell(task: Task) -> str:
    if task.payload is not None:
        return f"eval {task.payload.script}"
    is_like_an_option = task.command.startswith("-")
    return f"eval {'-- ' if is_like_an_option else ''}{quote(task.command)}"


def _by_bash(task: Task) -> str:
    if task.time_limit is None:
        return f"{_ALONE}{word_of(task)}"
    return f"{LIMITED}{word_of(task)} {task.time_limit:g}"


def _shown(line: str) -> str:
    """Return the command that a person gave, of one that a session shows."""
    line = _MARK.sub("", line, count=1) if _MARK.match(line) else line
    if not line.startswith(_START):
        return line
    line = line.removeprefix(_START)
    found = _RUN.fullmatch(line)
    return unquoted(found[found.lastindex or 0]) if found else without_payload(line)


def _ended(line: str, code: int | None, state: State) -> CommandStatus:
    """Return how a command has ended, also by its time limit: a terminal has only a code for it."""
    if code == LATE and line.removeprefix(_START).removeprefix("{ ").startswith(LIMITED):
        return CommandStatus("timed_out", None, _shown(line))
    return CommandStatus(state, code, _shown(line))


def read_sessions(reply: Reply) -> list[SessionRow]:
    """Read the reply to `list_sessions`, the last used first."""
    data = as_object(data_of(reply), "data")
    sessions = as_object(data.get("sessions"), "data.sessions")
    rows = [
        _row(session, as_object(content, "a session"), reply)
        for session, content in sessions.items()
    ]
    return sorted(rows, key=lambda row: row.used_at, reverse=True)


def _path(name: str, *route: str) -> str:
    return path_of("proxy", check_name(name), "v1", "shell", *route)


def _state(status: str) -> State:
    if status == "completed":
        return "completed"
    # `running`, and `no_change_timeout`: one caller stopped waiting, and the command goes on.
    return "killed" if status in _KILLED else "running"


def _row(session: str, content: Mapping[str, object], reply: Reply) -> SessionRow:
    return SessionRow(
        id=reply.clean(session),
        running=_state(optional(content, "status") or "completed") == "running",
        command=_shown(optional(content, "current_command")),
        created_at=reply.clean(optional(content, "created_at")),
        used_at=reply.clean(optional(content, "last_used_at")),
    )
