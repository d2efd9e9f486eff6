"""The pipe API over scripted commands: fields, sessions, limits and waits, on a manual clock."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from sandbox_fakeproxy import Command, ManualClock, Outcome, RuntimeUnreachable, ScriptedRuntime
from sandbox_fakeproxy.runtime.local.piped_process import start_code

from tests.fakeproxy.shell_api import PipeApi, PipeResult, ShellApi

TICK = 0.000001
NEVER = Outcome(seconds=math.inf)


class Scripted:
    """A pipe API with one outcome for all commands, and its clock."""

    def __init__(self, outcome: Outcome = NEVER) -> None:
        self.clock = ManualClock()
        self.runtime = ScriptedRuntime(lambda _: outcome, clock=self.clock)
        self.bash = PipeApi(self.runtime)

    async def advance(self, seconds: float) -> None:
        await others_have_run()
        self.clock.advance(seconds)
        await others_have_run()


async def others_have_run() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def test_a_script_sees_the_command_and_gives_both_streams() -> None:
    seen: list[Command] = []

    def script(command: Command) -> Outcome:
        seen.append(command)
        return Outcome("out", -15, errors="err")

    runtime = ScriptedRuntime(script, clock=ManualClock())
    bash = PipeApi(runtime)
    result = await bash.run("it", session_id="s", exec_dir="/sandbox", env={"A": "1"})
    assert result == PipeResult("out", -15, "completed", "err")
    assert seen == runtime.commands == [Command("it", directory="/sandbox", env={"A": "1"})]
    assert (seen[0].session, seen[0].pipes) == ("s", True)
    shown = await ShellApi(runtime).run("it")
    assert (shown.output, shown.exit_code) == ("outerr", 143)


@pytest.mark.parametrize(
    ("outcome", "fields", "after", "result"),
    [
        (Outcome("a", 3, seconds=5, errors="e"), {}, 5, PipeResult("a", 3, stderr="e")),
        (Outcome("a", error_prints=[(4, "e")]), {}, 4, PipeResult("a", stderr="e")),
        (NEVER, {"timeout": 2.5}, 2.5, PipeResult("", None, "running")),
        (NEVER, {"hard_timeout": 2.5}, 2.5, PipeResult("", -1, "timed_out")),
        (NEVER, {"timeout": 2, "hard_timeout": 3}, 2, PipeResult("", None, "running")),
        (NEVER, {"timeout": 3, "hard_timeout": 3}, 3, PipeResult("", -1, "timed_out")),
        (Outcome("a", seconds=3), {"timeout": 3, "hard_timeout": 3}, 3, PipeResult("a")),
    ],
)
async def test_exec_answers_at_its_moment_and_not_a_tick_before(
    outcome: Outcome, fields: dict[str, Any], after: float, result: PipeResult
) -> None:
    scripted = Scripted(outcome)
    running = asyncio.ensure_future(scripted.bash.run("it", **fields))
    await scripted.advance(after - TICK)
    assert not running.done()
    await scripted.advance(TICK)
    assert running.done()
    assert await running == result


async def test_a_clock_that_jumps_past_a_timeout_gives_the_state_at_it() -> None:
    scripted = Scripted(Outcome("a", seconds=10, prints=[(3, "b"), (8, "c")]))
    running = asyncio.ensure_future(scripted.bash.run("it", session_id="s", timeout=3))
    await scripted.advance(3600 - TICK)
    assert await running == PipeResult("ab", None, "running")
    data = await scripted.bash.post("output", session_id="s", offset=2)
    assert (data["stdout"], data["command"]["status"]) == ("c", "completed")


async def test_async_mode_answers_at_once_and_a_limit_still_ends_it() -> None:
    scripted = Scripted(Outcome("a" * 60_000, seconds=math.inf))
    data = await scripted.bash.exec("it", async_mode=True, timeout=1, hard_timeout=5)
    shown = (data["status"], data["exit_code"], data["stdout"], data["offset"])
    assert shown == ("running", None, "", 0)
    scripted.clock.advance(5)
    assert await scripted.bash.follow(
        {"session_id": data["session_id"], "command_id": data["command_id"]}
    ) == PipeResult("a" * 60_000, -1, "timed_out")


async def test_a_long_poll_ends_with_output_of_either_stream_the_end_or_its_time() -> None:
    scripted = Scripted(Outcome(seconds=75, prints=[(10, "a")], error_prints=[(20, "e")]))
    started = await scripted.bash.start("it")
    offsets = {"offset": 0, "stderr_offset": 0}
    answers: list[tuple[str, str, str]] = []
    for seconds in (10, 10, 30, 25):
        polled = scripted.bash.post("output", **started, **offsets, wait=True)
        polling = asyncio.ensure_future(polled)
        await scripted.advance(seconds - TICK)
        assert not polling.done()
        await scripted.advance(TICK)
        data = await polling
        offsets = {name: data[name] for name in offsets}
        answers.append((data["stdout"], data["stderr"], data["command"]["status"]))
    assert answers == [
        ("a", "", "running"),
        ("", "e", "running"),
        ("", "", "running"),
        ("", "", "completed"),
    ]
    assert offsets == {"offset": 1, "stderr_offset": 1}


async def test_output_without_a_command_is_that_of_the_last_one() -> None:
    bash = Scripted(Outcome("abc")).bash
    await bash.post("sessions/create", session_id="s")
    empty = await bash.post("output", session_id="s", wait=True)
    assert (empty["stdout"], empty["offset"], empty["command"]) == ("", 0, None)
    first, second = await bash.exec("1", session_id="s"), await bash.exec("2", session_id="s")
    data = await bash.post("output", session_id="s", offset=1)
    assert (data["stdout"], data["offset"], data["command"]["command"]) == ("bc", 3, "2")
    data = await bash.post("output", session_id="s", command_id=first["command_id"], offset=9)
    assert (data["stdout"], data["offset"], data["command"]["command"]) == ("", 3, "1")
    assert first["command_id"] != second["command_id"]


@pytest.mark.parametrize(("limit", "text"), [(0, "é" * 60_000), (60_000, "é" * 60_000), (3, None)])
async def test_max_output_length_is_one_of_characters(limit: int, text: str | None) -> None:
    bash = Scripted(Outcome("é" * 60_000)).bash
    result = await bash.run("it", max_output_length=limit)
    assert result.stdout == (text or "éé\n[... 119994 bytes left out ...]\né")


async def test_input_reaches_the_script_as_it_was_written() -> None:
    def on_input(text: str) -> Outcome | None:
        return Outcome(f"<{text}>") if "end" in text else None

    bash = Scripted(Outcome(seconds=math.inf, on_input=on_input)).bash
    started = await bash.start("it")
    await bash.post("write", **started, input="\r\x03")
    await bash.post("write", session_id=started["session_id"], input="end\r")
    assert await bash.follow(started) == PipeResult("<end\r>")


@pytest.mark.parametrize(
    ("name", "code"), [(None, -15), ("SIGTERM", -15), ("SIGKILL", -9), ("SIGINT", -2)]
)
async def test_kill_sends_a_signal(name: str | None, code: int) -> None:
    bash = Scripted().bash
    started = await bash.start("it")
    assert await bash.post("kill", session_id=started["session_id"], signal=name) is None
    assert await bash.follow(started) == PipeResult("", code, "killed")
    await bash.post("kill", session_id=started["session_id"])  # nothing runs: no effect


async def test_sessions_are_created_listed_and_closed() -> None:
    scripted = Scripted()
    bash = scripted.bash
    row = await bash.post("sessions/create", session_id="s", exec_dir="/sandbox")
    assert row == {
        "session_id": "s",
        "status": "ready",
        "working_dir": "/sandbox",
        "created_at": "2026-01-01T00:00:00.000Z",
        "last_used_at": "2026-01-01T00:00:00.000Z",
        "current_command": None,
        "command_count": 0,
    }
    scripted.clock.advance(60)
    again = await bash.post("sessions/create", session_id="s", exec_dir="/home/gem")
    assert again == row | {"last_used_at": "2026-01-01T00:01:00.000Z"}
    await bash.start("it", session_id="s")
    other = (await bash.post("sessions/create", session_id=""))["session_id"]
    listed = (await bash.request("GET", "sessions")).json["data"]
    assert [each["session_id"] for each in listed] == ["s", other]
    assert listed[0] == again | {"current_command": "it", "command_count": 1}
    assert await bash.post("sessions/s/close") is None
    listed = (await bash.request("GET", "sessions")).json["data"]
    assert [each["session_id"] for each in listed] == [other]


async def test_exec_makes_the_session_that_it_names() -> None:
    bash = Scripted(Outcome()).bash
    assert (await bash.exec("it", session_id="mine"))["session_id"] == "mine"
    made = [(await bash.exec("it", session_id=each))["session_id"] for each in ("", None)]
    assert len({*made, "mine"}) == 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("output", {"session_id": "none"}),
        ("write", {"session_id": "none", "input": ""}),
        ("kill", {"session_id": "none"}),
        ("sessions/none/close", {}),
    ],
)
async def test_an_unknown_session_is_404(path: str, body: dict[str, Any]) -> None:
    reply = await Scripted().bash.request("POST", path, body)
    assert (reply.status, reply.json["message"]) == (404, "Session none not found")
    assert (reply.json["success"], reply.json["data"]) == (False, None)


@pytest.mark.parametrize("path", ["output", "write"])
async def test_an_unknown_command_is_404(path: str) -> None:
    bash = Scripted().bash
    started = await bash.start("it")
    reply = await bash.request("POST", path, started | {"command_id": "none", "input": ""})
    assert (reply.status, reply.json["message"]) == (404, "Command none not found")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("exec", {}, "command"),
        ("exec", {"command": 1}, "command"),
        ("exec", {"command": "a\0b"}, "command"),
        ("exec", {"command": "it", "session_id": "a/b"}, "session_id"),
        ("exec", {"command": "it", "exec_dir": "relative"}, "exec_dir"),
        ("exec", {"command": "it", "env": ["A=1"]}, "env"),
        ("exec", {"command": "it", "env": {"A": None}}, "env"),
        ("exec", {"command": "it", "env": {"A=B": "1"}}, "env"),
        ("exec", {"command": "it", "env": {"A": "\0"}}, "env"),
        ("exec", {"command": "it", "async_mode": "maybe"}, "async_mode"),
        ("exec", {"command": "it", "timeout": -1}, "timeout"),
        ("exec", {"command": "it", "hard_timeout": 0}, "hard_timeout"),
        ("exec", {"command": "it", "max_output_length": -1}, "max_output_length"),
        ("output", {}, "session_id"),
        ("output", {"session_id": "s", "offset": -1}, "offset"),
        ("output", {"session_id": "s", "stderr_offset": 1.5}, "stderr_offset"),
        ("output", {"session_id": "s", "wait_timeout": "long"}, "wait_timeout"),
        ("write", {"session_id": "s"}, "input"),
        ("kill", {"session_id": "s", "signal": "SIGHUP"}, "signal"),
        ("sessions/create", {"exec_dir": "relative"}, "exec_dir"),
        ("sessions/create", {"session_id": ".."}, "session_id"),
    ],
)
async def test_a_malformed_request_is_422_and_has_no_effect(
    path: str, body: dict[str, Any], field: str
) -> None:
    scripted = Scripted()
    reply = await scripted.bash.request("POST", path, body)
    assert (reply.status, [each["loc"] for each in reply.json["detail"]]) == (
        422,
        [["body", field]],
    )
    assert scripted.runtime.commands == []
    assert (await scripted.bash.request("GET", "sessions")).json["data"] == []


async def test_a_missing_exec_dir_is_400_and_runs_nothing() -> None:
    scripted = Scripted(Outcome())
    reply = await scripted.bash.request("POST", "exec", {"command": "it", "exec_dir": "/no/such"})
    assert (reply.status, reply.json["message"]) == (400, "Directory not found: /no/such")
    assert scripted.runtime.commands == []
    assert (await scripted.bash.request("GET", "sessions")).json["data"] == []


USES: dict[str, Callable[[PipeApi], Any]] = {
    "exec": lambda bash: bash.exec("it", session_id="s", async_mode=True),
    "output": lambda bash: bash.post("output", session_id="s"),
    "kill": lambda bash: bash.post("kill", session_id="s"),
    "create": lambda bash: bash.post("sessions/create", session_id="s"),
}


@pytest.mark.parametrize("use", USES)
async def test_a_session_is_removed_an_hour_after_its_last_use(use: str) -> None:
    scripted = Scripted(Outcome())
    await scripted.bash.post("sessions/create", session_id="s")
    scripted.clock.advance(3599)
    await USES[use](scripted.bash)
    scripted.clock.advance(3600 - TICK)
    assert len((await scripted.bash.request("GET", "sessions")).json["data"]) == 1
    scripted.clock.advance(TICK)
    assert (await scripted.bash.request("GET", "sessions")).json["data"] == []


async def test_a_session_is_removed_an_hour_after_the_end_of_its_command() -> None:
    scripted = Scripted(Outcome(seconds=9000))
    started = await scripted.bash.start("it")
    scripted.clock.advance(9000 + 3600 - TICK)
    row = (await scripted.bash.request("GET", "sessions")).json["data"][0]
    assert row["session_id"] == started["session_id"]
    scripted.clock.advance(TICK)
    reply = await scripted.bash.request("POST", "output", started)
    assert reply.status == 404


async def test_of_idle_sessions_that_no_request_named_the_last_ones_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.pipe.sessions._MAX_IDLE_IMPLICIT", 2)
    bash = Scripted(Outcome()).bash
    made = [(await bash.exec("it"))["session_id"] for _ in range(5)]
    listed = (await bash.request("GET", "sessions")).json["data"]
    assert [each["session_id"] for each in listed] == made[-3:]  # the last one was not idle


async def test_a_session_remembers_its_last_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.pipe.sessions._MAX_COMMANDS", 2)
    bash = Scripted(Outcome("a")).bash
    ids = [(await bash.exec("it", session_id="s"))["command_id"] for _ in range(3)]
    statuses = [
        (await bash.request("POST", "output", {"session_id": "s", "command_id": each})).status
        for each in ids
    ]
    assert statuses == [404, 200, 200]
    row = (await bash.request("GET", "sessions")).json["data"][0]
    assert row["command_count"] == 3


async def test_a_stop_ends_the_wait_for_a_command_and_forgets_sessions() -> None:
    scripted = Scripted()
    running = asyncio.ensure_future(scripted.bash.exec("it", session_id="s"))
    await others_have_run()
    await scripted.runtime.stop("one")
    with pytest.raises(RuntimeUnreachable):
        await running
    assert (await scripted.bash.request("GET", "sessions")).json["data"] == []


async def test_other_methods_and_paths_are_not_answered() -> None:
    bash = Scripted().bash
    assert (await bash.request("GET", "exec")).status == 405
    assert (await bash.request("GET", "sessions/s/close")).status == 405
    with pytest.raises(AssertionError):
        await bash.request("POST", "sessions//close")


def test_the_value_of_a_variable_is_on_no_command_line() -> None:
    export, execution = start_code("true", {"A": "a secret", "PATH": "/bin"}).splitlines()
    assert (export, execution) == (
        "export 'A=a secret'",
        """exec env -- PATH=/bin "$BASH" -c true bash""",
    )
