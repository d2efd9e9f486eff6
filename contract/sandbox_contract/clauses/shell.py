"""The runtime's exec route: results, sessions, directories, limits and output."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from dirty_equals import IsPartialDict, IsStr

from sandbox_contract.clause import clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import ANY, EXEC, TEXT, in_volume
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, Reply, require
from sandbox_contract.target import Need

from .lifetime import EndedLoop, Heartbeat, end_loop

WAIT, VIEW, KILL = "/v1/shell/wait", "/v1/shell/view", "/v1/shell/kill"
SESSIONS = "/v1/shell/sessions"
WAITED = 10  # seconds, for a command of 1 s
_OUTPUT_LIMIT = 30_000  # characters of output
_LONG = 300  # seconds: the command is killed long before
NOT_FOUND = IsStr(regex=r"(?s).*Session not found.*")


def expect_data(reply: Reply, **fields: object) -> Json:
    """Require success and some fields of the response's `data`, and return `data`."""
    body = reply.expect_fields(success=True, message=ANY, hint=None)
    if body["data"] != IsPartialDict(**fields):
        require(False, f"data with {fields}", body["data"], reply)
    return body["data"]


async def kill_session(box: SandboxHandle, session: str) -> Reply:
    """Kill the command of a session."""
    return await box.ask(KILL, {"id": session})


async def _expect_output(box: SandboxHandle, command: str, expected: str, **fields: Any) -> None:
    output = await box.output(command, **fields)
    require(output == expected, f"the output {expected!r} of {command!r}", repr(output))


@clause(
    "shell.exec.reply",
    "The response to a command has every promised field.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def the_response_has_every_field(run: Run) -> None:
    reply = await (await run.sandboxes.ready()).exec("echo hello")
    data = expect_data(
        reply,
        session_id=TEXT,
        command="echo hello",
        status="completed",
        output=IsStr(regex=r"hello\s*"),
        exit_code=0,
    )
    record: Json = data["console"][0] if data["console"] else {}
    wanted = {"ps1": ANY, "command": "echo hello", "output": IsStr(regex=r"(?s).*hello.*")}
    require(record == IsPartialDict(wanted), f"console of {wanted}", data["console"], reply)


@clause(
    "shell.exec.output",
    "The response to a command contains its output.",
    source="exact-output",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def the_output_is_returned(run: Run) -> None:
    box = await run.sandboxes.ready()
    await _expect_output(box, "printf 'one\\ntwo\\n'", "one\ntwo")
    await _expect_output(box, "true", "")
    await _expect_output(box, "seq 1 500 | tail -n 1", "500")


@clause(
    "shell.exec.exact-output",
    "A command's output is exact to the byte, including spaces and empty lines.",
    source="exact-output",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def the_output_is_exact(run: Run) -> None:
    box = await run.sandboxes.ready()
    for text in ("a  b", "  a\n\n\tb  \n\n", "\n", " ", "żółć 🦊\n"):
        escaped = "".join(f"\\{byte:03o}" for byte in text.encode())
        output: str = (await box.run(f"printf '{escaped}'"))["output"]
        shown = output.replace("\r\n", "\n")  # as a terminal ends lines
        require(shown == text, f"the output {text!r}", repr(output))


@clause(
    "shell.exec.exit-code",
    "The response to a command contains its exit code.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def the_exit_code_is_returned(run: Run) -> None:
    box = await run.sandboxes.ready()
    for command, code in (("true", 0), ("false", 1), ("(exit 42)", 42), ("no-such-command", 127)):
        data = await box.run(command)
        require(data["exit_code"] == code, f"exit code {code} of {command!r}", data["exit_code"])


@clause(
    "shell.exec.failure-succeeds",
    "A command that fails is still 200 with success true.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_failing_command_is_a_success(run: Run) -> None:
    reply = await (await run.sandboxes.ready()).exec("echo before; (exit 3)")
    expect_data(reply, status="completed", exit_code=3, output=IsStr(regex=r"before\s*"))


@clause(
    "shell.exec.stderr",
    "A command's output includes stderr.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def the_output_includes_stderr(run: Run) -> None:
    box = await run.sandboxes.ready()
    await _expect_output(box, "echo out; echo err >&2; echo out again", "out\nerr\nout again")


@clause(
    "shell.exec.once",
    "A command runs once.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_runs_once(run: Run) -> None:
    box, file = await run.sandboxes.ready(), run.name("once")
    await box.run(in_volume(f"echo ran >> {file}"))
    await _expect_output(box, in_volume(f"cat {file}"), "ran")


@clause(
    "shell.exec.unicode",
    "Any text passes unchanged in both directions.",
    source="exact-output",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def any_text_passes_unchanged(run: Run) -> None:
    box = await run.sandboxes.ready()
    for text in ("żółć 漢字 🦀", "'\"$HOME`x`\\", "a\tb"):
        quoted = "'" + text.replace("'", "'\\''") + "'"
        await _expect_output(box, f"printf '%s\\n' {quoted}", text)


@clause(
    "shell.exec.command-required",
    "exec without a command is 422.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_is_required(run: Run) -> None:
    reply = (await (await run.sandboxes.ready()).ask(EXEC, {"timeout": 5})).expect(422)
    issues = reply.fields()["detail"]
    wanted = IsPartialDict(loc=["body", "command"], msg=TEXT, type=TEXT)
    require(wanted in issues, "an issue of body, command", issues, reply)


@clause(
    "shell.exec.unknown-session",
    "exec in an unknown session is 404.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def an_unknown_session_is_404(run: Run) -> None:
    reply = await (await run.sandboxes.ready()).exec("true", id=run.name("session"))
    reply.expect_fields(404, message=NOT_FOUND)


@clause(
    "shell.exec.new-session",
    "A command without a session id gets a new session.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_gets_its_own_session(run: Run) -> None:
    box = await run.sandboxes.ready()
    sessions = [(await box.run("true"))["session_id"] for _ in range(2)]
    require(len(set(sessions)) == len(sessions), "two sessions", sessions)
    second = await box.run("true", id=sessions[0])
    require(second["session_id"] == sessions[0], f"the session {sessions[0]}", second)


@clause(
    "shell.exec.directory",
    "A command runs in exec_dir.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_runs_in_exec_dir(run: Run) -> None:
    await _expect_output(await run.sandboxes.ready(), "pwd", "/", exec_dir="/")


@clause(
    "shell.exec.missing-directory",
    "A command whose exec_dir is missing runs in the session's directory.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_missing_exec_dir_falls_back(run: Run) -> None:
    box = await run.sandboxes.ready()
    default = await box.output("pwd")
    await _expect_output(box, "pwd", default, exec_dir="/nowhere/at/all")
    session = (await box.run("cd /usr"))["session_id"]
    await _expect_output(box, "pwd", "/usr", exec_dir="/nowhere/at/all", id=session)


@clause(
    "shell.exec.strict-directory",
    "With strict, a missing exec_dir is an error, and the command does not run.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_missing_exec_dir_is_an_error_with_strict(run: Run) -> None:
    box, file = await run.sandboxes.ready(), run.name("strict")
    command = in_volume(f"touch {file}")
    reply = await box.exec(command, exec_dir="/nowhere/at/all", strict=True)
    is_error = reply.status >= 400 or reply.fields().get("success") is False
    require(is_error, "an error", reply, reply)
    await _expect_output(box, in_volume(f"ls {file} 2>/dev/null; true"), "")


@clause(
    "shell.exec.async",
    "With async_mode, exec returns while the command runs.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def async_mode_returns_at_once(run: Run) -> None:
    box = await run.sandboxes.ready()
    reply = await box.exec(f"sleep {_LONG}", async_mode=True)
    data = expect_data(reply, status="running", exit_code=None, session_id=TEXT)
    await kill_session(box, data["session_id"])


@dataclass(frozen=True, slots=True)
class _ExceededLimit:
    """A command that exceeded a limit: the reply at the limit, and the session after its end."""

    reply: Reply
    viewed: Reply


@dataclass(frozen=True, slots=True)
class _ExceededHardTimeout:
    """A command that exceeded its hard limit, and whether it ran after the reply."""

    reply: Reply
    runs_after: bool


@dataclass(frozen=True, slots=True)
class _LongCommands:
    """The responses to commands that take a second or more, all at the same time."""

    timeout: _ExceededLimit
    no_change_timeout: _ExceededLimit
    hard_timeout: _ExceededHardTimeout
    after_hard_timeout: Reply
    waited_in_vain: Reply
    waited_to_end: Reply
    viewed_after_wait: Reply
    killed: EndedLoop
    deleted: EndedLoop


async def run_long_commands(run: Run) -> _LongCommands:
    """Run commands that exceed a limit of one second or are ended, each in its own session."""
    box = await run.sandboxes.ready()
    waiting = expect_data(await box.exec("read -r line", async_mode=True))["session_id"]
    ended = (await box.run("true", hard_timeout=1))["session_id"]
    heartbeat = Heartbeat(run, box, beats=40)
    limits, waits, loops = await asyncio.gather(
        asyncio.gather(
            _exceed_limit(box, timeout=1),
            _exceed_limit(box, no_change_timeout=1),
            _exceed_hard_timeout(box, heartbeat),
            box.exec("sleep 1.5; echo alive", id=ended),
        ),
        asyncio.gather(
            box.ask(WAIT, {"id": waiting, "seconds": 1}),
            _wait_to_end(box, "sleep 1; echo done"),
        ),
        asyncio.gather(
            end_loop(run, box, partial(kill_session, box), partial(_view, box)),
            end_loop(run, box, partial(_delete_session, box), partial(_use_session, box)),
        ),
    )
    viewed = await _view(box, waiting)
    await kill_session(box, waiting)
    return _LongCommands(*limits, *waits, viewed, *loops)


async def _view(box: SandboxHandle, session: str) -> Reply:
    return await box.ask(VIEW, {"id": session})


async def _delete_session(box: SandboxHandle, session: str) -> Reply:
    return await box.ask(f"{SESSIONS}/{session}", method="DELETE")


async def _use_session(box: SandboxHandle, session: str) -> Reply:
    return await box.exec("true", id=session)


async def _wait_to_end(box: SandboxHandle, command: str) -> Reply:
    session = expect_data(await box.exec(command, async_mode=True))["session_id"]
    return await box.ask(WAIT, {"id": session, "seconds": WAITED})


async def _exceed_hard_timeout(box: SandboxHandle, heartbeat: Heartbeat) -> _ExceededHardTimeout:
    command = f"echo begun; {heartbeat.command}; echo ended"
    reply = await box.exec(command, hard_timeout=1)
    return _ExceededHardTimeout(reply, await heartbeat.is_running())


async def _exceed_limit(box: SandboxHandle, **limits: Any) -> _ExceededLimit:
    reply = await box.exec("echo begun; read -r line; echo got $line", **limits)
    session = expect_data(reply)["session_id"]
    await box.succeed("/v1/shell/write", {"id": session, "input": "on", "press_enter": True})
    await box.succeed(WAIT, {"id": session, "seconds": 20})
    return _ExceededLimit(reply, await _view(box, session))


def _require_continued(exceeded: _ExceededLimit, status: str) -> None:
    """Require that a command got a status at its limit, and then ran to its end."""
    expect_data(exceeded.reply, status=status, exit_code=None, output=IsStr(regex=r"begun\s*"))
    data = expect_data(exceeded.viewed, status="completed")
    require("got on" in data["output"], "all that it wrote", data, exceeded.viewed)


@clause(
    "shell.exec.timeout",
    "A command that exceeds timeout is reported as running, and continues.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_continues_after_its_timeout(run: Run) -> None:
    _require_continued((await run.once(run_long_commands)).timeout, "running")


@clause(
    "shell.exec.no-change-timeout",
    "A command without output for no_change_timeout is reported so, and continues.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_silent_command_continues(run: Run) -> None:
    _require_continued((await run.once(run_long_commands)).no_change_timeout, "no_change_timeout")


@clause(
    "shell.exec.hard-timeout",
    "hard_timeout kills the command and returns its output so far; an older image ignores it.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def hard_timeout_kills_the_command(run: Run) -> None:
    hard = (await run.once(run_long_commands)).hard_timeout
    reply = hard.reply
    data = expect_data(reply, output=IsStr(regex=r"(?s)begun.*"))
    if data["status"] == "completed":
        run.note("hard_timeout is ignored, as by an older image")
        require("ended" in data["output"], "all of the output", data, reply)
        return
    run.note("hard_timeout is known, as to a newer image")
    require(data["status"] == "hard_timeout", "hard_timeout or completed", data, reply)
    require("ended" not in data["output"], "the output so far", data, reply)
    require(data["exit_code"] is None, "no exit code", data, reply)
    require(not hard.runs_after, "a command that was killed", "one that runs")


@clause(
    "shell.exec.hard-timeout-ends",
    "A command's hard_timeout does not end a later command.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def hard_timeout_spares_later_commands(run: Run) -> None:
    reply = (await run.once(run_long_commands)).after_hard_timeout
    expect_data(reply, status="completed", output=IsStr(regex=r"alive\s*"))


@clause(
    "shell.exec.truncate",
    "Output over 30,000 characters is truncated, unless truncate is false.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def long_output_is_truncated(run: Run) -> None:
    box = await run.sandboxes.ready()
    command = "head -c 40000 /dev/zero | tr '\\0' x"
    longest = await box.output(f"head -c {_OUTPUT_LIMIT} /dev/zero | tr '\\0' x")
    require(
        longest == "x" * _OUTPUT_LIMIT,
        f"all {_OUTPUT_LIMIT} characters",
        f"{len(longest)} characters",
    )
    whole = (await box.run(command, truncate=False))["output"]
    require(whole.count("x") >= 40_000, "all 40,000 characters", f"{len(whole)} characters")
    truncated = (await box.run(command))["output"]
    is_truncated = truncated.count("x") <= _OUTPUT_LIMIT and "x" * 1000 in truncated
    require(
        is_truncated, f"output cut to {_OUTPUT_LIMIT} characters", f"{len(truncated)} characters"
    )
