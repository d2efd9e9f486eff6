"""Whatever a command does to its shell, the fake's side of it holds."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from shlex import quote

import pytest
from sandbox_fakeproxy import LocalRuntime, RuntimeUnreachable
from sandbox_fakeproxy._local.isolation import Choice

from tests.fakeproxy.isolations import in_each_isolation
from tests.fakeproxy.shells import Box, Ran


@pytest.fixture
async def box(tmp_path: Path, isolation: Choice) -> AsyncGenerator[Box]:
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation=isolation)
    yield Box(runtime)
    await runtime.close()


async def test_a_shell_that_cannot_be_started_is_an_unreachable_runtime(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: "/no/such/bash")
    runtime = LocalRuntime(tmp_path, isolation="none")
    with pytest.raises(RuntimeUnreachable, match="The shell cannot be started"):
        await Box(runtime).run("true")
    await runtime.close()


@pytest.mark.parametrize("shell", ["exit 3", "exec sleep 1000"])
async def test_a_shell_that_ends_or_says_nothing_at_its_start_is_an_unreachable_runtime(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str
) -> None:
    (tmp_path / "bash").write_text(f"#!/bin/sh\n{shell}\n")
    (tmp_path / "bash").chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _name: str(tmp_path / "bash"))
    monkeypatch.setattr("sandbox_fakeproxy._local.life._START_PATIENCE", 0.2)
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation="none")
    with pytest.raises(RuntimeUnreachable, match="The shell cannot be started"):
        await Box(runtime).run("true")
    await runtime.close()


async def test_input_before_the_shell_has_started_reaches_the_command(box: Box) -> None:
    one = await box.session()
    ran, written = await asyncio.gather(
        box.run("read line; echo $line", id=one),
        box.ask("POST", "write", {"id": one, "input": "early", "press_enter": True}),
    )
    assert written.status == 200
    assert ran == Ran("early\n")


async def test_a_kill_before_the_shell_has_started_ends_the_command(box: Box) -> None:
    one = await box.session()
    ran, killed = await asyncio.gather(
        box.run("sleep 1000", id=one), box.ask("POST", "kill", {"id": one})
    )
    assert killed.json["data"]["status"] == "terminated"
    assert ran.status == "terminated"


@in_each_isolation
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
    assert await box.run("exec </dev/null >out.log 2>&1", id=one, timeout=3) == Ran("")
    assert await box.run("echo logged; exit 3", id=one, timeout=3) == Ran("", 3)
    assert await box.run("cat out.log >/dev/tty", id=one, timeout=3) == Ran("logged\n")


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


@in_each_isolation
async def test_a_kill_that_takes_all_of_the_session_says_so(quick_kills: None, box: Box) -> None:
    one = await box.session()
    running = asyncio.ensure_future(box.run("trap '' INT; echo on; sleep 1000", id=one))
    await box.until_it_wrote("on\n", one)
    killed = await box.ask("POST", "kill", {"id": one})
    assert killed.json["data"]["status"] == "terminated"
    assert "did not heed Ctrl-C" in killed.json["hint"]
    assert (await running).status == "terminated"


@in_each_isolation
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


@pytest.mark.parametrize(
    ("name", "code"), [("HUP", 129), ("PIPE", 141), ("ALRM", 142), ("ABRT", 134), ("TERM", 143)]
)
async def test_a_shell_that_a_signal_ends_reports_it_as_bash_does(
    box: Box, name: str, code: int
) -> None:
    one = await box.session()
    assert await box.run(f"x=1; kill -{name} $$; echo no", id=one) == Ran("", code)
    assert await box.run(f"kill -{name} $$", id=one) == Ran("", code)
    assert await box.run("echo $x", id=one) == Ran("1\n")


async def test_sigusr1_is_whatever_number_it_is_here(box: Box) -> None:
    assert (await box.run("kill -USR1 $$")).exit_code == 128 + signal.SIGUSR1


@pytest.mark.parametrize(
    "name",
    [
        "read",
        "eval",
        "set",
        "trap",
        "exec",
        "exit",
        "return",
        "printf",
        "declare",
        "unset",
        "shift",
    ],
)
async def test_a_users_function_may_be_named_like_a_builtin(box: Box, name: str) -> None:
    one = await box.session()
    mine = f"function {name} {{ echo mine; }}"
    assert await box.run(mine, id=one, timeout=3) == Ran("")
    assert await box.run(f"x=1; {name}", id=one, timeout=3) == Ran("mine\n")
    ran = await box.run("(builtin exit 3) || builtin exit 4", id=one, timeout=3)
    assert ran == Ran("", 4)
    assert await box.run(f"echo $x; {name}", id=one, timeout=3) == Ran("1\nmine\n")


@pytest.mark.parametrize("name", ["eval", "exit", "exec", "builtin"])
async def test_a_users_alias_may_be_named_like_a_builtin(box: Box, name: str) -> None:
    one = await box.session()
    await box.exec(f"alias {name}='echo mine'", id=one)
    assert await box.run("(\\exit 3) || \\exit 4", id=one, timeout=3) == Ran("", 4)
    assert await box.run(f"{name} 1", id=one, timeout=3) == Ran("mine 1\n")


@pytest.mark.parametrize("end", ["set -n", "builtin() { :; }"])
async def test_what_disables_the_shell_itself_ends_it_and_not_the_session(
    box: Box, end: str
) -> None:
    one = await box.session()
    await box.exec("cd /usr", id=one)
    assert (await box.run(end, id=one, timeout=3)).status == "completed"
    assert await box.run("pwd", id=one, timeout=3) == Ran("/usr\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("export B=$(head -c 200000 /dev/zero | tr '\\0' x); exit 3", 3),
        ("ulimit -n 20; exit 1", 1),
        ("ulimit -n 7; exit 6", 6),
        ("mkdir d; cd d; rmdir ../d; exit 4", 4),
    ],
)
async def test_exit_is_silent_and_has_its_code_where_a_new_shell_hardly_starts(
    box: Box, command: str, code: int
) -> None:
    one = await box.session()
    assert await box.run(command, id=one) == Ran("", code)
    assert await box.run("echo on", id=one) == Ran("on\n")


async def test_a_shell_of_few_descriptors_stays_as_it_was(box: Box) -> None:
    one = await box.session()
    assert await box.run("x=1; ulimit -n 20; set -- a 'b c'; exit 1", id=one) == Ran("", 1)
    assert await box.run('echo $x "$2"; echo err >&2', id=one) == Ran("1 b c\nerr\n")
    assert await box.run("ls /dev/fd/ | wc -l; ls /proc/self/fd | wc -l", id=one) == await box.run(
        "ls /dev/fd/ | wc -l; ls /proc/self/fd | wc -l"
    )


async def test_the_stack_of_directories_outlives_an_exit(box: Box) -> None:
    one = await box.session()
    await box.exec("cd /usr; pushd /etc; pushd '/'; exit 1", id=one)
    assert await box.run("dirs; popd >/dev/null; pwd", id=one) == Ran("/ /etc /usr\n/etc\n")


@pytest.mark.parametrize("first", ["set -x", "set -x; exit 0"])
async def test_tracing_shows_the_users_commands_only(box: Box, first: str) -> None:
    one = await box.session()
    await box.exec(first, id=one)
    assert await box.run("echo a", id=one) == Ran("+++ echo a\na\n")
    assert (await box.run("false", id=one)).output == "+++ false\n"
    assert await box.run("set +x", id=one) == Ran("+++ set +x\n")
    assert await box.run("echo b", id=one) == Ran("b\n")


async def test_going_to_another_directory_first_keeps_the_last_exit_code(box: Box) -> None:
    one = await box.session()
    await box.exec("(exit 7)", id=one)
    assert await box.run("echo $? $PWD", id=one, exec_dir="/usr") == Ran("7 /usr\n")
