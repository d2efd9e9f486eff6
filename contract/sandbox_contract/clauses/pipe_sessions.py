"""The runtime's pipe API: output by offset, long polls, input, signals and sessions."""

from dirty_equals import IsPartialDict, IsStr

from sandbox_contract.clause import clause
from sandbox_contract.harness.api import TEXT
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, Reply, require

from .pipe import LONG, NEEDS, SESSIONS, end_loops, pipe_session
from .shell import expect_data

_LONG_POLL = 10  # seconds, for output after 0.2 s
_SHORT_POLL = 0.4  # seconds


def _rows(reply: Reply) -> list[Json]:
    """Return the sessions of a list."""
    rows = reply.expect_fields(success=True).get("data")
    require(isinstance(rows, list), "a list of sessions", reply, reply)
    return list(rows or [])


@clause(
    "bash.output.offset",
    "Output is read from a byte offset on, of each stream.",
    source="output-by-offset",
    needs=NEEDS,
)
async def output_is_read_from_an_offset(run: Run) -> None:
    async with pipe_session(run) as session:
        command_id = (await session.run("printf aéb; printf xyz >&2; exit 3"))["command_id"]
        for at, stdout, stderr in (((0, 0), "aéb", "xyz"), ((3, 1), "b", "yz"), ((4, 3), "", "")):
            data = await session.output(command_id, offset=at[0], stderr_offset=at[1])
            read = (data["stdout"], data["stderr"], data["offset"], data["stderr_offset"])
            require(read == (stdout, stderr, 4, 3), f"what is there from {at} on", data)
            info = {"command_id": command_id, "status": "completed", "exit_code": 3}
            require(data["command"] == IsPartialDict(info), f"the command {info}", data)


@clause(
    "bash.output.whole",
    "Consecutive reads return each byte once; a character between two may be replaced.",
    source="output-by-offset",
    needs=NEEDS,
)
async def consecutive_reads_are_the_whole(run: Run) -> None:
    async with pipe_session(run) as session:
        pieces = r"for p in '\303' '\251\342\202' '\254' '|'; do printf \"$p\"; sleep 0.06; done"
        data = await session.follow(await session.start(pieces.replace('\\"', '"')))
        is_whole = data["stdout"] == "é€|"
        replaced = IsStr(regex="(é|\ufffd{1,2})(€|\ufffd{1,3})\\|")
        require(is_whole or data["stdout"] == replaced, "each character once, or U+FFFD", data)
        run.note(f"a character between two reads arrives {'whole' if is_whole else 'as U+FFFD'}")
        require(data["offset"] == 6, "6 bytes", data)


@clause(
    "bash.output.replaced",
    "Bytes that are not UTF-8 arrive as U+FFFD, and count as bytes.",
    source="output-by-offset",
    needs=NEEDS,
)
async def other_bytes_are_replaced(run: Run) -> None:
    async with pipe_session(run) as session:
        data = await session.run(r"printf 'a\377b\303'")
        require(data["stdout"] == "a\ufffdb\ufffd", "U+FFFD for two bytes", data)
        require(data["offset"] == 4, "4 bytes", data)


@clause(
    "bash.wait.output",
    "A long poll returns when there is new output.",
    source="long-polls",
    needs=NEEDS,
)
async def a_long_poll_returns_with_output(run: Run) -> None:
    async with pipe_session(run) as session:
        started = await session.start(f"sleep 0.2; echo on; sleep {LONG}")
        fields = {"command_id": started, "wait": True, "wait_timeout": _LONG_POLL}
        reply = await session.ask("output", **fields)
        expect_data(reply, stdout="on\n", offset=3)
        took = reply.exchange.seconds
        require(took < _LONG_POLL, f"an answer within {_LONG_POLL} s", f"{took:.1f} s", reply)


@clause(
    "bash.wait.end",
    "A long poll returns when the command ends.",
    source="long-polls",
    needs=NEEDS,
)
async def a_long_poll_returns_at_the_end(run: Run) -> None:
    async with pipe_session(run) as session:
        started = await session.start("sleep 0.2; exit 4")
        fields = {"command_id": started, "wait": True, "wait_timeout": _LONG_POLL}
        reply = await session.ask("output", **fields)
        command = expect_data(reply, stdout="", offset=0)["command"]
        wanted = IsPartialDict(status="completed", exit_code=4)
        require(command == wanted, "a command that has completed", command, reply)
        took = reply.exchange.seconds
        require(took < _LONG_POLL, f"an answer within {_LONG_POLL} s", f"{took:.1f} s", reply)


@clause(
    "bash.wait.limit",
    "A long poll returns after wait_timeout, and the command continues.",
    source="long-polls",
    needs=NEEDS,
)
async def a_long_poll_returns_after_its_time(run: Run) -> None:
    async with pipe_session(run) as session:
        started = await session.start(f"sleep {LONG}")
        reply = await session.ask("output", command_id=started, wait=True, wait_timeout=_SHORT_POLL)
        command = expect_data(reply, stdout="", offset=0)["command"]
        require(command == IsPartialDict(status="running"), "a command that runs", command, reply)
        took = reply.exchange.seconds
        is_in_time = 0.9 * _SHORT_POLL < took < _LONG_POLL
        require(is_in_time, f"an answer after {_SHORT_POLL} s", f"{took:.1f} s", reply)


@clause(
    "bash.write.input",
    "Input that is written reaches the command, unchanged, and stdin stays open.",
    source="input-and-signals",
    needs=NEEDS,
)
async def written_input_reaches_the_command(run: Run) -> None:
    async with pipe_session(run) as session:
        started = await session.start("cat")
        for text in ("some words\n", "żó\x03"):
            written = await session.ask("write", command_id=started, input=text)
            written.expect_fields(success=True)
        data = await session.follow(started, until="\x03")
        require(data["stdout"] == "some words\nżó\x03", "the input, once", data)
        require(data["command"]["status"] == "running", "a command that still reads", data)


@clause(
    "bash.kill.ends",
    "kill ends the command, which is killed, by the signal that is asked for.",
    source="input-and-signals",
    needs=NEEDS,
)
async def a_command_is_killed(run: Run) -> None:
    loops = await run.once(end_loops)
    for signal, code in (("", -15), ("SIGKILL", -9), ("SIGINT", -2)):
        data = loops.killed[signal]
        wanted = IsPartialDict(status="killed", exit_code=code)
        require(data["command"] == wanted, f"killed, with exit code {code}", data)
    require(not loops.runs_after_kill, "a command that has ended", "one that runs")


@clause(
    "bash.kill.other-signal",
    "kill with any other signal is 422, and the command continues.",
    source="input-and-signals",
    needs=NEEDS,
)
async def another_signal_is_422(run: Run) -> None:
    async with pipe_session(run) as session:
        started = await session.start(f"sleep {LONG}")
        (await session.ask("kill", signal="SIGHUP")).expect(422)
        command = (await session.output(started))["command"]
        require(command == IsPartialDict(status="running"), "a command that runs", command)


@clause(
    "bash.session.fresh",
    "cd and export in a command do not affect the next.",
    source="sessions-with-pipes",
    needs=NEEDS,
)
async def a_command_leaves_nothing(run: Run) -> None:
    async with pipe_session(run) as session:
        await session.run("cd /; export CONTRACT=kept", exec_dir="/usr")
        data = await session.run('echo "$PWD [$CONTRACT]"')
        require(data["stdout"] == "/usr []\n", "nothing of the command before", data)


@clause(
    "bash.session.listed",
    "Sessions are listed, with every promised field.",
    source="sessions-with-pipes",
    needs=NEEDS,
)
async def sessions_are_listed(run: Run) -> None:
    async with pipe_session(run) as session:
        await session.run("true", exec_dir="/usr")
        await session.start(f"sleep {LONG}")
        reply = await session.box.ask(SESSIONS, method="GET")
        wanted = {
            "session_id": session.id,
            "status": "ready",
            "working_dir": "/usr",
            "created_at": TEXT,
            "last_used_at": TEXT,
            "current_command": f"sleep {LONG}",
            "command_count": 2,
        }
        require(IsPartialDict(wanted) in _rows(reply), f"a session {wanted}", reply, reply)


@clause(
    "bash.session.create",
    "A session is created in exec_dir, and commands run in it.",
    source="sessions-with-pipes",
    needs=NEEDS,
)
async def a_session_is_created(run: Run) -> None:
    async with pipe_session(run) as session:
        created = await session.ask("sessions/create", exec_dir="/usr")
        expect_data(created, session_id=session.id, status="ready", working_dir="/usr")
        data = await session.run("pwd")
        require(data["stdout"] == "/usr\n", "the directory /usr", data)


@clause(
    "bash.session.snapshot",
    "A session's snapshot_path is sourced before its commands.",
    source="sessions-with-pipes",
    needs=NEEDS,
)
async def a_snapshot_is_sourced(run: Run) -> None:
    async with pipe_session(run) as session:
        path = f"/sandbox/{run.name('snapshot')}"
        content = {"file": path, "content": "export CONTRACT=sourced\n"}
        (await session.box.ask("/v1/file/write", content)).expect_fields(success=True)
        (await session.ask("sessions/create", snapshot_path=path)).expect_fields(success=True)
        data = await session.run("echo $CONTRACT")
        require(data["stdout"] == "sourced\n", "the script's variable", data)


@clause(
    "bash.session.close",
    "Closing a session ends its commands.",
    source="sessions-with-pipes",
    needs=NEEDS,
)
async def closing_a_session_ends_its_commands(run: Run) -> None:
    loops = await run.once(end_loops)
    loops.closed.expect_fields(success=True)
    require(not loops.runs_after_close, "a command that has ended", "one that runs")


@clause(
    "bash.unknown.404",
    "An unknown session id is 404, except in exec and create.",
    source="sessions-with-pipes",
    needs=NEEDS,
)
async def an_unknown_session_is_404(run: Run) -> None:
    box = await run.sandboxes.with_pipes()
    unknown = run.name("session")
    for path, fields in (
        ("output", {"session_id": unknown}),
        ("write", {"session_id": unknown, "input": "x"}),
        ("kill", {"session_id": unknown}),
        (f"sessions/{unknown}/close", {}),
    ):
        reply = await box.ask(f"/v1/bash/{path}", fields)
        reply.expect_fields(404, message=f"Session {unknown} not found")
