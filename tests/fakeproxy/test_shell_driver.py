"""Commands that break, disable or replace their own shell."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from shlex import quote

import pytest
from sandbox_fakeproxy import LocalRuntime, RuntimeUnreachable
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode

from tests.fakeproxy.available_isolations import with_each_isolation
from tests.fakeproxy.shell_api import CommandResult, ShellApi


@pytest.fixture
async def shell(tmp_path: Path, isolation: IsolationMode) -> AsyncGenerator[ShellApi]:
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation=isolation)
    yield ShellApi(runtime)
    await runtime.close()


async def test_a_shell_that_cannot_be_started_is_an_unreachable_runtime(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", {"bash": "/no/such/bash"}.get)
    runtime = LocalRuntime(tmp_path, isolation="none")
    with pytest.raises(RuntimeUnreachable, match="The shell cannot be started"):
        await ShellApi(runtime).run("true")
    await runtime.close()


@pytest.mark.parametrize("shell", ["exit 3", "exec sleep 1000"])
async def test_a_shell_that_ends_or_says_nothing_at_its_start_is_an_unreachable_runtime(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str
) -> None:
    (tmp_path / "bash").write_text(f"#!/bin/sh\n{shell}\n")
    (tmp_path / "bash").chmod(0o755)
    monkeypatch.setattr("shutil.which", {"bash": str(tmp_path / "bash")}.get)
    monkeypatch.setattr("sandbox_fakeproxy.runtime.local.shell_process._START_TIMEOUT", 0.2)
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation="none")
    with pytest.raises(RuntimeUnreachable, match="The shell cannot be started"):
        await ShellApi(runtime).run("true")
    await runtime.close()


async def test_input_before_the_shell_has_started_reaches_the_command(shell: ShellApi) -> None:
    one = await shell.session()
    ran, written = await asyncio.gather(
        shell.run("read line; echo $line", id=one),
        shell.request("POST", "write", {"id": one, "input": "early", "press_enter": True}),
    )
    assert written.status == 200
    assert ran == CommandResult("early\n")


async def test_a_kill_before_the_shell_has_started_ends_the_command(shell: ShellApi) -> None:
    one = await shell.session()
    ran, killed = await asyncio.gather(
        shell.run("sleep 1000", id=one), shell.request("POST", "kill", {"id": one})
    )
    assert killed.json["data"]["status"] == "terminated"
    assert ran.status == "terminated"


@with_each_isolation
async def test_the_shell_after_a_dead_one_writes_to_no_reused_descriptor(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("kill -9 $$", id=one)
    with ExitStack() as stack:
        # They take the numbers that the dead shell's terminal and channel had.
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(12)]
        assert await shell.run("echo mine", id=one) == CommandResult("mine\n")
        for file in files:
            file.seek(0)
            assert file.read() == b""


async def test_a_session_whose_streams_all_lead_elsewhere_goes_on(shell: ShellApi) -> None:
    one = await shell.session()
    assert await shell.run("exec </dev/null >out.log 2>&1", id=one, timeout=3) == CommandResult("")
    assert await shell.run("echo logged; exit 3", id=one, timeout=3) == CommandResult("", 3)
    assert await shell.run("cat out.log >/dev/tty", id=one, timeout=3) == CommandResult("logged\n")


async def test_typed_input_arrives_whole(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("wc -c", id=one, async_mode=True)
    line = "x" * 999 + "\n"
    await shell.post("write", id=one, input=line * 3000, press_enter=False)
    await shell.post("write", id=one, input="\x04", press_enter=False)
    assert (await shell.post("wait", id=one))["status"] == "completed"
    assert (await shell.post("view", id=one))["console"][-1]["output"] == "3000000\n"


async def test_input_without_room_is_refused_whole(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("sleep 1000", id=one, async_mode=True)
    asked = {"id": one, "input": "x" * 10_000_000, "press_enter": False}
    assert (await shell.request("POST", "write", asked)).status == 200
    refused = await shell.request("POST", "write", asked)
    assert refused.status == 409
    assert "no room for 10000000 characters more" in refused.json["message"]


async def test_a_program_has_time_to_clean_up_when_it_is_killed(shell: ShellApi) -> None:
    one = await shell.session()
    cleanup = "trap 'trap exit INT; sleep 0.5; echo clean; exit' INT; echo on; sleep 1000 & wait"
    running = asyncio.ensure_future(shell.run(f"x=1; bash -c {quote(cleanup)}", id=one))
    await shell.wait_for_output("on\n", one)
    killed = await shell.request("POST", "kill", {"id": one})
    assert (await running).output == "on\nclean\n"
    assert killed.json["hint"] is None
    assert await shell.run("echo $x", id=one) == CommandResult("1\n")


@with_each_isolation
async def test_a_kill_that_takes_all_of_the_session_says_so(
    quick_kills: None, shell: ShellApi
) -> None:
    one = await shell.session()
    running = asyncio.ensure_future(shell.run("trap '' INT; echo on; sleep 1000", id=one))
    await shell.wait_for_output("on\n", one)
    killed = await shell.request("POST", "kill", {"id": one})
    assert killed.json["data"]["status"] == "terminated"
    assert "ignored Ctrl-C" in killed.json["hint"]
    assert (await running).status == "terminated"


@with_each_isolation
async def test_an_exec_in_a_session_that_is_deleted_answers_terminated(
    shell: ShellApi,
) -> None:
    for _ in range(5):
        one = await shell.session()
        ran, ended = await asyncio.gather(
            shell.run("sleep 1000", id=one), shell.request("DELETE", f"sessions/{one}")
        )
        assert ended.status == 200
        assert ran == CommandResult("", None, "terminated")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/"])
async def test_a_session_has_a_name_by_which_it_can_be_deleted(shell: ShellApi, name: str) -> None:
    reply = await shell.request("POST", "sessions/create", {"id": name})
    assert reply.status == 422
    assert "part of a URL" in reply.json["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("name", "code"), [("HUP", 129), ("PIPE", 141), ("ALRM", 142), ("ABRT", 134), ("TERM", 143)]
)
async def test_a_shell_that_a_signal_ends_reports_it_as_bash_does(
    shell: ShellApi, name: str, code: int
) -> None:
    one = await shell.session()
    assert await shell.run(f"x=1; kill -{name} $$; echo no", id=one) == CommandResult("", code)
    assert await shell.run(f"kill -{name} $$", id=one) == CommandResult("", code)
    assert await shell.run("echo $x", id=one) == CommandResult("1\n")


async def test_the_exit_code_of_sigusr1_is_this_platforms(shell: ShellApi) -> None:
    assert (await shell.run("kill -USR1 $$")).exit_code == 128 + signal.SIGUSR1


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
async def test_a_users_function_may_be_named_like_a_builtin(shell: ShellApi, name: str) -> None:
    one = await shell.session()
    mine = f"function {name} {{ echo mine; }}"
    assert await shell.run(mine, id=one, timeout=3) == CommandResult("")
    assert await shell.run(f"x=1; {name}", id=one, timeout=3) == CommandResult("mine\n")
    ran = await shell.run("(builtin exit 3) || builtin exit 4", id=one, timeout=3)
    assert ran == CommandResult("", 4)
    assert await shell.run(f"echo $x; {name}", id=one, timeout=3) == CommandResult("1\nmine\n")


@pytest.mark.parametrize("name", ["eval", "exit", "exec", "builtin"])
async def test_a_users_alias_may_be_named_like_a_builtin(shell: ShellApi, name: str) -> None:
    one = await shell.session()
    await shell.exec(f"alias {name}='echo mine'", id=one)
    assert await shell.run("(\\exit 3) || \\exit 4", id=one, timeout=3) == CommandResult("", 4)
    assert await shell.run(f"{name} 1", id=one, timeout=3) == CommandResult("mine 1\n")


@pytest.mark.parametrize("end", ["set -n", "builtin() { :; }"])
async def test_a_command_that_disables_the_shell_does_not_end_the_session(
    shell: ShellApi, end: str
) -> None:
    one = await shell.session()
    await shell.exec("cd /usr", id=one)
    assert (await shell.run(end, id=one, timeout=3)).status == "completed"
    assert await shell.run("pwd", id=one, timeout=3) == CommandResult("/usr\n")


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
    shell: ShellApi, command: str, code: int
) -> None:
    one = await shell.session()
    assert await shell.run(command, id=one) == CommandResult("", code)
    assert await shell.run("echo on", id=one) == CommandResult("on\n")


async def test_a_shell_of_few_descriptors_stays_as_it_was(shell: ShellApi) -> None:
    one = await shell.session()
    assert await shell.run("x=1; ulimit -n 20; set -- a 'b c'; exit 1", id=one) == CommandResult(
        "", 1
    )
    assert await shell.run('echo $x "$2"; echo err >&2', id=one) == CommandResult("1 b c\nerr\n")
    assert await shell.run(
        "ls /dev/fd/ | wc -l; ls /proc/self/fd | wc -l", id=one
    ) == await shell.run("ls /dev/fd/ | wc -l; ls /proc/self/fd | wc -l")


async def test_the_stack_of_directories_outlives_an_exit(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("cd /usr; pushd /etc; pushd '/'; exit 1", id=one)
    assert await shell.run("dirs; popd >/dev/null; pwd", id=one) == CommandResult(
        "/ /etc /usr\n/etc\n"
    )


@pytest.mark.parametrize("first", ["set -x", "set -x; exit 0"])
async def test_tracing_shows_the_users_commands_only(shell: ShellApi, first: str) -> None:
    one = await shell.session()
    await shell.exec(first, id=one)
    assert await shell.run("echo a", id=one) == CommandResult("+++ echo a\na\n")
    assert (await shell.run("false", id=one)).output == "+++ false\n"
    assert await shell.run("set +x", id=one) == CommandResult("+++ set +x\n")
    assert await shell.run("echo b", id=one) == CommandResult("b\n")


async def test_going_to_another_directory_first_keeps_the_last_exit_code(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("(exit 7)", id=one)
    assert await shell.run("echo $? $PWD", id=one, exec_dir="/usr") == CommandResult("7 /usr\n")
