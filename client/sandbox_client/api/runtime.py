"""The common part of the runtime's two command APIs, pure: tasks, sessions, states."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from sandbox_client.errors import InvalidInput, ProxyFailed
from sandbox_client.text import KEY_PREFIX, one_line, pluralize

from .message import Request, as_object, check_text, member, unlike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Reply

State = Literal["unknown", "empty", "running", "completed", "killed", "timed_out"]
Signal = Literal["SIGINT", "SIGTERM", "SIGKILL"]
SIGNALS: tuple[Signal, ...] = ("SIGINT", "SIGTERM", "SIGKILL")

OUTPUT_DEADLINE = 120.0  # seconds: an output of megabytes on a slow line
OUTPUT_IDLE_TIMEOUT = 10.0  # seconds
# Of a terminal, the runtime keeps ten million characters, sends them twice, and spells some of them
# with six. Of a stream with pipes it may keep some hundred million.
MAX_OUTPUT_BYTES = 512 * 1024 * 1024
COMMAND_MAY_RUN = (
    "The command may have run, or may still be running, in the sandbox: look with {sessions} before"
    " you send it again."
)
SIGNAL_MAY_BE_SENT = (
    "The proxy may have done it all the same: look with {output} whether the command still runs."
)
ANSWER_WITHIN = 0.05  # seconds: a command that ends sooner needs no second request

# No pager, no colour and no question that waits for an answer.
ENVIRONMENT = {
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "TERM": "dumb",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
    "CI": "1",
}
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PAYLOAD_END = '; rm -rf "$HOME"/.remote-sandbox-'
_REMARK = "  # "
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class CommandStatus:
    """How a command stands, which is `unknown` until it was looked at.

    `exit_code` is None until it has ended, and where the session has gone on to another one.
    """

    state: State
    exit_code: int | None = None
    command: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the command has ended, or there is none."""
        return self.state not in {"unknown", "running"}


@dataclass(frozen=True)
class SessionRow:
    """A session as the runtime lists it; `command` is known while one runs."""

    id: str
    running: bool
    command: str = ""
    created_at: str = ""
    used_at: str = ""


@dataclass(frozen=True)
class Payload:
    """Files that were sent ahead of a command, in a directory of the sandbox's that it removes.

    The file `run` has the command, which may be longer than a word can be, and the file `in` its
    standard input if there is any.
    """

    directory: str  # as a word of the shell
    has_input: bool = False
    is_long: bool = False

    @property
    def input(self) -> str:
        """The file that is to be standard input, as a word of the shell."""
        return f"{self.directory}/in" if self.has_input else "/dev/null"

    @property
    def script(self) -> str:
        """The word that reads the command and removes the directory."""
        return f'"$(cat {self.directory}/run || echo false; rm -rf {self.directory})"'


@dataclass(frozen=True)
class Task:
    """A shell command, and how to run it: the time limit is in seconds.

    It runs in `directory`, which has to exist, or in the session's. With a `payload`, the command
    is in there. A command of the client's (`is_own`) is sent as it is: it reads no input.
    """

    command: str
    directory: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    time_limit: float | None = None
    payload: Payload | None = None
    is_own: bool = False


def execution(name: str, path: str, body: Mapping[str, object]) -> Request:
    """Return a request that starts a command once."""
    request = Request.to_change("execute", "POST", path, name, body, if_lost=COMMAND_MAY_RUN)
    return replace(request, deadline=OUTPUT_DEADLINE, idle_timeout=OUTPUT_IDLE_TIMEOUT)


def output_request(
    name: str, path: str, body: Mapping[str, object], *, wait: float = 0.0
) -> Request:
    """Return a request for an output, with which the runtime waits for `wait` seconds at most."""
    return Request(
        "view",
        "POST",
        path,
        name,
        body,
        deadline=OUTPUT_DEADLINE,
        idle_timeout=OUTPUT_IDLE_TIMEOUT + wait,
        max_bytes=MAX_OUTPUT_BYTES,
        repeatable=True,
    )


def signal_request(name: str, path: str, body: Mapping[str, object]) -> Request:
    """Return a request that signals a command, or ends it."""
    return Request.to_change("kill", "POST", path, name, body, if_lost=SIGNAL_MAY_BE_SENT)


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


def check_task(task: Task) -> None:
    """Refuse a task that no shell can run.

    Raises:
        InvalidInput: the command is empty, it or a variable has a character that it cannot have,
            or the time limit is not positive.
    """
    if not task.command.strip():
        raise InvalidInput("The command is empty", advice="Say what the sandbox should run.")
    check_text("The command", task.command)
    if "\0" in task.command:
        raise InvalidInput(
            "The command holds a NUL character, which no command line can",
            advice="Leave it out, or write it in the shell's way: printf '\\0'.",
        )
    for name, value in task.env.items():
        if not _VARIABLE.fullmatch(name):
            shown = repr(name[:80]) if KEY_PREFIX not in name else "it"
            raise InvalidInput(
                f"{shown} cannot be the name of an environment variable",
                advice="Give letters, digits and underscores, and no digit first.",
            )
        check_text(f"The variable {name}", value)
        if "\0" in value:
            raise InvalidInput(
                f"The variable {name} holds a NUL character, which none can",
                advice="Leave it out.",
            )
    if task.time_limit is not None and not 0 < task.time_limit < math.inf:
        raise InvalidInput(
            f"The time limit is {task.time_limit:g} s",
            advice="Give more than 0 seconds, or leave it out.",
        )


def word_of(task: Task) -> str:
    """Return the command of a task as a word of the shell that starts a bash for it.

    So that bash tells of the command alone. Where the command is in a payload, it is the shell that
    reads it and removes the payload, unless it is too long for a word.
    """
    if task.payload is None:
        return quote(task.command)
    return quote(f"eval {task.payload.script}") if task.payload.is_long else task.payload.script


def quote(text: str) -> str:
    """Return `text` as one word of bash, on one line.

    A shell on a terminal acts on a tab, a newline and other control characters as they are typed,
    also between quotes, and may take `!` for its history; so those are spelled.
    """
    if text.isprintable() and "!" not in text:
        return shlex.quote(text)
    return "$'" + "".join(map(_spelled, text)) + "'"


def _spelled(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable() and character != "!":
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="replace"))


def unquoted(word: str) -> str:
    """Return the text of a word that `quote` returned."""
    if not word.startswith("$'"):
        try:
            return "".join(shlex.split(word))
        except ValueError:
            return word
    return _ESCAPE.sub(_read_escape, word[2:-1].encode()).decode(errors="replace")


def _read_escape(escape: re.Match[bytes]) -> bytes:
    return escape[1] if len(escape[1]) == 1 else bytes([int(escape[1], 8)])


def remark(command: str) -> str:
    """Return the start of a command as a comment for the line that runs its payload."""
    return f"{_REMARK}{one_line(command)}"


def without_payload(line: str) -> str:
    """Return the remark of a line that runs a payload; another line as it is."""
    _, found, shown = line.partition(_REMARK)
    return shown if found and _PAYLOAD_END in line else line


def data_of(reply: Reply) -> object:
    """Return the `data` of a reply of the runtime's.

    Raises:
        ProxyFailed: the runtime says that it did not do it.
        InvalidResponse: the reply is not the runtime's.
    """
    content = as_object(reply.json(), "the reply")
    if content.get("success") is False:
        raise ProxyFailed(
            f"The sandbox's runtime did not do it: {reply.words() or 'no reason given'}",
            advice="Try again; if it stays, remove the sandbox with {delete} and make a new one.",
            retryable=False,
        )
    return content.get("data")


def read_done(reply: Reply) -> None:
    """Read the reply to a request that brings no data.

    Raises:
        ProxyFailed: the runtime says that it did not do it.
        InvalidResponse: the reply is not the runtime's.
    """
    data_of(reply)
    member(as_object(reply.json(), "the reply"), "success", bool)


def text_of(value: object, what: str) -> str:
    """Return an output, which may be null.

    Raises:
        InvalidResponse: it is no text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise unlike(what, "a string", value)
    # A lone surrogate is legal in JSON and in no output of ours.
    return value.encode(errors="replace").decode()


def exit_code_of(data: Mapping[str, object]) -> int | None:
    """Return an exit code, which may be null or missing."""
    return member(data, "exit_code", int) if data.get("exit_code") is not None else None
