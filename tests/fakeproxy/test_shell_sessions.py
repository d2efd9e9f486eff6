"""The runtime's shell API with commands that really run."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy.runtime.cleanup.guardian import GUARDIAN
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode

from tests.fakeproxy.available_isolations import with_each_isolation
from tests.fakeproxy.processes import is_running, open_files, pids_in, wait_until
from tests.fakeproxy.shell_api import CommandResult, ShellApi
from tests.fakeproxy.test_output import needs_proc, sizes_on_disk

PATIENCE = 15.0


@pytest.fixture
async def shell(tmp_path: Path, isolation: IsolationMode) -> AsyncGenerator[ShellApi]:
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation=isolation)
    yield ShellApi(runtime)
    await runtime.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes" / "one" / "home"


@with_each_isolation
async def test_a_session_keeps_directory_variables_functions_and_options(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("mkdir -p d; cd d; a=1; export b=2; f() { echo f$1; }; set -- x y", id=one)
    await shell.exec("shopt -s extglob; alias ll='echo alias'; umask 027; list=(1 '2 3')", id=one)
    ran = await shell.run(
        "echo ${PWD##*/} $a $b; f 1; echo $2; ll; umask; echo \"${list[1]}\"; bash -c 'echo $a $b'",
        id=one,
    )
    assert ran == CommandResult("d 1 2\nf1\ny\nalias\n0027\n2 3\n2\n")


async def test_a_command_sees_the_exit_code_of_the_one_before(shell: ShellApi) -> None:
    one = await shell.session()
    assert (await shell.run("(exit 7)", id=one)).exit_code == 7
    assert (await shell.run("echo $?", id=one)).output == "7\n"
    assert (await shell.run("echo $?", id=one)).output == "0\n"


async def test_a_background_job_belongs_to_its_session(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("(while ! test -e go; do sleep 0.01; done; exit 5) & job=$!", id=one)
    assert (await shell.run("jobs | grep -c Running", id=one)).output == "1\n"
    assert (await shell.run("touch go; wait $job", id=one)).exit_code == 5


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("exit 3", 3),
        ("exit", 0),
        ("f() { exit 4; }; f", 4),
        ("set -e; false", 1),
        ("set -u; echo $none", 127),
        (": ${none:?}", 127),
        ("break", 0),
        ("continue 3", 0),
        ("kill -TERM $$", 143),
        ("kill -INT $$", 130),
    ],
)
async def test_a_command_that_ends_the_shell_leaves_the_session_as_it_was(
    shell: ShellApi, ending: str, code: int
) -> None:
    one = await shell.session()
    await shell.exec("cd /usr; x='a\nb'; export y=2; f() { echo f; }; list=(1 '2 3')", id=one)
    await shell.exec("declare -A map=([k]='v w'); alias ll='echo alias'; readonly z=9", id=one)
    await shell.exec("set -f; shopt -s nullglob; sleep 1000 & pid=$!", id=one)
    assert (await shell.run(f"{ending}", id=one)).exit_code == code
    ran = await shell.run(
        'echo $?; set +eu; pwd; echo "$x" $y "${list[1]}" "${map[k]}" $z; type -t f; ll; echo $-;'
        " bash -c 'echo $y'; shopt nullglob; kill $pid && echo lives",
        id=one,
    )
    lines = ran.output.splitlines()
    assert lines[:7] == [str(code), "/usr", "a", "b 2 2 3 v w 9", "function", "alias", lines[6]]
    assert "f" in lines[6]
    assert lines[7:] == ["2", "nullglob       \ton", "lives"]
    # Over and over.
    for number in (5, 6):
        assert (await shell.run(f"exit {number}", id=one)).exit_code == number
    assert (await shell.run("echo $y", id=one)).output == "2\n"


async def test_a_failure_under_set_e_ends_one_command_after_another(shell: ShellApi) -> None:
    one = await shell.session()
    assert await shell.run("set -e; echo a; false; echo b", id=one) == CommandResult("a\n", 1)
    assert await shell.run("echo c; false; echo d", id=one) == CommandResult("c\n", 1)
    assert await shell.run("true", id=one) == CommandResult("", 0)


@pytest.mark.parametrize(
    ("death", "code"),
    [("kill -9 $$", 137), ("exec false", 1), ("trap 'echo mine' EXIT; exit 4", 4)],
)
@with_each_isolation
async def test_a_shell_that_is_dead_is_followed_by_another_where_it_was(
    shell: ShellApi, death: str, code: int
) -> None:
    one = await shell.session()
    await shell.exec("cd /usr; x=1", id=one)
    ran = await shell.run(f"echo before; {death}", id=one)
    assert ran.exit_code == code
    assert ran.output.startswith("before\n")
    assert await shell.run("pwd; echo [$x]", id=one) == CommandResult("/usr\n[]\n")


async def test_tracing_shows_the_commands_and_nothing_else(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("set -x", id=one)
    ran = await shell.run("echo a", id=one)
    assert [line.lstrip("+") for line in ran.output.splitlines()] == [" echo a", "a"]


async def test_a_syntax_error_is_2_and_harms_nothing(shell: ShellApi) -> None:
    one = await shell.session()
    ran = await shell.run("echo never; if", id=one)
    assert ran.exit_code == 2
    assert "syntax error" in ran.output
    assert await shell.run("echo 'fi", id=one) != CommandResult("", 0)
    assert await shell.run("echo on", id=one) == CommandResult("on\n")


async def test_a_command_has_a_terminal_that_neither_echoes_nor_pages(shell: ShellApi) -> None:
    ran = await shell.run("[[ -t 0 && -t 1 && -t 2 ]] && echo tty; echo $TERM; echo a | $PAGER")
    assert ran == CommandResult("tty\ndumb\na\n")
    assert await shell.run(r"printf 'a\r\nb\n'; stty -a | grep -c -- -echo") == CommandResult(
        "a\r\nb\n1\n"
    )


async def test_cat_does_not_swallow_the_next_command(shell: ShellApi) -> None:
    one = await shell.session()
    assert (await shell.run("cat", id=one, timeout=0.1)).status == "running"
    reply = await shell.request("POST", "exec", {"command": "echo next", "id": one})
    assert reply.status == 409
    await shell.post("write", id=one, input="typed", press_enter=True)
    await shell.post("write", id=one, input="\x04", press_enter=False)
    assert (await shell.post("wait", id=one))["status"] == "completed"
    assert (await shell.post("view", id=one))["console"][-1]["output"] == "typed\n"
    assert await shell.run("echo next", id=one) == CommandResult("next\n")


async def test_typed_input_reaches_the_command(shell: ShellApi) -> None:
    one = await shell.session()
    asking = asyncio.ensure_future(shell.run("read -p 'Name? ' name; echo Hello $name", id=one))
    await shell.wait_for_output("Name?", one)
    written = await shell.post("write", id=one, input="Ada", press_enter=True)
    assert set(written) == {"status"}
    assert await asyncio.wait_for(asking, PATIENCE) == CommandResult("Name? Hello Ada\n")


async def test_a_programs_settings_of_the_terminal_end_with_it(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("stty raw echo onlcr opost", id=one)
    assert await shell.run("echo a; stty -a | grep -c -- '-opost'", id=one) == CommandResult(
        "a\n1\n"
    )


@with_each_isolation
async def test_a_control_c_that_is_typed_interrupts(shell: ShellApi, home: Path) -> None:
    one = await shell.session()
    await shell.exec("touch started; sleep 1000", id=one, async_mode=True)
    await wait_until((home / "started").exists)
    await shell.post("write", id=one, input="\x03", press_enter=False)
    assert (await shell.post("wait", id=one))["status"] == "completed"
    viewed = await shell.post("view", id=one)
    assert (viewed["status"], viewed["exit_code"]) == ("completed", 130)


@with_each_isolation
async def test_kill_ends_the_command_and_keeps_the_session(shell: ShellApi, home: Path) -> None:
    one = await shell.session()
    running = asyncio.ensure_future(shell.run("x=1; cd /usr; echo a; sleep 1000", id=one))
    await shell.wait_for_output("a\n", one)
    killed = await shell.post("kill", id=one)
    assert killed == {"status": "terminated", "exit_code": None, "returncode": None}
    assert await asyncio.wait_for(running, PATIENCE) == CommandResult("a\n", None, "terminated")
    assert (await shell.post("view", id=one))["exit_code"] is None
    assert await shell.run("echo $x; pwd", id=one) == CommandResult("1\n/usr\n")


async def test_a_kill_right_after_the_start_keeps_the_session_too(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("x=1", id=one)
    for _ in range(20):
        await shell.exec("sleep 1000", id=one, async_mode=True)
        assert (await shell.post("kill", id=one))["status"] == "terminated"
    assert await shell.run("echo $x", id=one) == CommandResult("1\n")


async def test_a_kill_waits_for_a_program_that_is_just_being_started(
    monkeypatch: pytest.MonkeyPatch, shell: ShellApi, home: Path
) -> None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.local.bash._PRESSES", 1)
    monkeypatch.setattr("sandbox_fakeproxy.runtime.local.bash._PRESS_INTERVAL", 50)
    one = await shell.session()
    copy = "trap ': >pressed' INT; : >started; until [ -e pressed ]; do :; done; trap - INT"
    await shell.exec(f"x=1; cd; ({copy}; exec sleep 1000)", id=one, async_mode=True)
    await wait_until((home / "started").exists)
    assert (await shell.post("kill", id=one))["status"] == "terminated"
    assert await shell.run("echo $x", id=one) == CommandResult("1\n")


async def test_a_kill_does_not_interrupt_what_a_trap_of_the_shell_starts(
    monkeypatch: pytest.MonkeyPatch, shell: ShellApi, home: Path
) -> None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.local.bash._PRESS_INTERVAL", 50)
    one = await shell.session()
    trap = "trap 'trap - INT; sleep 0.3; echo $? >cleaned; break' INT"
    text = f"cd; {trap}; : >started; while :; do :; done"
    await shell.exec(text, id=one, async_mode=True)
    await wait_until((home / "started").exists)
    assert (await shell.post("kill", id=one))["status"] == "terminated"
    await wait_until((home / "cleaned").exists)
    assert (home / "cleaned").read_text() == "0\n"


async def test_a_command_that_ignores_control_c_is_killed_with_its_session(
    quick_kills: None, shell: ShellApi, home: Path
) -> None:
    one = await shell.session()
    await shell.exec("echo $$ > pids; cd /usr", id=one)
    text = "trap '' INT; touch ~/started; (trap '' INT TERM HUP; exec sleep 1000)"
    await shell.exec(text, id=one, async_mode=True)
    await wait_until((home / "started").exists)
    await shell.post("kill", id=one)
    await wait_until(lambda: not any(is_running(pid) for pid in pids_in(home / "pids")))
    assert await shell.run("pwd", id=one) == CommandResult("/usr\n")


async def test_kill_of_a_session_in_which_nothing_runs_tells_the_last_exit_code(
    shell: ShellApi,
) -> None:
    one = await shell.session()
    idle = {"status": "completed", "exit_code": None, "returncode": None}
    assert await shell.post("kill", id=one) == idle
    await shell.exec("exit 3", id=one)
    assert await shell.post("kill", id=one) == idle | {"exit_code": 3, "returncode": 3}


async def test_hard_timeout_ends_the_command_with_its_output_so_far(
    shell: ShellApi, home: Path
) -> None:
    one = await shell.session()
    text = "cd /usr; echo before; sleep 1000; echo after"
    assert await shell.run(text, id=one, hard_timeout=0.5) == CommandResult(
        "before\n", None, "hard_timeout"
    )
    viewed = await shell.post("view", id=one)
    assert (viewed["status"], viewed["exit_code"]) == ("hard_timeout", None)
    assert await shell.run("pwd", id=one) == CommandResult("/usr\n")


async def test_hard_timeout_ends_an_asynchronous_command(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("sleep 1000", id=one, async_mode=True, hard_timeout=0.2)
    assert (await shell.post("wait", id=one))["status"] == "hard_timeout"


async def test_timeout_answers_and_the_command_goes_on(shell: ShellApi, home: Path) -> None:
    one = await shell.session()
    text = "echo a; while ! test -e go; do sleep 0.01; done; echo b; exit 3"
    assert await shell.run(text, id=one, timeout=0.3) == CommandResult("a\n", None, "running")
    viewed = await shell.post("view", id=one)
    assert (viewed["status"], viewed["exit_code"], viewed["command"]) == ("running", None, text)
    (home / "go").touch()
    assert await shell.post("wait", id=one, seconds=10) == {"status": "completed"}
    viewed = await shell.post("view", id=one)
    assert viewed["exit_code"] == 3
    assert viewed["console"][-1]["output"] == "a\nb\n"


async def test_async_mode_answers_at_once(shell: ShellApi) -> None:
    one = await shell.session()
    ran = await shell.run("sleep 1000", id=one, async_mode=True)
    assert ran == CommandResult("", None, "running")


async def test_commands_at_once_in_one_session_are_refused_and_never_mixed(shell: ShellApi) -> None:
    one = await shell.session()
    replies = await asyncio.gather(
        *(
            shell.request("POST", "exec", {"command": f"echo {n}; sleep 0.1; echo {n}", "id": one})
            for n in range(10)
        )
    )
    done = [reply for reply in replies if reply.status == 200]
    refused = [reply for reply in replies if reply.status == 409]
    assert (len(done), len(refused)) == (1, 9)
    assert done[0].json["data"]["output"] == "0\n0\n"
    assert refused[0].json == {
        "success": False,
        "message": f"Session {one} still runs a command: echo 0; sleep 0.1; echo 0",
        "data": None,
        "hint": "View it, wait for it, write to it or kill it; or use another session.",
    }


@with_each_isolation
async def test_exec_dir_is_where_the_session_goes(shell: ShellApi, tmp_path: Path) -> None:
    one = await shell.session()
    await shell.exec("mkdir d; ln -s d link", id=one, exec_dir="/sandbox")
    (tmp_path / "host").mkdir()
    for name in ("/sandbox/d", "/sandbox/link"):
        assert (await shell.run("echo ${PWD##*/}", id=one, exec_dir=name)).output == "d\n"
    ran = await shell.run(
        "echo ${PWD##*/}", id=one, exec_dir="/sandbox/link", preserve_symlinks=True
    )
    assert ran.output == "link\n"
    await shell.exec("echo here > file", id=one, exec_dir="/home/gem")
    assert await shell.run("cat ~/file; cat file", id=one) == CommandResult("here\nhere\n")
    assert await shell.run("pwd", exec_dir="/usr") == CommandResult("/usr\n")


async def test_an_exec_dir_that_is_not_there_is_refused_when_strict_and_else_ignored(
    shell: ShellApi,
) -> None:
    one = await shell.session(exec_dir="/usr")
    asked = {"command": "pwd", "id": one, "exec_dir": "/sandbox/none"}
    refused = await shell.request("POST", "exec", asked | {"strict": True})
    assert (refused.status, refused.json["success"]) == (400, False)
    assert refused.json["message"] == "Directory not found: /sandbox/none"
    assert await shell.run("pwd", id=one, exec_dir="/sandbox/none") == CommandResult("/usr\n")
    assert (await shell.post("view", id=one))["console"] == [
        {"ps1": "gem@sandbox:/usr$ ", "command": "pwd", "output": "/usr\n"}
    ]


@with_each_isolation
async def test_sessions_are_made_once_listed_and_ended(shell: ShellApi, home: Path) -> None:
    made = await shell.post("sessions/create", id="mine", exec_dir="/usr")
    assert made == {"session_id": "mine", "working_dir": "/usr"}
    await shell.exec("cd /; sleep 1000 & echo $! $$ | tr ' ' '\\n' > ~/pids", id="mine")
    again = await shell.post("sessions/create", id="mine", exec_dir="/etc")
    assert again == {"session_id": "mine", "working_dir": "/"}
    listed = (await shell.request("GET", "sessions")).json["data"]["sessions"]
    assert set(listed) == {"mine"}
    assert set(listed["mine"]) == {
        "working_dir",
        "created_at",
        "last_used_at",
        "age_seconds",
        "status",
        "current_command",
    }
    assert (await shell.request("DELETE", "sessions/mine")).status == 200
    pids = pids_in(home / "pids")
    assert len(pids) == 2
    await wait_until(lambda: not any(is_running(pid) for pid in pids))
    for method, path, body in [
        ("DELETE", "sessions/mine", None),
        ("POST", "view", {"id": "mine"}),
        ("POST", "wait", {"id": "mine"}),
        ("POST", "kill", {"id": "mine"}),
        ("POST", "write", {"id": "mine", "input": "", "press_enter": True}),
        ("POST", "exec", {"id": "mine", "command": "touch no"}),
    ]:
        reply = await shell.request(method, path, body)
        assert (reply.status, reply.json["message"]) == (404, "Session not found: mine")
    assert not (home / "no").exists()


async def test_a_session_that_exec_made_can_be_used_again(shell: ShellApi) -> None:
    made = await shell.exec("x=1")
    assert await shell.run("echo $x", id=made["session_id"]) == CommandResult("1\n")


async def test_a_session_with_a_background_job_is_no_idle_one(
    shell: ShellApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.shell.sessions._MAX_IDLE_IMPLICIT", 1)
    busy = (await shell.exec("sleep 1000 &"))["session_id"]
    first = (await shell.exec("true"))["session_id"]
    await shell.exec("true")
    await shell.exec("true")
    listed = (await shell.request("GET", "sessions")).json["data"]["sessions"]
    assert first not in listed
    assert busy in listed
    assert await shell.run("jobs | grep -c Running", id=busy) == CommandResult("1\n")


@needs_proc
@pytest.mark.parametrize("ending", ["the next command", "end of session", "pause", "deletion"])
async def test_large_output_is_on_disk_until(shell: ShellApi, home: Path, ending: str) -> None:
    one = await shell.session()
    output = (await shell.run("seq 100000", id=one, truncate=False)).output
    assert sizes_on_disk(home.parent) == [pytest.approx(len(output), abs=70_000)]
    assert (await shell.post("view", id=one))["console"][0]["output"] == output
    if ending == "the next command":
        await shell.exec("true", id=one)
    elif ending == "end of session":
        await shell.request("DELETE", f"sessions/{one}")
    elif ending == "pause":
        await shell.runtime.stop("one")
    else:
        await shell.runtime.remove("one")
    await wait_until(lambda: not sizes_on_disk(home.parent))  # the thread that read it lets go


async def test_who_waits_for_a_command_gets_all_output_when_its_session_is_deleted(
    shell: ShellApi,
) -> None:
    one = await shell.session()
    command = "seq 100000; sleep 1000"
    running = asyncio.create_task(shell.run(command, id=one, truncate=False))
    await shell.wait_for_output("\n100000\n", one)
    assert (await shell.request("DELETE", f"sessions/{one}")).status == 200
    output = "".join(f"{number}\n" for number in range(1, 100_001))
    assert await running == CommandResult(output, None, "terminated")


async def test_of_an_earlier_command_a_view_counts_all_that_is_gone(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("yes | head -c 12000000", id=one, truncate=False)
    await shell.exec("true", id=one)
    output = (await shell.post("view", id=one))["console"][0]["output"]
    assert "\n[... 11970100 characters left out ...]\n" in output


async def test_a_view_is_the_sessions_snapshot(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("cd /usr; seq 100000", id=one, truncate=False)
    await shell.exec("cd; echo b", id=one)
    viewed = await shell.post("view", id=one)
    assert viewed["session_id"] == one
    assert viewed["output"].startswith("gem@sandbox:~$ cd /usr; seq 100000\n1\n2\n")
    assert viewed["output"].endswith("100000\ngem@sandbox:/usr$ cd; echo b\nb\n")
    assert len(viewed["output"]) < 31_000
    assert set(viewed) == {"output", "session_id", "status", "console", "command", "exit_code"}
    assert viewed["console"][-1]["ps1"] == "gem@sandbox:/usr$ "


async def test_a_character_that_arrives_in_halves_is_whole(shell: ShellApi, home: Path) -> None:
    one = await shell.session()
    text = r"printf '\303'; while ! test -e go; do sleep 0.01; done; printf '\251\n'"
    assert await shell.run(text, id=one, timeout=0.3) == CommandResult("", None, "running")
    await shell.post("view", id=one)
    (home / "go").touch()
    await shell.post("wait", id=one)
    assert (await shell.post("view", id=one))["console"][-1]["output"] == "é\n"


@with_each_isolation
async def test_sessions_see_one_anothers_processes(shell: ShellApi) -> None:
    await shell.exec("sleep 1000 & echo $! > pid")
    assert await shell.run("kill -0 $(cat pid) && kill $(cat pid)") == CommandResult("")


async def test_after_a_stop_the_sessions_are_gone_and_the_files_are_there(shell: ShellApi) -> None:
    one = await shell.session()
    await shell.exec("echo kept > file", id=one, exec_dir="/sandbox")
    await shell.runtime.stop("one")
    assert (await shell.request("POST", "view", {"id": one})).status == 404
    assert await shell.run("cat file", exec_dir="/sandbox") == CommandResult("kept\n")


@with_each_isolation
async def test_ended_sessions_leave_no_descriptor_and_no_file(shell: ShellApi, home: Path) -> None:
    GUARDIAN.watch(home, is_temporary=False)  # which has a pipe, that a first command opens
    await shell.exec("true")
    before = open_files()
    for n in range(3):
        await shell.session(id=f"s{n}")
        await shell.exec("exit 1", id=f"s{n}")
        await shell.exec("kill -9 $$", id=f"s{n}")
        await shell.exec("sleep 1000 &", id=f"s{n}")
        assert (await shell.request("DELETE", f"sessions/s{n}")).status == 200
    await wait_until(lambda: open_files() <= before)
    assert len(list((home.parent / "channels").iterdir())) == 1
    GUARDIAN.forget(home)
