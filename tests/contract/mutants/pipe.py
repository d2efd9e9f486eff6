"""Wrong runtimes behind the proxy: commands with pipes, their output, input and sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .mutant import Kind
from .rewriting import (
    INSIDE,
    answered,
    asked,
    body,
    changing,
    data_of,
    handled,
    losing,
    of_command,
    refused,
    renaming,
    setting,
    status,
    turning,
)

if TYPE_CHECKING:
    from .rewriting import Answer, Held, Json

BASH = rf"{INSIDE}/v1/bash"
EXEC, OUTPUT, WRITE, KILL = (f"POST {BASH}/{each}" for each in ("exec", "output", "write", "kill"))
SESSIONS = f"GET {BASH}/sessions"
CREATE, CLOSE = f"POST {BASH}/sessions/create", f"POST {BASH}/sessions/[^/]+/close"
SIGNALS = {"SIGTERM", "SIGKILL", "SIGINT"}

# Answers -----------------------------------------------------------------------------------------

ANSWER = Kind("The answer to a command with pipes")


def _with_failed(said: Json) -> Json:
    failed = said["data"]["exit_code"] not in {0, None}
    return setting("data.status", "failed")(said) if failed else said


for _id, _said, _change, _clause in (
    ("no-command-id", "lacks command_id", losing("data.command_id"), "exec.reply"),
    ("no-offset", "lacks offset", losing("data.offset"), "exec.reply"),
    ("done", "is done when it is completed", setting("data.status", "done"), "exec.reply"),
    ("exit-text", "has a text as exit code", turning("data.exit_code", str), "exec.reply"),
    ("exit-0", "has exit code 0 always", setting("data.exit_code", 0), "status.exit-code"),
    (
        "failed",
        "has failed when its exit code is not 0",
        changing(_with_failed),
        "status.exit-code",
    ),
    (
        "shell-code",
        "has 128 and the number of a signal",
        turning("data.exit_code", lambda code: 128 - code if (code or 0) < 0 else code),
        "status.signal",
    ),
    (
        "hard-code",
        "has -9 when its time was over",
        turning("data.exit_code", lambda code: -9 if code == -1 else code),
        "exec.hard-timeout",
    ),
    (
        "stripped",
        "loses the blanks at its ends",
        turning("data.stdout", str.strip),
        "streams.exact",
    ),
    (
        "terminal",
        "has line ends as on a terminal",
        turning("data.stderr", lambda out: out.replace("\n", "\r\n")),
        "streams.exact",
    ),
    (
        "no-replacement",
        "leaves out bytes that are not UTF-8",
        turning("data.stdout", lambda out: out.replace("\ufffd", "")),
        "output.replaced",
    ),
):
    ANSWER.add(
        f"bash.answer.{_id}",
        f"The answer to a command with pipes {_said}.",
        answered(EXEC, body(_change)),
        f"bash.{_clause}",
    )


for _id, _said, _line, _clause in (
    ("merged", "comes to stdout from both", changing(lambda line: f"{{ {line}\n}} 2>&1"), "apart"),
    ("lost", "is lost on stderr", changing(lambda line: f"{{ {line}\n}} 2>/dev/null"), "apart"),
    (
        "swapped",
        "comes to the other stream",
        changing(lambda line: f"{{ {line}\n}} 3>&1 >&2 2>&3"),
        "apart",
    ),
):
    ANSWER.add(
        f"bash.streams.{_id}",
        f"What a command writes {_said}.",
        asked((EXEC, of_command(_line))),
        f"bash.streams.{_clause}",
    )

# Requests ----------------------------------------------------------------------------------------

FIELDS = Kind("What a command with pipes is asked with")


def _in_one_session(said: Json) -> Json:
    return said if said.get("session_id") else {**said, "session_id": "shared"}


def _in_directory(said: Json) -> Json:
    directory = said.get("exec_dir")
    if directory is None:
        return said
    return {**losing("exec_dir")(said), "command": f"cd {directory}; {said['command']}"}


for _id, _said, _change, _clause in (
    ("exec-dir", "exec_dir is ignored", losing("exec_dir"), "directory"),
    ("exec-dir-once", "exec_dir is for one command", _in_directory, "directory"),
    ("env", "env is ignored", losing("env"), "env"),
    ("shared", "Commands without a session share one", _in_one_session, "new-session"),
    (
        "no-command",
        "Without a command, nothing runs, and that is a success",
        changing(lambda said: {"command": "true", **said}),
        "command-required",
    ),
    (
        "async",
        "async_mode is ignored, and what runs is given up after a second",
        changing(
            lambda said: {**said, "async_mode": False, "hard_timeout": said.get("async_mode") and 1}
        ),
        "async",
    ),
    ("timeout", "timeout kills", renaming("timeout", "hard_timeout"), "timeout"),
    ("hard", "hard_timeout does not kill", renaming("hard_timeout", "timeout"), "hard-timeout"),
    ("max-default", "max_output_length is ignored", losing("max_output_length"), "max-output"),
    ("max-none", "Output is never cut", setting("max_output_length", 0), "max-output"),
    (
        "twice",
        "A command runs twice",
        of_command(lambda line: f"{{ {line}\n}} >/dev/null 2>&1; {line}"),
        "once",
    ),
):
    FIELDS.add(f"bash.asked.{_id}", f"{_said}.", asked((EXEC, _change)), f"bash.exec.{_clause}")

_ENV: dict[str, Json] = {}  # by session


async def _with_lasting_env(request: Held) -> Answer:
    fields = request.fields
    env = _ENV.setdefault(str(fields.get("session_id")), {})
    env.update(fields.get("env") or {})
    return await request.send_fields({**fields, "env": env})


FIELDS.add(
    "bash.asked.env-lasts",
    "env is for all later commands of the session.",
    handled(EXEC, _with_lasting_env),
    "bash.exec.env",
)


async def _in_known_sessions(request: Held) -> Answer:
    session = request.fields.get("session_id")
    if session:
        answer = await request.ask("POST", "/v1/bash/output", {"session_id": session})
        if answer.status == 404:
            return answer
    return await request.send()


FIELDS.add(
    "bash.asked.known-session",
    "A command in an unknown session is 404.",
    handled(EXEC, _in_known_sessions),
    "bash.exec.named-session",
)

# Output and input --------------------------------------------------------------------------------

OUTPUT_AND_INPUT = Kind("Output by offset, input and signals")
for _id, _said, _path, _change, _clauses in (
    ("offset", "offset is ignored", OUTPUT, losing("offset"), ("output.offset",)),
    (
        "stderr-offset",
        "stderr_offset is ignored",
        OUTPUT,
        losing("stderr_offset"),
        ("output.offset",),
    ),
    (
        "wait",
        "wait is ignored",
        OUTPUT,
        losing("wait"),
        ("wait.output", "wait.end", "wait.limit"),
    ),
    ("input", "Input is lost", WRITE, setting("input", ""), ("write.input",)),
    (
        "enter",
        "Enter is pressed after input",
        WRITE,
        turning("input", lambda text: f"{text}\n"),
        ("write.input",),
    ),
    ("term", "Each signal is SIGTERM", KILL, setting("signal", "SIGTERM"), ("kill.ends",)),
    (
        "other-term",
        "An unknown signal is SIGTERM",
        KILL,
        turning("signal", lambda name: name if name in SIGNALS else "SIGTERM"),
        ("kill.other-signal",),
    ),
):
    OUTPUT_AND_INPUT.add(
        f"bash.asked-later.{_id}",
        f"{_said}.",
        asked((_path, _change)),
        *(f"bash.{clause}" for clause in _clauses),
    )
for _id, _said, _change in (
    ("completed", "has completed", turning("data.command.status", lambda _: "completed")),
    (
        "shell-code",
        "has 128 and the number of a signal",
        turning("data.command.exit_code", lambda code: 128 - code if (code or 0) < 0 else code),
    ),
):
    OUTPUT_AND_INPUT.add(
        f"bash.killed.{_id}",
        f"A command that was killed {_said}.",
        answered(OUTPUT, body(_change)),
        "bash.kill.ends",
    )


async def _by_characters(request: Held) -> Answer:
    answer = await request.send()
    offset = (request.fields.get("offset") or 0) + len(data_of(answer).get("stdout", ""))
    body(setting("data.offset", offset))(answer)
    return answer


OUTPUT_AND_INPUT.add(
    "bash.output.characters",
    "The new offset counts characters.",
    handled(OUTPUT, _by_characters),
    "bash.output.whole",
    "bash.output.offset",
)


async def _nothing_done(request: Held) -> Answer:
    answer = await request.ask("GET", "/v1/bash/sessions")
    body(setting("data", None))(answer)
    return answer


OUTPUT_AND_INPUT.add(
    "bash.kill.not",
    "A signal is said to be sent, and is not.",
    handled(KILL, _nothing_done),
    "bash.kill.other-signal",
)

# Sessions ----------------------------------------------------------------------------------------

SESSION = Kind("Pipe sessions")


def _keeping(line: str) -> str:
    """Return a command line with the variable of the last one."""
    file = "/tmp/contract-kept"  # noqa: S108  (in the sandbox)
    return f"CONTRACT=$(cat {file} 2>/dev/null); {line}\necho $CONTRACT >{file}"


for _id, _said, _make, _clauses in (
    (
        "kept",
        "What a command exports is kept",
        asked((EXEC, of_command(_keeping))),
        ("session.fresh",),
    ),
    (
        "unlisted",
        "None is listed",
        answered(SESSIONS, body(setting("data", []))),
        ("session.listed",),
    ),
    (
        "no-count",
        "They are listed without command_count",
        answered(SESSIONS, body(losing("data.*.command_count"))),
        ("session.listed",),
    ),
    (
        "exec-dir",
        "They are created at home",
        asked((CREATE, losing("exec_dir"))),
        ("session.create",),
    ),
    (
        "snapshot",
        "snapshot_path is ignored",
        asked((CREATE, losing("snapshot_path"))),
        ("session.snapshot",),
    ),
    ("not-closed", "Closing one does nothing", handled(CLOSE, _nothing_done), ("session.close",)),
    (
        "message",
        "An unknown one is worded as in the terminal API",
        refused(f"POST {BASH}/.*", body(setting("message", "Session not found"))),
        ("unknown.404",),
    ),
    ("410", "An unknown one is gone", refused(f"POST {BASH}/.*", status(410)), ("unknown.404",)),
    (
        "501",
        "Listing them is 501, as they are not implemented",
        answered(SESSIONS, status(501)),
        ("runtime.either",),
    ),
):
    SESSION.add(
        f"bash.session.{_id}", f"{_said}.", _make, *(f"bash.{clause}" for clause in _clauses)
    )

KINDS = (ANSWER, FIELDS, OUTPUT_AND_INPUT, SESSION)
