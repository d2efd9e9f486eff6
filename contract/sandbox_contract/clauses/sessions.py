"""Sessions of the runtime's shell: their state, output, input and end."""

from dirty_equals import IsPartialDict, IsStr

from sandbox_contract.clause import clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import ANY, TEXT, in_volume
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, require
from sandbox_contract.target import Need

from .lifetime import EndedLoop
from .shell import NOT_FOUND, SESSIONS, VIEW, WAIT, WAITED, expect_data, run_long_commands


async def _new_session(run: Run) -> tuple[SandboxHandle, Json]:
    """Return the shared sandbox, and a new session in it."""
    box = await run.sandboxes.ready()
    return box, (await box.run("true"))["session_id"]


async def _start_command(run: Run, command: str) -> tuple[SandboxHandle, Json]:
    """Start a command in the shared sandbox; return the sandbox and the session."""
    box = await run.sandboxes.ready()
    reply = await box.exec(command, async_mode=True)
    return box, expect_data(reply, status="running")["session_id"]


def _require_ended(loop: EndedLoop) -> None:
    require(loop.ran_before, "a command that runs", "none")
    require(not loop.runs_after, "a command that has ended", "one that runs")


@clause(
    "shell.session.directory",
    "A session keeps its working directory from one command to the next.",
    source="sessions",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_session_keeps_its_directory(run: Run) -> None:
    box, session = await _new_session(run)
    await box.run("cd /usr", id=session)
    output = await box.output("pwd", id=session)
    require(output == "/usr", "the directory /usr", output)


@clause(
    "shell.session.variables",
    "A session keeps its variables from one command to the next.",
    source="sessions",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_session_keeps_its_variables(run: Run) -> None:
    box, session = await _new_session(run)
    await box.run("export CONTRACT=kept; plain=too", id=session)
    output = await box.output("echo $CONTRACT $plain; printenv CONTRACT", id=session)
    require(output == "kept too\nkept", "the variables' values", output)


@clause(
    "shell.session.apart",
    "Sessions share neither variables nor the working directory.",
    source="sessions",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def sessions_share_nothing(run: Run) -> None:
    box, session = await _new_session(run)
    await box.run("export CONTRACT=mine; cd /usr", id=session)
    output = await box.output('echo "[$CONTRACT]"; pwd')
    require(output.startswith("[]"), "no variable of another session", output)
    require(not output.endswith("/usr"), "no directory of another session", output)


@clause(
    "shell.session.listed",
    "Sessions are listed.",
    source="sessions",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def sessions_are_listed(run: Run) -> None:
    box, session = await _new_session(run)
    reply = await box.ask(SESSIONS, method="GET")
    data = expect_data(reply)
    require(session in str(data), f"a list with {session}", data, reply)


@clause(
    "shell.session.create",
    "Creating a session whose id exists returns that session.",
    source="sessions",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def creating_a_session_is_idempotent(run: Run) -> None:
    box, session = await run.sandboxes.ready(), run.name("session")
    body = {"id": session, "exec_dir": "/usr"}
    created = await box.succeed(f"{SESSIONS}/create", body)
    require(created["session_id"] == session, f"the session {session}", created)
    await box.run("cd /; export CONTRACT=kept", id=session)
    recreated = await box.succeed(f"{SESSIONS}/create", body)
    require(recreated["session_id"] == session, f"the session {session}", recreated)
    output = await box.output("pwd; echo $CONTRACT", id=session)
    require(output == "/\nkept", "the same session, as it was left", output)


@clause(
    "shell.session.delete",
    "Deleting a session ends its command, and the id is then unknown.",
    source="sessions",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def deleting_a_session_ends_its_command(run: Run) -> None:
    loop = (await run.once(run_long_commands)).deleted
    loop.ended.expect_fields(success=True)
    loop.after.expect_fields(404, message=NOT_FOUND)
    _require_ended(loop)


@clause(
    "shell.view.reply",
    "view returns a session's status, last command and output.",
    source="view-wait-write-and-kill",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_session_is_viewed(run: Run) -> None:
    box, session = await _new_session(run)
    await box.run("echo before", id=session)
    await box.run("echo seen", id=session)
    reply = await box.ask(VIEW, {"id": session})
    data = expect_data(
        reply,
        session_id=session,
        status="completed",
        command="echo seen",
        exit_code=0,
        output=IsStr(regex=r"(?s).*before.*seen.*"),
    )
    records = data["console"]
    wanted = IsPartialDict(ps1=ANY, command="echo seen", output=IsStr(regex=r"(?s).*seen.*"))
    require(wanted in records, "a console record of the command", records, reply)


@clause(
    "shell.view.exit-code",
    "view returns exit_code null until the command completes.",
    source="view-wait-write-and-kill",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def the_exit_code_is_null_until_completion(run: Run) -> None:
    box, session = await _start_command(run, "read -r line; (exit 5)")
    reply = await box.ask(VIEW, {"id": session})
    data = expect_data(reply, status="running")
    require(data["exit_code"] is None, "no exit code yet", data, reply)
    await box.succeed("/v1/shell/write", {"id": session, "input": "on", "press_enter": True})
    await box.succeed(WAIT, {"id": session, "seconds": 20})
    expect_data(await box.ask(VIEW, {"id": session}), status="completed", exit_code=5)


@clause(
    "shell.wait.ends",
    "wait returns when the command ends.",
    source="view-wait-write-and-kill",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def wait_returns_when_the_command_ends(run: Run) -> None:
    reply = (await run.once(run_long_commands)).waited_to_end
    expect_data(reply, status="completed")
    took = reply.exchange.seconds
    require(took < WAITED, f"an answer within {WAITED} s", f"{took:.1f} s", reply)


@clause(
    "shell.wait.limit",
    "wait returns after its seconds, and the command continues.",
    source="view-wait-write-and-kill",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def wait_returns_after_its_seconds(run: Run) -> None:
    responses = await run.once(run_long_commands)
    expect_data(responses.waited_in_vain, status="running")
    took = responses.waited_in_vain.exchange.seconds
    require(took > 0.9, "an answer after 1 s", f"{took:.1f} s", responses.waited_in_vain)
    expect_data(responses.viewed_after_wait, status="running", exit_code=None)


@clause(
    "shell.write.input",
    "Input that is written to a session reaches its command.",
    source="view-wait-write-and-kill",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def written_input_reaches_the_command(run: Run) -> None:
    file = run.name("written")
    box, session = await _start_command(run, in_volume(f"cat > {file}"))
    written = await box.ask(
        "/v1/shell/write", {"id": session, "input": "some words", "press_enter": True}
    )
    expect_data(written, status=TEXT)
    end = {"id": session, "input": "\x04", "press_enter": False}
    await box.succeed("/v1/shell/write", end)
    await box.succeed(WAIT, {"id": session, "seconds": 20})
    received = await box.output(in_volume(f"cat -A {file}"))
    require(received == "some words$", "a command that got the line, once", received)


@clause(
    "shell.kill.ends",
    "kill ends the command.",
    source="view-wait-write-and-kill",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_is_killed(run: Run) -> None:
    loop = (await run.once(run_long_commands)).killed
    data = loop.ended.expect_fields(success=True)["data"]
    require(data["status"] != "running", "a status other than running", data, loop.ended)
    require("exit_code" in data and "returncode" in data, "exit_code, returncode", data, loop.ended)
    viewed = loop.after.expect_fields(success=True)["data"]
    require(viewed["status"] != "running", "a command that has ended", viewed)
    _require_ended(loop)


@clause(
    "shell.unknown.404",
    "An unknown session id is 404 on every route of a session.",
    source="sessions",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def an_unknown_session_is_404_everywhere(run: Run) -> None:
    box, unknown = await run.sandboxes.ready(), run.name("session")
    for path, more in (
        ("view", {}),
        ("wait", {"seconds": 1}),
        ("write", {"input": "x", "press_enter": True}),
        ("kill", {}),
    ):
        reply = await box.ask(f"/v1/shell/{path}", {"id": unknown, **more})
        reply.expect_fields(404, message=NOT_FOUND)
    deletion = await box.ask(f"{SESSIONS}/{unknown}", method="DELETE")
    deletion.expect_fields(404, message=NOT_FOUND)


@clause(
    "shell.sandbox.about",
    "GET /v1/sandbox describes the sandbox.",
    source="about-the-runtime",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_sandbox_describes_itself(run: Run) -> None:
    reply = await (await run.sandboxes.ready()).ask("/v1/sandbox", method="GET")
    body = reply.expect_fields(success=True, message=ANY, home_dir=TEXT, version=TEXT, detail=ANY)
    require(body["home_dir"] == "/home/gem", "the home /home/gem", body, reply)
