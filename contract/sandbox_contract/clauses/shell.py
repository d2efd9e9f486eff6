"""Commands as the runtime runs them."""

from typing import Any

from dirty_equals import IsPartialDict, IsStr

from sandbox_contract.clause import clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.paths import EXEC, in_volume
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, Reply, require
from sandbox_contract.target import Need

from .messages import ANY, TEXT

_CUT = 30_000  # characters of output
_LONG = 300  # seconds: far more than a command of these runs before it is killed
NOT_FOUND = IsStr(regex=r"(?s).*Session not found.*")


def expect_data(reply: Reply, **fields: object) -> Json:
    """Expect success and some fields of the answer's `data`; return that."""
    body = reply.expect_fields(success=True, message=ANY, hint=None)
    if body["data"] != IsPartialDict(**fields):
        require(False, f"data with {fields}", body["data"], reply)
    return body["data"]


async def stopped(box: SandboxHandle, session: object) -> None:
    """Kill what runs in a session, so that nothing goes on behind the clause."""
    await box.ask("/v1/shell/kill", {"id": session})


async def _require_output(box: SandboxHandle, command: str, expected: str, **fields: Any) -> None:
    output = await box.output(command, **fields)
    require(output == expected, f"the output {expected!r} of {command!r}", repr(output))


@clause(
    "shell.exec.reply",
    "A command's answer has every field.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_commands_answer(run: Run) -> None:
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
    "A command's output is what it wrote.",
    source="exact-output",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_commands_output(run: Run) -> None:
    box = await run.sandboxes.ready()
    await _require_output(box, "printf 'one\\ntwo\\n'", "one\ntwo")
    await _require_output(box, "true", "")
    await _require_output(box, "seq 1 500 | tail -n 1", "500")


@clause(
    "shell.exec.exact-output",
    "A command's output is what it wrote to the byte, blanks and empty lines too.",
    source="exact-output",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def output_is_exact(run: Run) -> None:
    box = await run.sandboxes.ready()
    for text in ("a  b", "  a\n\n\tb  \n\n", "\n", " ", "żółć 🦊\n"):
        escaped = "".join(f"\\{byte:03o}" for byte in text.encode())
        output: str = (await box.run(f"printf '{escaped}'"))["output"]
        shown = output.replace("\r\n", "\n")  # as a terminal ends lines
        require(shown == text, f"the output {text!r}", repr(output))


@clause(
    "shell.exec.exit-code",
    "A command's exit code is its own.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_commands_exit_code(run: Run) -> None:
    box = await run.sandboxes.ready()
    for command, code in (("true", 0), ("false", 1), ("(exit 42)", 42), ("no-such-command", 127)):
        data = await box.run(command)
        require(data["exit_code"] == code, f"exit code {code} of {command!r}", data["exit_code"])


@clause(
    "shell.exec.failure-succeeds",
    "A command that fails is still 200 and success.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_that_fails(run: Run) -> None:
    reply = await (await run.sandboxes.ready()).exec("echo before; (exit 3)")
    expect_data(reply, status="completed", exit_code=3, output=IsStr(regex=r"before\s*"))


@clause(
    "shell.exec.stderr",
    "stderr is in the output.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_commands_stderr(run: Run) -> None:
    box = await run.sandboxes.ready()
    await _require_output(box, "echo out; echo err >&2; echo out again", "out\nerr\nout again")


@clause(
    "shell.exec.once",
    "A command runs once.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_runs_once(run: Run) -> None:
    box, file = await run.sandboxes.ready(), run.name("once")
    await box.run(in_volume(f"echo ran >> {file}"))
    await _require_output(box, in_volume(f"cat {file}"), "ran")


@clause(
    "shell.exec.unicode",
    "Any text passes both ways.",
    source="exact-output",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def any_text_passes(run: Run) -> None:
    box = await run.sandboxes.ready()
    for text in ("żółć 漢字 🦀", "'\"$HOME`x`\\", "a\tb"):
        quoted = "'" + text.replace("'", "'\\''") + "'"
        await _require_output(box, f"printf '%s\\n' {quoted}", text)


@clause(
    "shell.exec.command-required",
    "Without a command, exec is 422.",
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
    "An unknown session is 404.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def an_unknown_session(run: Run) -> None:
    reply = await (await run.sandboxes.ready()).exec("true", id=run.name("session"))
    reply.expect_fields(404, message=NOT_FOUND)


@clause(
    "shell.exec.new-session",
    "Without an id, a command makes a session.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_session_of_its_own(run: Run) -> None:
    box = await run.sandboxes.ready()
    sessions = [(await box.run("true"))["session_id"] for _ in range(2)]
    require(len(set(sessions)) == len(sessions), "two sessions", sessions)
    again = await box.run("true", id=sessions[0])
    require(again["session_id"] == sessions[0], f"the session {sessions[0]}", again)


@clause(
    "shell.exec.directory",
    "A command runs in exec_dir.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_commands_directory(run: Run) -> None:
    await _require_output(await run.sandboxes.ready(), "pwd", "/", exec_dir="/")


@clause(
    "shell.exec.missing-directory",
    "Where exec_dir is missing, the session's directory is used.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_directory_that_is_missing(run: Run) -> None:
    box = await run.sandboxes.ready()
    usual = await box.output("pwd")
    await _require_output(box, "pwd", usual, exec_dir="/nowhere/at/all")


@clause(
    "shell.exec.strict-directory",
    "With strict, a missing exec_dir is an error, and nothing runs.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_directory_that_must_be_there(run: Run) -> None:
    box, file = await run.sandboxes.ready(), run.name("strict")
    command = in_volume(f"touch {file}")
    reply = await box.exec(command, exec_dir="/nowhere/at/all", strict=True)
    is_error = reply.status >= 400 or reply.fields().get("success") is False
    require(is_error, "an error", reply, reply)
    await _require_output(box, in_volume(f"ls {file} 2>/dev/null; true"), "")


@clause(
    "shell.exec.async",
    "With async_mode, exec answers at once.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_that_is_not_waited_for(run: Run) -> None:
    box = await run.sandboxes.ready()
    reply = await box.exec(f"sleep {_LONG}", async_mode=True)
    data = expect_data(reply, status="running", exit_code=None, session_id=TEXT)
    await stopped(box, data["session_id"])


async def _goes_on(run: Run, status: str, **fields: Any) -> None:
    """Expect that a command outlasts a limit with a status, and still does its work."""
    box = await run.sandboxes.ready()
    reply = await box.exec("echo begun; read -r line; echo got $line", **fields)
    data = expect_data(reply, status=status, exit_code=None, output=IsStr(regex=r"begun\s*"))
    session = data["session_id"]
    await box.succeed("/v1/shell/write", {"id": session, "input": "on", "press_enter": True})
    await box.succeed("/v1/shell/wait", {"id": session, "seconds": 20})
    viewed = await box.succeed("/v1/shell/view", {"id": session})
    require(viewed["status"] == "completed", "a command that goes on to its end", viewed)
    require("got on" in viewed["output"], "all that it wrote", viewed)


@clause(
    "shell.exec.timeout",
    "A command that outlasts timeout is answered as running, and goes on.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_that_outlasts_its_timeout(run: Run) -> None:
    await _goes_on(run, "running", timeout=1)


@clause(
    "shell.exec.no-change-timeout",
    "A command that is silent for no_change_timeout is answered so, and goes on.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_that_is_silent(run: Run) -> None:
    await _goes_on(run, "no_change_timeout", no_change_timeout=1)


@clause(
    "shell.exec.hard-timeout",
    "hard_timeout kills and answers with the output so far; an older image ignores it.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_that_is_killed_in_time(run: Run) -> None:
    box = await run.sandboxes.ready()
    command = "echo begun; sleep 4; echo slept"
    reply = await box.exec(command, hard_timeout=1)
    data = expect_data(reply, output=IsStr(regex=r"(?s)begun.*"))
    if data["status"] == "completed":
        run.note("hard_timeout is ignored, as by an older image")
        require("slept" in data["output"], "all of the output", data, reply)
        return
    run.note("hard_timeout is known, as to a newer image")
    require(data["status"] == "hard_timeout", "hard_timeout or completed", data, reply)
    require("slept" not in data["output"], "the output so far", data, reply)
    require(data["exit_code"] is None, "no exit code", data, reply)


@clause(
    "shell.exec.hard-timeout-ends",
    "A command's hard_timeout ends nothing that comes after it.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_limit_ends_with_its_command(run: Run) -> None:
    box = await run.sandboxes.ready()
    session = (await box.run("true", hard_timeout=1))["session_id"]
    await _require_output(box, "sleep 1.5; echo alive", "alive", id=session)


@clause(
    "shell.exec.truncate",
    "Output above 30,000 characters is cut, unless truncate is false.",
    source="run-a-command",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def long_output_is_cut(run: Run) -> None:
    box = await run.sandboxes.ready()
    command = "head -c 40000 /dev/zero | tr '\\0' x"
    most = await box.output(f"head -c {_CUT} /dev/zero | tr '\\0' x")
    require(most == "x" * _CUT, f"all {_CUT} characters", f"{len(most)} characters")
    whole = (await box.run(command, truncate=False))["output"]
    require(whole.count("x") >= 40_000, "all 40,000 characters", f"{len(whole)} characters")
    cut = (await box.run(command))["output"]
    is_cut = cut.count("x") <= _CUT and "x" * 1000 in cut
    require(is_cut, f"output cut to {_CUT} characters", f"{len(cut)} characters")
