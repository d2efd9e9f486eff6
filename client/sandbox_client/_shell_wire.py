"""The runtime's shell API behind the proxy, pure: requests to a sandbox's sessions, replies in.

A session is a persistent shell with an id of the client's own choosing, and what ran in it can be
asked for by that id, from anywhere, for as long as the sandbox is not paused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, cast

from ._errors import InvalidInput, ProxyFailed, pluralize
from ._message import (
    KEY_PREFIX,
    Request,
    as_object,
    check_text,
    member,
    optional,
    path_of,
    unlike,
)
from ._wire import WORK, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._message import Operation, Reply

State = Literal["empty", "running", "completed", "killed"]

_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MARK = re.compile(r": run-[0-9a-f]+; ")
_KILLED = {"terminated", "hard_timeout"}
RUNTIME_KEEPS = 9_900_000  # characters, or a few more: half of them the start, half the end
_LEFT_OUT = re.compile(r"\n\[\.\.\. ([0-9]{1,18}) characters left out \.\.\.\]\n")
_MARKER_ROOM = 200  # characters by which the two halves may differ


@dataclass(frozen=True)
class Snapshot:
    """What a command of a session had printed, and how it stood, when it was looked at.

    `exit_code` is None until it has ended, and where the session has gone on to another one.
    """

    state: State
    output: str = ""
    exit_code: int | None = None
    command: str = ""


@dataclass(frozen=True)
class Kept:
    """A command's output as far as the runtime keeps it: its start and, if it is long, its end.

    `gone` characters between the two can no longer be read. Positions count all characters that the
    command has printed.
    """

    start: str
    gone: int = 0
    end: str = ""

    @classmethod
    def of(cls, output: str) -> Self:
        """Read an output as the runtime returns it, with a marker in place of the middle."""
        if len(output) < RUNTIME_KEEPS:
            return cls(output)
        left_out = _LEFT_OUT.search(output, len(output) // 2 - _MARKER_ROOM)
        if left_out is None:
            return cls(output)
        return cls(output[: left_out.start()], int(left_out[1]), output[left_out.end() :])

    @property
    def size(self) -> int:
        """The number of characters that the command has printed."""
        return len(self.start) + self.gone + len(self.end)

    def read(self, position: int, limit: int | None = None) -> tuple[int, str, int]:
        """Read up to `limit` characters from a position on, in one piece.

        Return the number of characters there that are gone, the text after them, and the position
        after the text.
        """
        if position < len(self.start) or not self.gone:
            text = self.start[position:][:limit]
            return 0, text, min(position, len(self.start)) + len(text)
        first = len(self.start) + self.gone
        at = max(position, first)
        text = self.end[at - first :][:limit]
        return at - min(position, at), text, min(at, self.size) + len(text)


@dataclass(frozen=True)
class SessionRow:
    """A session as the runtime lists it; `command` is known while one runs."""

    id: str
    running: bool
    command: str = ""
    created_at: str = ""
    used_at: str = ""


def check_session(session: str) -> str:
    """Return `session` when it can be a session's id.

    Raises:
        InvalidInput: it cannot.
    """
    if _SESSION.fullmatch(session) and KEY_PREFIX not in session:
        return session
    shown = repr(session[:80]) if session.isprintable() and KEY_PREFIX not in session else "it"
    raise InvalidInput(
        f"{shown} ({pluralize(len(session), 'character')}) cannot be a session's id",
        advice="Give 1 to 64 letters, digits, dots, hyphens and underscores, or leave it out.",
    )


def open_session(name: str, session: str) -> Request:
    """Ask for a session of that id, made in WORK unless it is there.

    The runtime would start it in the home directory, which a pause empties; copied files go to
    WORK, and stay.
    """
    body = {"id": check_session(session), "exec_dir": WORK}
    return _shell("open session", name, "sessions/create", body, repeatable=True)


def execute(
    name: str, session: str, command: str, *, mark: str = "", directory: str | None = None
) -> Request:
    """Ask to start a shell command, behind its mark, in a session and to answer at once.

    It runs in the session's directory, or in the one that is named, which has to be there. The
    runtime cuts output above 30,000 characters unless it is told not to.
    """
    if not command.strip():
        raise InvalidInput("The command is empty", advice="Say what the sandbox should run.")
    check_text("The command", command)
    if "\0" in command:
        raise InvalidInput(
            "The command holds a NUL character, which no command line can",
            advice="Leave it out, or write it in the shell's way: printf '\\0'.",
        )
    body: dict[str, object] = {
        "id": check_session(session),
        "command": marked(command, mark),
        "async_mode": True,
        "truncate": False,
    }
    if directory is not None:
        body |= {"exec_dir": directory, "strict": True}
    return _shell("execute", name, "exec", body)


def view(name: str, session: str) -> Request:
    """Ask what a session's last command has printed and how it stands."""
    return _shell("view", name, "view", {"id": check_session(session)}, repeatable=True)


def kill(name: str, session: str) -> Request:
    """Ask to end the command that runs in a session."""
    return _shell("kill", name, "kill", {"id": check_session(session)})


def end_session(name: str, session: str) -> Request:
    """Ask to end a session with all that runs in it."""
    path = path_of("proxy", check_name(name), "v1", "shell", "sessions", check_session(session))
    return Request("end session", "DELETE", path, name)


def list_sessions(name: str) -> Request:
    """Ask for all sessions of a sandbox."""
    path = path_of("proxy", check_name(name), "v1", "shell", "sessions")
    return Request("list sessions", "GET", path, name, repeatable=True)


def read_executed(reply: Reply) -> Snapshot:
    """Read the reply to `execute`: as a rule that the command runs; from some, that it has ended.

    Raises:
        ProxyFailed: the runtime says that it could not run the command at all.
        BrokenReply: the reply is not the runtime's.
    """
    data = _data(reply)
    return Snapshot(
        state=_state(member(data, "status", str)),
        output=_output(data.get("output"), "data.output"),
        exit_code=_exit_code(data),
        command=_unmarked(optional(data, "command")),
    )


def read_view(reply: Reply, mark: str = "") -> Snapshot:
    """Read the reply to `view`: the last command that bears the mark, or simply the last.

    Commands are the records of the session's console. Only of its last one is it known how it
    ended; those before it have ended somehow.
    """
    data = _data(reply)
    is_there = data.get("console") is not None
    console = cast("list[object]", member(data, "console", list) if is_there else [])
    records = [as_object(each, "data.console[]") for each in console]
    ours = [each for each in records if optional(each, "command").startswith(marked("", mark))]
    if not ours:
        return Snapshot("empty")
    is_last = ours[-1] is records[-1]
    command = optional(ours[-1], "command") or (optional(data, "command") if is_last else "")
    return Snapshot(
        state=_state(member(data, "status", str)) if is_last else "completed",
        output=_output(ours[-1].get("output"), "data.console[].output"),
        exit_code=_exit_code(data) if is_last else None,
        command=_unmarked(command),
    )


def marked(command: str, mark: str) -> str:
    """Return the command with a mark before it, which does nothing but be seen again."""
    return f": {mark}; {command}" if mark else command


def _unmarked(command: str) -> str:
    return _MARK.sub("", command, count=1) if _MARK.match(command) else command


def read_sessions(reply: Reply) -> list[SessionRow]:
    """Read the reply to `list_sessions`, the last used first."""
    sessions = as_object(_data(reply).get("sessions"), "data.sessions")
    rows = [
        _row(session, as_object(content, "a session"), reply)
        for session, content in sessions.items()
    ]
    return sorted(rows, key=lambda row: row.used_at, reverse=True)


def read_done(reply: Reply) -> None:
    """Read the reply to `open_session` or `kill`: a success, or not what the contract says."""
    _successful(reply)


def _shell(
    operation: Operation,
    name: str,
    route: str,
    body: Mapping[str, object],
    *,
    repeatable: bool = False,
) -> Request:
    path = path_of("proxy", check_name(name), "v1", "shell", *route.split("/"))
    return Request(operation, "POST", path, name, body, repeatable=repeatable)


def _data(reply: Reply) -> dict[str, object]:
    return as_object(_successful(reply).get("data"), "data")


def _successful(reply: Reply) -> dict[str, object]:
    content = as_object(reply.json(), "the reply")
    if content.get("success") is False:
        raise ProxyFailed(
            f"The sandbox's runtime did not do it: {reply.words() or 'no reason given'}",
            advice="Try again; if it stays, remove the sandbox with {delete} and make a new one.",
            retryable=False,
        )
    return content


def _state(status: str) -> State:
    if status == "completed":
        return "completed"
    # `running`, and `no_change_timeout`: somebody stopped waiting, and the command goes on.
    return "killed" if status in _KILLED else "running"


def _output(value: object, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise unlike(what, "a string", value)
    # A lone surrogate is legal in JSON and in no output of ours.
    return value.encode(errors="replace").decode()


def _exit_code(data: Mapping[str, object]) -> int | None:
    return member(data, "exit_code", int) if data.get("exit_code") is not None else None


def _row(session: str, content: Mapping[str, object], reply: Reply) -> SessionRow:
    return SessionRow(
        id=reply.clean(session),
        running=_state(optional(content, "status") or "completed") == "running",
        command=_unmarked(optional(content, "current_command")),
        created_at=reply.clean(optional(content, "created_at")),
        used_at=reply.clean(optional(content, "last_used_at")),
    )
