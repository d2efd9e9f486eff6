"""Tasks, sessions and states: the common part of the runtime's two command APIs, without I/O."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, cast

from sandbox_client.errors import InvalidInput, InvalidResponse, ProxyFailed
from sandbox_client.text import KEY_PREFIX, as_word, one_line, pluralize

from .message import Request, as_object, check_text, member, mismatch, optional, path_of
from .sandboxes import check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .message import Reply

CommandState = Literal["unknown", "empty", "running", "completed", "killed", "timed_out"]
Signal = Literal["SIGINT", "SIGTERM", "SIGKILL"]
SIGNALS: tuple[Signal, ...] = ("SIGINT", "SIGTERM", "SIGKILL")

OUTPUT_DEADLINE = 120.0  # seconds: an output of megabytes on a slow line
OUTPUT_IDLE_TIMEOUT = 10.0  # seconds
# The runtime keeps ten million characters of a terminal, sends them twice, and escapes some of them
# as six bytes. It may keep hundreds of millions of a pipe's stream.
MAX_OUTPUT_BYTES = 512 * 1024 * 1024
COMMAND_MAY_RUN = (
    "The command may have run, or may still be running, in the sandbox: look with {sessions} before"
    " you send it again."
)
SIGNAL_MAY_BE_SENT = (
    "The proxy may have done it all the same: look with {output} whether the command still runs."
)
START_WAIT = 0.05  # seconds: a command that ends sooner needs no second request

# No pager, no colours and no interactive questions.
ENVIRONMENT = {
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "TERM": "dumb",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
    "CI": "1",
}
SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PAYLOAD_END = re.compile(r'; rm -rf (?:"\$HOME"|/dev/shm)/\.remote-sandbox-')
_COMMENT = "  # "
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class CommandStatus:
    """The state of a command, which is `unknown` until it is first read.

    `exit_code` is None until the command has ended, and if the session has run another one since.
    """

    state: CommandState
    exit_code: int | None = None
    command: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the command has ended, or no command has run."""
        return self.state not in {"unknown", "running"}


@dataclass(frozen=True)
class SessionRow:
    """A session as the runtime lists it; `command` is empty if none is running."""

    id: str
    running: bool
    command: str = ""
    created_at: str = ""
    used_at: str = ""


@dataclass(frozen=True)
class Payload:
    """The uploaded files of a command, in a directory that the command removes when it starts.

    The file `run` holds the command, the file `in` its standard input, if any. With `by_eval`, the
    new shell itself reads the command: it is longer than an argument can be, or it sets variables,
    which a list of processes would show in an argument.
    """

    directory: str  # as a word of the shell
    has_input: bool = False
    by_eval: bool = False

    @property
    def input(self) -> str:
        """The file for standard input, as a word of the shell."""
        return f"{self.directory}/in" if self.has_input else "/dev/null"

    @property
    def script(self) -> str:
        """A word of the shell that reads the command and removes the directory."""
        return f'"$(cat {self.directory}/run || echo false; rm -rf {self.directory})"'


@dataclass(frozen=True)
class Task:
    """A shell command and how to run it; `time_limit` is in seconds.

    It runs in `directory`, which has to exist, by default in the session's current one. With a
    `payload`, the command is read from there. With `has_secrets`, a variable may not be seen in the
    sandbox outside the command. An internal command of the client (`is_internal`)
    reads no input and is sent without a wrapper.
    """

    command: str
    directory: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    time_limit: float | None = None
    payload: Payload | None = None
    is_internal: bool = False
    has_secrets: bool = False


def describe(name: str) -> Request:
    """Return a request for the runtime's description of itself, which shows that it answers."""
    return Request.to_read("describe", path_of("proxy", check_name(name), "v1", "sandbox"), name)


def execute_request(name: str, path: str, body: Mapping[str, object]) -> Request:
    """Return a request that starts a command; it is sent only once."""
    request = Request.to_change("execute", "POST", path, name, body, if_lost=COMMAND_MAY_RUN)
    return replace(request, deadline=OUTPUT_DEADLINE, idle_timeout=OUTPUT_IDLE_TIMEOUT)


def output_request(
    name: str, path: str, body: Mapping[str, object], *, wait: float = 0.0
) -> Request:
    """Return a request for output; the runtime waits up to `wait` seconds for some."""
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
    """Return a request that sends a signal to a command or kills it."""
    return Request.to_change("kill", "POST", path, name, body, if_lost=SIGNAL_MAY_BE_SENT)


def check_session(session: str) -> str:
    """Return `session` if it is a valid id of a session.

    Raises:
        InvalidInput: the id is invalid.
    """
    if SESSION.fullmatch(session) and KEY_PREFIX not in session:
        return session
    shown = repr(session[:80]) if session.isprintable() and KEY_PREFIX not in session else "it"
    raise InvalidInput(
        f"{shown} ({pluralize(len(session), 'character')}) cannot be a session's id",
        advice="Give 1 to 64 letters, digits, dots, hyphens and underscores, or leave it out.",
    )


def check_task(task: Task) -> None:
    """Check that a shell can run a task.

    Raises:
        InvalidInput: the command is empty, the command or a variable has an invalid character, or
            the time limit is not positive.
    """
    if not task.command.strip():
        raise InvalidInput("The command is empty", advice="Give a command for the sandbox to run.")
    check_text("The command", task.command)
    if "\0" in task.command:
        raise InvalidInput(
            "The command holds a NUL character, which no command line can",
            advice="Leave it out, or write it in the shell's way: printf '\\0'.",
        )
    for name, value in task.env.items():
        _check_variable(name, value)
    if task.time_limit is not None and not 0 < task.time_limit < math.inf:
        raise InvalidInput(
            f"The time limit is {task.time_limit:g} s",
            advice="Give more than 0 seconds, or leave it out.",
        )


def _check_variable(name: str, value: str) -> None:
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


def shell_word(task: Task) -> str:
    """Return the command of a task as a word of the shell, which runs it with a new bash.

    A command in a payload is read by the session's shell, so that the messages of bash are only
    about the command, or by the new bash: see `Payload`.
    """
    if task.payload is None:
        return quote(task.command)
    return quote(f"eval {task.payload.script}") if task.payload.by_eval else task.payload.script


def quote(text: str) -> str:
    """Quote `text` as one word of bash, on one line.

    A shell on a terminal interprets tabs, newlines and other control characters even between
    quotes, and may expand `!` from its history; so those are escaped.
    """
    if text.isprintable() and "!" not in text:
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable() and character != "!":
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="replace"))


def unquote(word: str) -> str:
    """Return the text of a word that `quote` has returned."""
    if not word.startswith("$'"):
        try:
            return "".join(shlex.split(word))
        except ValueError:
            return word
    return _ESCAPE.sub(_read_escape, word[2:-1].encode()).decode(errors="replace")


def _read_escape(escape: re.Match[bytes]) -> bytes:
    return escape[1] if len(escape[1]) == 1 else bytes([int(escape[1], 8)])


def as_comment(command: str) -> str:
    """Return the beginning of a command as a comment for the line that runs its payload."""
    return f"{_COMMENT}{one_line(command)}"


def command_in_comment(line: str) -> str:
    """Return the comment of a line that runs a payload; any other line unchanged."""
    _, found, command = line.partition(_COMMENT)
    return command if found and _PAYLOAD_END.search(line) else line


def data_of(reply: Reply, session: str = "") -> object:
    """Return the `data` of a reply of the runtime; images may leave out the id of the session.

    Raises:
        ProxyFailed: the runtime reports a failure.
        InvalidResponse: the reply is malformed, or is about another session than `session`.
    """
    content = as_object(reply.json(), "the reply")
    if content.get("success") is False:
        raise ProxyFailed(
            f"The sandbox's runtime did not do it: {reply.message() or 'no reason given'}",
            advice="Try again; if it stays, restart the sandbox with {pause} and {resume}.",
            retryable=False,
        )
    data = content.get("data")
    if session and isinstance(data, dict):
        found = optional(cast("dict[str, object]", data), "session_id") or session
        if found != session:
            raise InvalidResponse(
                f"The sandbox's reply is about session {as_word(found)}, not '{session}'"
            )
    return content.get("data")


def read_described(reply: Reply) -> None:
    """Check the reply to `describe`; images of other versions may leave out any field.

    Raises:
        ProxyFailed: the runtime reports a failure.
        InvalidResponse: the reply is malformed.
    """
    data_of(reply)


def read_done(reply: Reply) -> None:
    """Check a reply without data.

    Raises:
        ProxyFailed: the runtime reports a failure.
        InvalidResponse: the reply is malformed.
    """
    data_of(reply)
    member(as_object(reply.json(), "the reply"), "success", bool)


def text_of(value: object, label: str) -> str:
    """Return output, which errors call `label`; null is an empty string.

    Raises:
        InvalidResponse: `value` is neither a string nor null.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise mismatch(label, "a string", value)
    # JSON may contain lone surrogates, which UTF-8 cannot encode.
    return value.encode(errors="replace").decode()


def exit_code_of(data: Mapping[str, object]) -> int | None:
    """Return an exit code, which may be null or missing."""
    return member(data, "exit_code", int) if data.get("exit_code") is not None else None
