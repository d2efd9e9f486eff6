"""The shell API's timeouts, to the tick: scripted commands on a manual clock."""

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_fakeproxy import Command, ManualClock, Outcome, ScriptedRuntime

from tests.fakeproxy.fake_app import exec_path, fake_app
from tests.fakeproxy.shell_api import CommandResult, ShellApi

TICK = 0.000001
NEVER = Outcome(seconds=math.inf)


class Timed:
    """A shell with one outcome for all commands, and its clock."""

    def __init__(self, outcome: Outcome) -> None:
        self.clock = ManualClock()
        self.runtime = ScriptedRuntime(lambda _: outcome, clock=self.clock)
        self.shell = ShellApi(self.runtime)

    def begin(self, **fields: Any) -> asyncio.Task[CommandResult]:
        return asyncio.ensure_future(self.shell.run("it", **fields))

    async def advance(self, seconds: float) -> None:
        await everybody_has_run()
        self.clock.advance(seconds)
        await everybody_has_run()


async def everybody_has_run() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("outcome", "fields", "after", "ran"),
    [
        (Outcome("a", 3, seconds=5), {}, 5, CommandResult("a", 3)),
        (Outcome("a", prints=[(2, "b"), (4, "c")]), {}, 4, CommandResult("abc")),
        (NEVER, {}, 120, CommandResult("", None, "no_change_timeout")),
        (NEVER, {"no_change_timeout": 7}, 7, CommandResult("", None, "no_change_timeout")),
        (NEVER, {"timeout": 2.5}, 2.5, CommandResult("", None, "running")),
        (NEVER, {"hard_timeout": 2.5}, 2.5, CommandResult("", None, "hard_timeout")),
        (NEVER, {"timeout": 2, "hard_timeout": 3}, 2, CommandResult("", None, "running")),
        (NEVER, {"timeout": 3, "hard_timeout": 2}, 2, CommandResult("", None, "hard_timeout")),
        (NEVER, {"timeout": 3, "hard_timeout": 3}, 3, CommandResult("", None, "hard_timeout")),
        (Outcome("a", seconds=3), {"timeout": 3}, 3, CommandResult("a")),
        (Outcome("a", seconds=3), {"hard_timeout": 3}, 3, CommandResult("a")),
        (Outcome("a", seconds=3), {"no_change_timeout": 3}, 3, CommandResult("a")),
        (
            Outcome(seconds=math.inf, prints=[(7, "a"), (14, "b")]),
            {"no_change_timeout": 7},
            21,
            CommandResult("ab", None, "no_change_timeout"),
        ),
    ],
)
async def test_an_answer_comes_at_its_moment_and_not_a_tick_before(
    outcome: Outcome, fields: dict[str, Any], after: float, ran: CommandResult
) -> None:
    timed = Timed(outcome)
    running = timed.begin(**fields)
    await timed.advance(after - TICK)
    assert not running.done()
    await timed.advance(TICK)
    assert running.done()
    assert await running == ran


@given(
    st.lists(st.integers(0, 12), max_size=4),
    st.one_of(st.just(math.inf), st.integers(0, 14).map(float)),
    st.fixed_dictionaries(
        {},
        optional={name: st.integers(1, 12) for name in ("timeout", "hard_timeout")},
    ),
    st.integers(1, 8),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
@settings(deadline=None, max_examples=60)
def test_a_clock_that_jumps_gives_the_answers_of_one_that_ticks(
    prints: list[int], seconds: float, limits: dict[str, int], silence: int, jumps: list[int]
) -> None:
    outcome = Outcome("+", seconds=seconds, prints=[(each, str(each)) for each in prints])

    async def answered(steps: list[float]) -> tuple[CommandResult, CommandResult]:
        timed = Timed(outcome)
        one = await timed.shell.session()
        running = timed.begin(id=one, no_change_timeout=silence, **limits)
        for step in steps:
            await timed.advance(step)
        viewed = await timed.shell.post("view", id=one)
        end = CommandResult(viewed["console"][-1]["output"], viewed["exit_code"], viewed["status"])
        return await asyncio.wait_for(running, 5), end

    async def scenario() -> None:
        total = max(40, sum(jumps))
        ticking = await answered([1.0] * total)
        assert await answered([*jumps, total - sum(jumps)]) == ticking
        assert await answered([total]) == ticking

    asyncio.run(scenario())


async def test_hard_timeout_ends_an_asynchronous_command_at_its_moment() -> None:
    timed = Timed(Outcome("a", seconds=math.inf, prints=[(2, "b"), (4, "c")]))
    one = await timed.shell.session()
    assert await timed.begin(id=one, async_mode=True, hard_timeout=3) == CommandResult(
        "", None, "running"
    )
    timed.clock.advance(3 - TICK)
    assert (await timed.shell.post("view", id=one))["status"] == "running"
    timed.clock.advance(100)
    viewed = await timed.shell.post("view", id=one)
    assert (viewed["status"], viewed["exit_code"]) == ("hard_timeout", None)
    assert viewed["console"][-1]["output"] == "ab"


async def test_an_answered_command_goes_on_and_is_viewed_later() -> None:
    timed = Timed(Outcome("a", 3, prints=[(10, "b")]))
    one = await timed.shell.session()
    running = timed.begin(id=one, timeout=4)
    await timed.advance(4)
    assert await running == CommandResult("a", None, "running")
    assert (await timed.shell.request("POST", "exec", {"command": "it", "id": one})).status == 409
    timed.clock.advance(6)
    viewed = await timed.shell.post("view", id=one)
    assert (viewed["status"], viewed["exit_code"]) == ("completed", 3)
    assert viewed["output"] == "gem@sandbox:~$ it\nab"


@pytest.mark.parametrize(
    ("seconds", "after", "status"),
    [(None, 60, "running"), (5, 5, "running"), (100, 90, "completed")],
)
async def test_wait_waits_for_the_end_and_for_60_s_unless_told_otherwise(
    seconds: float | None, after: float, status: str
) -> None:
    timed = Timed(Outcome(seconds=90))
    one = await timed.shell.session()
    await timed.begin(id=one, async_mode=True)
    asked = {"id": one} | ({} if seconds is None else {"seconds": seconds})
    waiting = asyncio.ensure_future(timed.shell.post("wait", **asked))
    await timed.advance(after - TICK)
    assert not waiting.done()
    await timed.advance(TICK)
    assert await waiting == {"status": status}


async def test_a_sessions_own_silence_is_its_default_only() -> None:
    timed = Timed(NEVER)
    one = await timed.shell.session(no_change_timeout=5)
    running = timed.begin(id=one)
    await timed.advance(5)
    assert (await running).status == "no_change_timeout"
    await timed.shell.post("kill", id=one)
    running = timed.begin(id=one, no_change_timeout=6)
    await timed.advance(5)
    assert not running.done()
    await timed.advance(1)
    assert (await running).status == "no_change_timeout"


async def test_a_scripted_command_answers_typed_input() -> None:
    timed = Timed(
        Outcome("Name? ", seconds=math.inf, on_input=lambda text: Outcome(f"Hello {text!r}", 3))
    )
    one = await timed.shell.session()
    running = timed.begin(id=one)
    await everybody_has_run()
    written = await timed.shell.post("write", id=one, input="Ada", press_enter=True)
    assert written == {"status": "completed"}
    assert await running == CommandResult("Name? Hello 'Ada\\n'", 3)


async def test_control_c_and_kill_end_a_scripted_command() -> None:
    timed = Timed(NEVER)
    one = await timed.shell.session()
    running = timed.begin(id=one)
    await everybody_has_run()
    await timed.shell.post("write", id=one, input="\x03", press_enter=False)
    assert await running == CommandResult("", 130)
    running = timed.begin(id=one)
    await everybody_has_run()
    assert (await timed.shell.post("kill", id=one))["status"] == "terminated"
    assert await running == CommandResult("", None, "terminated")


async def test_writing_where_nothing_runs_is_refused() -> None:
    timed = Timed(Outcome())
    one = await timed.shell.session()
    asked = {"id": one, "input": "x", "press_enter": True}
    reply = await timed.shell.request("POST", "write", asked)
    assert (reply.status, reply.json["success"]) == (409, False)
    assert reply.json["message"] == f"Session {one} runs no command that could read input"


async def test_a_list_shows_age_last_use_and_the_running_command() -> None:
    timed = Timed(NEVER)
    await timed.shell.session(id="one")
    timed.clock.advance(5.9)
    await timed.begin(id="one", async_mode=True)
    listed = (await timed.shell.request("GET", "sessions")).json["data"]["sessions"]
    assert listed == {
        "one": {
            "working_dir": "/home/gem",
            "created_at": "2026-01-01T00:00:00.000Z",
            "last_used_at": "2026-01-01T00:00:05.900Z",
            "age_seconds": 5,
            "status": "running",
            "current_command": "it",
        }
    }


async def test_a_script_sees_the_command_with_its_session_and_directory() -> None:
    timed = Timed(Outcome())
    await timed.shell.session(id="one", exec_dir="/home/gem")
    await timed.begin(id="one", exec_dir="/sandbox", truncate=False, hard_timeout=2)
    assert timed.runtime.commands == [Command("it", 2, truncate=False, directory="/sandbox")]
    assert timed.runtime.commands[0].session == "one"
    await timed.runtime.close()


async def test_an_outcome_that_takes_time_needs_a_clock() -> None:
    shell = ShellApi(ScriptedRuntime(lambda _: Outcome(seconds=1)))
    with pytest.raises(ValueError, match=r"takes 1 s.*pass the app's own"):
        await shell.run("it")


async def test_of_the_sessions_that_exec_made_all_but_the_20_last_used_idle_ones_end() -> None:
    shell = Timed(Outcome()).shell
    await shell.session(id="asked")
    made = [(await shell.exec("it"))["session_id"] for _ in range(22)]
    listed = (await shell.request("GET", "sessions")).json["data"]["sessions"]
    assert list(listed) == ["asked", *made[1:]]  # the one just made does not count yet
    await shell.exec("it", id=made[1])  # which is asked for by that
    await shell.exec("it")
    listed = (await shell.request("GET", "sessions")).json["data"]["sessions"]
    assert {"asked", made[1]} <= set(listed)


async def test_a_view_keeps_100_commands_and_300_000_characters() -> None:
    shell = Timed(Outcome("x" * 10_000)).shell
    one = await shell.session()
    for _ in range(110):
        await shell.exec("it", id=one)
    viewed = await shell.post("view", id=one)
    assert 25 <= len(viewed["console"]) <= 100
    assert 300_000 - 10_000 < len(viewed["output"]) < 400_000
    shell = Timed(Outcome()).shell
    one = await shell.session()
    for _ in range(110):
        await shell.exec("it", id=one)
    assert len((await shell.post("view", id=one))["console"]) == 100


@pytest.mark.parametrize("verb", ["pause", "delete"])
async def test_an_exec_in_a_sandbox_that_ends_is_502(verb: str) -> None:
    clock = ManualClock()
    runtime = ScriptedRuntime(lambda _: NEVER, clock=clock)
    async with fake_app(runtime, clock=clock) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        asking = asyncio.ensure_future(alice.request("POST", exec_path(), {"command": "it"}))
        await everybody_has_run()
        if verb == "pause":
            await alice.request("POST", "/api/sandboxes/box/pause")
        else:
            await alice.request("DELETE", "/api/sandboxes/box")
        reply = await asyncio.wait_for(asking, 5)
        assert reply.status_code == 502
        assert reply.json()["message"] == "The sandbox was stopped while the command ran"


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("view", {}, ["id"]),
        ("kill", {"id": 7}, ["id"]),
        ("wait", {"id": "x", "seconds": "soon"}, ["seconds"]),
        ("wait", {"seconds": -1}, ["id", "seconds"]),
        ("wait", {"id": "x", "seconds": 10**400}, ["seconds"]),
        ("write", {"id": "x"}, ["input", "press_enter"]),
        ("write", {"id": "x", "input": 7, "press_enter": "perhaps"}, ["input", "press_enter"]),
        ("sessions/create", {"exec_dir": "here"}, ["exec_dir"]),
        ("sessions/create", {"id": 7, "no_change_timeout": "x"}, ["id", "no_change_timeout"]),
        ("exec", {"timeout": "x", "id": 7}, ["command", "id", "timeout"]),
    ],
)
async def test_invalid_fields_are_422_and_all_named(
    path: str, body: dict[str, Any], wrong: list[str]
) -> None:
    reply = await Timed(Outcome()).shell.request("POST", path, body)
    assert reply.status == 422
    assert [issue["loc"] for issue in reply.json["detail"]] == [["body", name] for name in wrong]
    assert all(set(issue) == {"loc", "msg", "type"} for issue in reply.json["detail"])


async def test_a_wait_of_no_time_is_a_poll() -> None:
    timed = Timed(NEVER)
    one = await timed.shell.session()
    assert await timed.shell.run("it", id=one, timeout=0) == CommandResult("", None, "running")
    assert await timed.shell.post("wait", id=one, seconds=0) == {"status": "running"}


async def test_numbers_and_truth_values_may_be_spelt() -> None:
    timed = Timed(Outcome(seconds=3))
    running = timed.begin(timeout="2", async_mode="no", truncate="True", no_change_timeout=" 9 ")
    await timed.advance(2)
    assert (await running).status == "running"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"exit_code": 256}, "'exit_code' is 256. Expected 0 to 255"),
        ({"exit_code": -65}, "'exit_code' is -65"),
        ({"seconds": -1}, "'seconds' is -1. Expected 0 or more, or math.inf"),
        ({"seconds": math.nan}, "'seconds' is nan"),
        ({"prints": [(-1, "a")]}, "'prints' has something after -1 s"),
        ({"error_prints": [(-1, "a")]}, "'error_prints' has something after -1 s"),
        ({"prints": [(math.inf, "a")]}, "'prints' has something after inf s"),
    ],
)
def test_an_outcome_that_no_command_can_have_is_refused(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Outcome(**wrong)
