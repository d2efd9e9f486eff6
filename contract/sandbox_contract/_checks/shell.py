"""Commands as the runtime runs them."""

from typing import Any

from dirty_equals import IsPartialDict, IsStr

from sandbox_contract._run.people import EXEC, Box, in_volume
from sandbox_contract._run.run import Run
from sandbox_contract._wire.expect import Json, Reply, require

from .patterns import ANY, TEXT
from .registry import checks

_CUT = 30_000  # characters of output
_LONG = 300  # seconds: far more than a command of these runs before it is killed
NOT_FOUND = IsStr(regex=r"(?s).*Session not found.*")


def expect_data(reply: Reply, **fields: object) -> Json:
    """Expect success and some fields of the answer's `data`; return that."""
    body = reply.expect_fields(success=True, message=ANY, hint=None)
    if body["data"] != IsPartialDict(**fields):
        require(False, f"data with {fields}", body["data"], reply)
    return body["data"]


async def stopped(box: Box, session: object) -> None:
    """Kill what runs in a session, so that nothing goes on behind the clause."""
    await box.ask("/v1/shell/kill", {"id": session})


async def _require_output(box: Box, command: str, expected: str, **fields: Any) -> None:
    output = await box.output(command, **fields)
    require(output == expected, f"the output {expected!r} of {command!r}", repr(output))


@checks("shell.exec.reply")
async def a_commands_answer(run: Run) -> None:
    reply = await (await run.ready_box()).exec("echo hello")
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


@checks("shell.exec.output")
async def a_commands_output(run: Run) -> None:
    box = await run.ready_box()
    await _require_output(box, "printf 'one\\ntwo\\n'", "one\ntwo")
    await _require_output(box, "true", "")
    await _require_output(box, "seq 1 500 | tail -n 1", "500")


@checks("shell.exec.exit-code")
async def a_commands_exit_code(run: Run) -> None:
    box = await run.ready_box()
    for command, code in (("true", 0), ("false", 1), ("(exit 42)", 42), ("no-such-command", 127)):
        data = await box.run(command)
        require(data["exit_code"] == code, f"exit code {code} of {command!r}", data["exit_code"])


@checks("shell.exec.failure-succeeds")
async def a_command_that_fails(run: Run) -> None:
    reply = await (await run.ready_box()).exec("echo before; (exit 3)")
    expect_data(reply, status="completed", exit_code=3, output=IsStr(regex=r"before\s*"))


@checks("shell.exec.stderr")
async def a_commands_stderr(run: Run) -> None:
    box = await run.ready_box()
    await _require_output(box, "echo out; echo err >&2; echo out again", "out\nerr\nout again")


@checks("shell.exec.once")
async def a_command_runs_once(run: Run) -> None:
    box, file = await run.ready_box(), run.name("once")
    await box.run(in_volume(f"echo ran >> {file}"))
    await _require_output(box, in_volume(f"cat {file}"), "ran")


@checks("shell.exec.unicode")
async def any_text_passes(run: Run) -> None:
    box = await run.ready_box()
    for text in ("żółć 漢字 🦀", "'\"$HOME`x`\\", "a\tb"):
        quoted = "'" + text.replace("'", "'\\''") + "'"
        await _require_output(box, f"printf '%s\\n' {quoted}", text)


@checks("shell.exec.command-required")
async def a_command_is_required(run: Run) -> None:
    reply = (await (await run.ready_box()).ask(EXEC, {"timeout": 5})).expect(422)
    issues = reply.fields()["detail"]
    wanted = IsPartialDict(loc=["body", "command"], msg=TEXT, type=TEXT)
    require(wanted in issues, "an issue of body, command", issues, reply)


@checks("shell.exec.unknown-session")
async def an_unknown_session(run: Run) -> None:
    reply = await (await run.ready_box()).exec("true", id=run.name("session"))
    reply.expect_fields(404, message=NOT_FOUND)


@checks("shell.exec.new-session")
async def a_session_of_its_own(run: Run) -> None:
    box = await run.ready_box()
    sessions = [(await box.run("true"))["session_id"] for _ in range(2)]
    require(len(set(sessions)) == len(sessions), "two sessions", sessions)
    again = await box.run("true", id=sessions[0])
    require(again["session_id"] == sessions[0], f"the session {sessions[0]}", again)


@checks("shell.exec.directory")
async def a_commands_directory(run: Run) -> None:
    await _require_output(await run.ready_box(), "pwd", "/", exec_dir="/")


@checks("shell.exec.missing-directory")
async def a_directory_that_is_missing(run: Run) -> None:
    box = await run.ready_box()
    usual = await box.output("pwd")
    await _require_output(box, "pwd", usual, exec_dir="/nowhere/at/all")


@checks("shell.exec.strict-directory")
async def a_directory_that_must_be_there(run: Run) -> None:
    box, file = await run.ready_box(), run.name("strict")
    command = in_volume(f"touch {file}")
    reply = await box.exec(command, exec_dir="/nowhere/at/all", strict=True)
    is_error = reply.status >= 400 or reply.fields().get("success") is False
    require(is_error, "an error", reply, reply)
    await _require_output(box, in_volume(f"ls {file} 2>/dev/null; true"), "")


@checks("shell.exec.async")
async def a_command_that_is_not_waited_for(run: Run) -> None:
    box = await run.ready_box()
    reply = await box.exec(f"sleep {_LONG}", async_mode=True)
    data = expect_data(reply, status="running", exit_code=None, session_id=TEXT)
    await stopped(box, data["session_id"])


async def _goes_on(run: Run, status: str, **fields: Any) -> None:
    """Expect that a command outlasts a limit with a status, and still does its work."""
    box = await run.ready_box()
    reply = await box.exec("echo begun; read -r line; echo got $line", **fields)
    data = expect_data(reply, status=status, exit_code=None, output=IsStr(regex=r"begun\s*"))
    session = data["session_id"]
    await box.succeed("/v1/shell/write", {"id": session, "input": "on", "press_enter": True})
    await box.succeed("/v1/shell/wait", {"id": session, "seconds": 20})
    viewed = await box.succeed("/v1/shell/view", {"id": session})
    require(viewed["status"] == "completed", "a command that goes on to its end", viewed)
    require("got on" in viewed["output"], "all that it wrote", viewed)


@checks("shell.exec.timeout")
async def a_command_that_outlasts_its_timeout(run: Run) -> None:
    await _goes_on(run, "running", timeout=1)


@checks("shell.exec.no-change-timeout")
async def a_command_that_is_silent(run: Run) -> None:
    await _goes_on(run, "no_change_timeout", no_change_timeout=1)


@checks("shell.exec.hard-timeout")
async def a_command_that_is_killed_in_time(run: Run) -> None:
    box = await run.ready_box()
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


@checks("shell.exec.hard-timeout-ends")
async def a_limit_ends_with_its_command(run: Run) -> None:
    box = await run.ready_box()
    session = (await box.run("true", hard_timeout=1))["session_id"]
    await _require_output(box, "sleep 1.5; echo alive", "alive", id=session)


@checks("shell.exec.truncate")
async def long_output_is_cut(run: Run) -> None:
    box = await run.ready_box()
    command = "head -c 40000 /dev/zero | tr '\\0' x"
    most = await box.output(f"head -c {_CUT} /dev/zero | tr '\\0' x")
    require(most == "x" * _CUT, f"all {_CUT} characters", f"{len(most)} characters")
    whole = (await box.run(command, truncate=False))["output"]
    require(whole.count("x") >= 40_000, "all 40,000 characters", f"{len(whole)} characters")
    cut = (await box.run(command))["output"]
    is_cut = cut.count("x") <= _CUT and "x" * 1000 in cut
    require(is_cut, f"output cut to {_CUT} characters", f"{len(cut)} characters")
