"""Whatever a command does to its shell, the fake's side of it holds."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from shlex import quote

import pytest
from sandbox_fakeproxy import LocalRuntime

from tests.fakeproxy.isolations import WORKING
from tests.fakeproxy.shells import Box, Ran


@pytest.fixture(params=WORKING)
async def box(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Box]:
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation=request.param)
    yield Box(runtime)
    await runtime.close()


async def test_what_follows_a_dead_shell_writes_to_nobody_elses_descriptor(box: Box) -> None:
    one = await box.session()
    await box.exec("kill -9 $$", id=one)
    with ExitStack() as stack:
        # They take the numbers that the dead shell's terminal and channel had.
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(12)]
        assert await box.run("echo mine", id=one) == Ran("mine\n")
        for file in files:
            file.seek(0)
            assert file.read() == b""


async def test_a_session_whose_streams_all_lead_elsewhere_goes_on(box: Box) -> None:
    one = await box.session()
    assert await box.run("exec </dev/null >out.log 2>&1", id=one, timeout=10) == Ran("")
    assert await box.run("echo logged; exit 3", id=one, timeout=10) == Ran("", 3)
    assert await box.run("cat out.log >/dev/tty", id=one, timeout=10) == Ran("logged\n")


async def test_whatever_is_typed_arrives_whole_or_is_refused(box: Box) -> None:
    one = await box.session()
    await box.exec("wc -c", id=one, async_mode=True)
    line = "x" * 999 + "\n"
    await box.post("write", id=one, input=line * 3000, press_enter=False)
    await box.post("write", id=one, input="\x04", press_enter=False)
    assert (await box.post("wait", id=one))["status"] == "completed"
    assert (await box.post("view", id=one))["console"][-1]["output"] == "3000000\n"


async def test_what_there_is_no_room_for_is_refused_whole(box: Box) -> None:
    one = await box.session()
    await box.exec("sleep 1000", id=one, async_mode=True)
    asked = {"id": one, "input": "x" * 10_000_000, "press_enter": False}
    assert (await box.ask("POST", "write", asked)).status == 200
    refused = await box.ask("POST", "write", asked)
    assert refused.status == 409
    assert "no room for 10000000 characters more" in refused.json["message"]


async def test_a_program_has_time_to_clean_up_when_it_is_killed(box: Box) -> None:
    one = await box.session()
    cleanup = "trap 'trap exit INT; sleep 0.5; echo clean; exit' INT; echo on; sleep 1000 & wait"
    running = asyncio.ensure_future(box.run(f"x=1; bash -c {quote(cleanup)}", id=one))
    await box.until_it_wrote("on\n", one)
    killed = await box.ask("POST", "kill", {"id": one})
    assert (await running).output == "on\nclean\n"
    assert killed.json["hint"] is None
    assert await box.run("echo $x", id=one) == Ran("1\n")


async def test_a_kill_that_takes_all_of_the_session_says_so(box: Box) -> None:
    one = await box.session()
    running = asyncio.ensure_future(box.run("trap '' INT; echo on; sleep 1000", id=one))
    await box.until_it_wrote("on\n", one)
    killed = await box.ask("POST", "kill", {"id": one})
    assert killed.json["data"]["status"] == "terminated"
    assert "did not heed Ctrl-C" in killed.json["hint"]
    assert (await running).status == "terminated"


async def test_who_waits_for_a_command_of_a_session_that_ends_is_told_terminated(box: Box) -> None:
    for _ in range(5):
        one = await box.session()
        ran, ended = await asyncio.gather(
            box.run("sleep 1000", id=one), box.ask("DELETE", f"sessions/{one}")
        )
        assert ended.status == 200
        assert ran == Ran("", None, "terminated")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/"])
async def test_a_session_has_a_name_by_which_it_can_be_deleted(box: Box, name: str) -> None:
    reply = await box.ask("POST", "sessions/create", {"id": name})
    assert reply.status == 422
    assert "part of a URL" in reply.json["detail"][0]["msg"]
