"""The runtime's pipe API: how commands run, what they write, and how they end."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from dirty_equals import IsPartialDict, IsStr

from sandbox_contract.clause import clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import TEXT, in_volume
from sandbox_contract.harness.run import Run
from sandbox_contract.http.client import segment
from sandbox_contract.http.expect import Json, Reply, require
from sandbox_contract.target import Need

from .lifetime import Heartbeat
from .shell import expect_data

NEEDS = (Need.USER, Need.WAITING, Need.RUNTIME, Need.PIPES)
EXEC, OUTPUT, SESSIONS = "/v1/bash/exec", "/v1/bash/output", "/v1/bash/sessions"
LONG = 300  # seconds: the command is ended long before
_LIMIT = 50_000  # characters of each stream


@dataclass(frozen=True, slots=True)
class PipeSession:
    """A pipe session of the shared sandbox, and the commands in it."""

    box: SandboxHandle
    id: str

    async def ask(self, path: str, **fields: Any) -> Reply:
        """Send a request for this session below /v1/bash/."""
        return await self.box.ask(f"/v1/bash/{path}", {"session_id": self.id, **fields})

    async def run(self, command: str, **fields: Any) -> Json:
        """Run a command to its end; return the response's `data`, with "" for an empty stream."""
        reply = await self.ask("exec", command=command, **fields)
        data = expect_data(reply, status="completed", session_id=self.id)
        return {**data, **{name: data.get(name) or "" for name in ("stdout", "stderr")}}

    async def start(self, command: str, **fields: Any) -> str:
        """Start a command, and return its id."""
        reply = await self.ask("exec", command=command, async_mode=True, **fields)
        command_id: str = expect_data(reply, status="running", command_id=TEXT)["command_id"]
        return command_id

    async def output(self, command_id: str, **fields: Any) -> Json:
        """Return the `data` of a read of a command's output."""
        return expect_data(await self.ask("output", command_id=command_id, **fields))

    async def follow(self, command_id: str, *, until: str | None = None) -> Json:
        """Read all output up to the command's end, or a text; return the last `data` with it."""
        stdout, stderr, at = "", "", {"offset": 0, "stderr_offset": 0}
        while True:
            data = await self.output(command_id, **at, wait=True, wait_timeout=20)
            stdout, stderr = stdout + data["stdout"], stderr + data["stderr"]
            status = None if data["command"] is None else data["command"]["status"]
            has_ended = status not in {"pending", "running"}
            is_stuck = (data["offset"], data["stderr_offset"]) == tuple(at.values())
            if has_ended or is_stuck or (until is not None and until in stdout):
                return {**data, "stdout": stdout, "stderr": stderr}
            at = {name: data[name] for name in at}


@asynccontextmanager
async def pipe_session(run: Run) -> AsyncGenerator[PipeSession]:
    """Yield a new pipe session of the shared sandbox; its commands end with the block."""
    box = await run.sandboxes.with_pipes()
    session = PipeSession(box, run.name("session"))
    try:
        yield session
    finally:
        await box.ask(f"{SESSIONS}/{segment(session.id)}/close", {})


@dataclass(frozen=True, slots=True)
class EndedLoops:
    """Loops that a hard limit, signals or the end of their session ended, and whether any ran on.

    `killed` has the last `data` of a command for each signal.
    """

    timed_out: Reply
    runs_after_limit: bool
    killed: Mapping[str, Json]
    runs_after_kill: bool
    closed: Reply
    runs_after_close: bool


async def end_loops(run: Run) -> EndedLoops:
    """Start a loop in each of several sessions, and end them, all at the same time."""
    limited, killed, closed = await asyncio.gather(
        _exceed_hard_timeout(run), _kill_loops(run), _close_session(run)
    )
    return EndedLoops(*limited, *killed, *closed)


async def _exceed_hard_timeout(run: Run) -> tuple[Reply, bool]:
    async with pipe_session(run) as session:
        heartbeat = Heartbeat(run, session.box, beats=60)
        command = f"echo begun; {heartbeat.command}; echo ended"
        reply = await session.ask("exec", command=command, hard_timeout=0.5)
        return reply, await heartbeat.is_running()


async def _kill_loops(run: Run) -> tuple[Mapping[str, Json], bool]:
    async with pipe_session(run) as session:
        killed: dict[str, Json] = {}
        for signal in ("", "SIGKILL", "SIGINT"):
            heartbeat = Heartbeat(run, session.box, beats=60)
            started = await session.start(f"echo begun; {heartbeat.command}; echo ended")
            await session.follow(started, until="begun")
            fields = {"signal": signal} if signal else {}
            (await session.ask("kill", **fields)).expect_fields(success=True)
            killed[signal] = await session.follow(started)
        return killed, await heartbeat.is_running()


async def _close_session(run: Run) -> tuple[Reply, bool]:
    async with pipe_session(run) as session:
        heartbeat = Heartbeat(run, session.box, beats=60)
        started = await session.start(f"echo begun; {heartbeat.command}")
        await session.follow(started, until="begun")
        closed = await session.box.ask(f"{SESSIONS}/{segment(session.id)}/close", {})
        return closed, await heartbeat.is_running()


@clause(
    "bash.runtime.either",
    "A runtime without the pipe API answers 404, as to any path that it does not have.",
    source="runtimes-without-pipes",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_runtime_has_pipes_or_not(run: Run) -> None:
    box = await run.sandboxes.ready()
    reply = (await box.ask(SESSIONS, method="GET")).expect(200, 404)
    if reply.status == 404:
        run.note("the runtime has no pipe API, as an older image")
        reply.expect_fields(404, detail="Not Found")
        (await box.ask(EXEC, {"command": "true"})).expect_fields(404, detail="Not Found")
        return
    run.note("the runtime has the pipe API, as a newer image")
    reply.expect_fields(success=True)


@clause(
    "bash.exec.reply",
    "The response to a command with pipes has every promised field.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def the_response_has_every_field(run: Run) -> None:
    async with pipe_session(run) as session:
        data = expect_data(
            await session.ask("exec", command="echo hello"),
            session_id=session.id,
            command_id=TEXT,
            command="echo hello",
            status="completed",
            stdout="hello\n",
            exit_code=0,
            offset=6,
            stderr_offset=0,
        )
        require(type(data["exit_code"]) is int, "a number as exit_code", data)
        require(not data.get("stderr"), "nothing in stderr", data)


@clause(
    "bash.exec.once",
    "A command with pipes runs once.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def a_command_runs_once(run: Run) -> None:
    async with pipe_session(run) as session:
        file = run.name("once")
        await session.run(in_volume(f"echo ran >> {file}"))
        data = await session.run(in_volume(f"cat {file}"))
        require(data["stdout"] == "ran\n", "one line", data)


@clause(
    "bash.exec.new-session",
    "A command without a session id, or with an empty one, gets a new session.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def a_command_gets_its_own_session(run: Run) -> None:
    box = await run.sandboxes.with_pipes()
    made = [
        expect_data(await box.ask(EXEC, {"command": "true", **fields}))["session_id"]
        for fields in ({}, {"session_id": ""})
    ]
    for each in made:
        await box.ask(f"{SESSIONS}/{segment(each)}/close", {})
    require(all(made) and len(set(made)) == 2, "two sessions", made)


@clause(
    "bash.exec.named-session",
    "A command in an unknown session creates the session of that id.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def a_command_makes_the_session_that_it_names(run: Run) -> None:
    async with pipe_session(run) as session:
        await session.run("true")
        await session.run("true")


@clause(
    "bash.exec.directory",
    "A command runs in exec_dir, which becomes the session's directory.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def exec_dir_becomes_the_sessions(run: Run) -> None:
    async with pipe_session(run) as session:
        for fields in ({"exec_dir": "/usr"}, {}, {"exec_dir": "/"}, {}):
            directory = "/usr" if "/usr" in fields.values() else None
            data = await session.run("pwd", **fields)
            require(directory in {None, data["stdout"].strip()}, "the directory /usr", data)
        require(data["stdout"] == "/\n", "the directory /", data)


@clause(
    "bash.exec.env",
    "env sets variables for one command.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def env_is_for_one_command(run: Run) -> None:
    async with pipe_session(run) as session:
        env = {"CONTRACT": 'it\'s "$set"\n', "CONTRACT_2": "too"}
        data = await session.run('printf %s "$CONTRACT$CONTRACT_2"', env=env)
        require(data["stdout"] == "".join(env.values()), "the variables' values", data)
        data = await session.run('echo "[$CONTRACT$CONTRACT_2]"')
        require(data["stdout"] == "[]\n", "no variable of the command before", data)


@clause(
    "bash.exec.command-required",
    "exec without a command is 422.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def a_command_is_required(run: Run) -> None:
    reply = (await (await run.sandboxes.with_pipes()).ask(EXEC, {"timeout": 5})).expect(422)
    wanted = IsPartialDict(loc=["body", "command"], msg=TEXT, type=TEXT)
    issues = reply.fields()["detail"]
    require(wanted in issues, "an issue of body, command", issues, reply)


@clause(
    "bash.exec.async",
    "With async_mode, exec returns while the command runs.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def async_mode_returns_at_once(run: Run) -> None:
    async with pipe_session(run) as session:
        reply = await session.ask("exec", command=f"sleep {LONG}", async_mode=True)
        data = expect_data(reply, status="running", command_id=TEXT)
        require(data.get("exit_code") is None, "no exit code", data)


@clause(
    "bash.exec.timeout",
    "A command that exceeds timeout is reported as running, and continues.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def a_command_continues_after_its_timeout(run: Run) -> None:
    async with pipe_session(run) as session:
        command = "echo begun; read -r line; echo got $line"
        reply = await session.ask("exec", command=command, timeout=0.2)
        data = expect_data(reply, status="running", stdout="begun\n", offset=6)
        require(data.get("exit_code") is None, "no exit code", data)
        await session.ask("write", input="on\n")
        ended = await session.follow(data["command_id"])
        require(ended["stdout"] == "begun\ngot on\n", "all that it wrote", ended)


@clause(
    "bash.exec.hard-timeout",
    "hard_timeout kills the command: timed_out, with exit code -1 and the output so far.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def hard_timeout_kills_the_command(run: Run) -> None:
    loops = await run.once(end_loops)
    expect_data(loops.timed_out, status="timed_out", exit_code=-1, stdout="begun\n")
    require(not loops.runs_after_limit, "a command that has ended", "one that runs")


@clause(
    "bash.exec.max-output",
    "Of output above max_output_length, exec returns head and tail; 0 means no limit.",
    source="run-a-command-with-pipes",
    needs=NEEDS,
)
async def long_output_is_cut(run: Run) -> None:
    async with pipe_session(run) as session:
        line = f"seq -w 1 9999; seq -w {_LIMIT}"
        whole = (await session.run(line, max_output_length=0))["stdout"]
        require(len(whole) == 9999 * 5 + _LIMIT * 6, "all of the output", whole[-600:])
        for limit, fields in ((_LIMIT, {}), (2_000, {"max_output_length": 2_000})):
            data = await session.run(line, **fields)
            cut = data["stdout"]
            size = f"{len(cut)} characters"
            require(limit / 2 < len(cut) < limit * 1.1, f"about {limit} characters", size)
            ends = cut[: limit // 4] == whole[: limit // 4] and cut[-100:] == whole[-100:]
            require(ends, "head and tail", f"{cut[:50]!r} and {cut[-50:]!r}")
            require(data["offset"] == len(whole), "the offset of all output", data["offset"])


@clause(
    "bash.streams.apart",
    "What a command writes to stdout and to stderr is apart.",
    source="separate-streams",
    needs=NEEDS,
)
async def the_streams_are_apart(run: Run) -> None:
    async with pipe_session(run) as session:
        data = await session.run("echo out; echo err >&2; echo out again")
        streams = (data["stdout"], data["stderr"])
        require(streams == ("out\nout again\n", "err\n"), "each stream", streams)


@clause(
    "bash.streams.exact",
    "Output is exact to the byte, in UTF-8, and is no terminal's.",
    source="separate-streams",
    needs=NEEDS,
)
async def the_output_is_exact(run: Run) -> None:
    async with pipe_session(run) as session:
        for text in ("a  b", "  a\n\n\tb  \n\n", "\n", "", "żółć 🦊\r\n", "\x1b[1m\0\a"):
            escaped = "".join(f"\\{byte:03o}" for byte in text.encode())
            data = await session.run(f"printf '{escaped}' | tee /dev/stderr")
            streams = (data["stdout"], data["stderr"])
            require(streams == (text, text), f"the output {text!r}", repr(streams))
        data = await session.run("test -t 0 || test -t 1 || test -t 2")
        require(data["exit_code"] == 1, "no terminal", data)


@clause(
    "bash.status.exit-code",
    "A command has completed whatever its exit code.",
    source="status-of-a-command-with-pipes",
    needs=NEEDS,
)
async def the_exit_code_is_returned(run: Run) -> None:
    async with pipe_session(run) as session:
        for command, code in (("true", 0), ("false", 1), ("exit 143", 143), ("no-such-it", 127)):
            data = await session.run(command)
            require(data["exit_code"] == code, f"exit code {code} of {command!r}", data)


@clause(
    "bash.status.signal",
    "The exit code of a command that a signal has ended is the signal's negative number.",
    source="status-of-a-command-with-pipes",
    needs=NEEDS,
)
async def a_signal_is_a_negative_code(run: Run) -> None:
    async with pipe_session(run) as session:
        for signal, code in (("TERM", -15), ("KILL", -9), ("INT", -2)):
            reply = await session.ask("exec", command=f"kill -{signal} $$")
            expect_data(reply, status=IsStr(regex="completed|killed"), exit_code=code)
