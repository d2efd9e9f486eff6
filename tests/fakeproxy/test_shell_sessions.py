"""The runtime's shell API with commands that really run."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy._local.isolation import Choice

from tests.fakeproxy.isolations import in_each_isolation
from tests.fakeproxy.processes import eventually, is_running, open_files, pids_in
from tests.fakeproxy.shells import Box, Ran

PATIENCE = 15.0


@pytest.fixture
async def box(tmp_path: Path, isolation: Choice) -> AsyncGenerator[Box]:
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation=isolation)
    yield Box(runtime)
    await runtime.close()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes" / "one" / "sandbox"


@in_each_isolation
async def test_a_session_keeps_directory_variables_functions_and_options(box: Box) -> None:
    one = await box.session()
    await box.exec("mkdir -p d; cd d; a=1; export b=2; f() { echo f$1; }; set -- x y", id=one)
    await box.exec("shopt -s extglob; alias ll='echo alias'; umask 027; list=(1 '2 3')", id=one)
    ran = await box.run(
        "echo ${PWD##*/} $a $b; f 1; echo $2; ll; umask; echo \"${list[1]}\"; bash -c 'echo $a $b'",
        id=one,
    )
    assert ran == Ran("d 1 2\nf1\ny\nalias\n0027\n2 3\n2\n")


async def test_what_a_command_sees_of_the_one_before_it_is_its_exit_code(box: Box) -> None:
    one = await box.session()
    assert (await box.run("(exit 7)", id=one)).exit_code == 7
    assert (await box.run("echo $?", id=one)).output == "7\n"
    assert (await box.run("echo $?", id=one)).output == "0\n"


async def test_a_background_job_belongs_to_its_session(box: Box) -> None:
    one = await box.session()
    await box.exec("(while ! test -e go; do sleep 0.01; done; exit 5) & job=$!", id=one)
    assert (await box.run("jobs | grep -c Running", id=one)).output == "1\n"
    assert (await box.run("touch go; wait $job", id=one)).exit_code == 5


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
async def test_whatever_ends_a_shell_leaves_the_session_as_it_was(
    box: Box, ending: str, code: int
) -> None:
    one = await box.session()
    await box.exec("cd /usr; x='a\nb'; export y=2; f() { echo f; }; list=(1 '2 3')", id=one)
    await box.exec("declare -A map=([k]='v w'); alias ll='echo alias'; readonly z=9", id=one)
    await box.exec("set -f; shopt -s nullglob; sleep 1000 & pid=$!", id=one)
    assert (await box.run(f"{ending}", id=one)).exit_code == code
    ran = await box.run(
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
        assert (await box.run(f"exit {number}", id=one)).exit_code == number
    assert (await box.run("echo $y", id=one)).output == "2\n"


async def test_a_failure_under_set_e_ends_one_command_after_another(box: Box) -> None:
    one = await box.session()
    assert await box.run("set -e; echo a; false; echo b", id=one) == Ran("a\n", 1)
    assert await box.run("echo c; false; echo d", id=one) == Ran("c\n", 1)
    assert await box.run("true", id=one) == Ran("", 0)


@pytest.mark.parametrize(
    ("death", "code"),
    [("kill -9 $$", 137), ("exec false", 1), ("trap 'echo mine' EXIT; exit 4", 4)],
)
@in_each_isolation
async def test_a_shell_that_is_dead_is_followed_by_another_where_it_was(
    box: Box, death: str, code: int
) -> None:
    one = await box.session()
    await box.exec("cd /usr; x=1", id=one)
    ran = await box.run(f"echo before; {death}", id=one)
    assert ran.exit_code == code
    assert ran.output.startswith("before\n")
    assert await box.run("pwd; echo [$x]", id=one) == Ran("/usr\n[]\n")


async def test_tracing_shows_the_commands_and_nothing_else(box: Box) -> None:
    one = await box.session()
    await box.exec("set -x", id=one)
    ran = await box.run("echo a", id=one)
    assert [line.lstrip("+") for line in ran.output.splitlines()] == [" echo a", "a"]


async def test_a_syntax_error_is_2_and_harms_nothing(box: Box) -> None:
    one = await box.session()
    ran = await box.run("echo never; if", id=one)
    assert ran.exit_code == 2
    assert "syntax error" in ran.output
    assert await box.run("echo 'fi", id=one) != Ran("", 0)
    assert await box.run("echo on", id=one) == Ran("on\n")


async def test_a_command_has_a_terminal_that_neither_echoes_nor_pages(box: Box) -> None:
    ran = await box.run("[[ -t 0 && -t 1 && -t 2 ]] && echo tty; echo $TERM; echo a | $PAGER")
    assert ran == Ran("tty\ndumb\na\n")
    assert await box.run(r"printf 'a\r\nb\n'; stty -a | grep -c -- -echo") == Ran("a\r\nb\n1\n")


async def test_cat_does_not_swallow_the_next_command(box: Box) -> None:
    one = await box.session()
    assert (await box.run("cat", id=one, timeout=0.1)).status == "running"
    reply = await box.ask("POST", "exec", {"command": "echo next", "id": one})
    assert reply.status == 409
    await box.post("write", id=one, input="typed", press_enter=True)
    await box.post("write", id=one, input="\x04", press_enter=False)
    assert (await box.post("wait", id=one))["status"] == "completed"
    assert (await box.post("view", id=one))["console"][-1]["output"] == "typed\n"
    assert await box.run("echo next", id=one) == Ran("next\n")


async def test_what_is_typed_reaches_the_command(box: Box) -> None:
    one = await box.session()
    asking = asyncio.ensure_future(box.run("read -p 'Name? ' name; echo Hello $name", id=one))
    await box.until_it_wrote("Name?", one)
    written = await box.post("write", id=one, input="Ada", press_enter=True)
    assert set(written) == {"status"}
    assert await asyncio.wait_for(asking, PATIENCE) == Ran("Name? Hello Ada\n")


async def test_a_programs_settings_of_the_terminal_end_with_it(box: Box) -> None:
    one = await box.session()
    await box.exec("stty raw echo onlcr opost", id=one)
    assert await box.run("echo a; stty -a | grep -c -- '-opost'", id=one) == Ran("a\n1\n")


@in_each_isolation
async def test_a_control_c_that_is_typed_interrupts(box: Box, work: Path) -> None:
    one = await box.session()
    await box.exec("touch started; sleep 1000", id=one, async_mode=True)
    await eventually((work / "started").exists)
    await box.post("write", id=one, input="\x03", press_enter=False)
    assert (await box.post("wait", id=one))["status"] == "completed"
    viewed = await box.post("view", id=one)
    assert (viewed["status"], viewed["exit_code"]) == ("completed", 130)


@in_each_isolation
async def test_kill_ends_the_command_and_keeps_the_session(box: Box, work: Path) -> None:
    one = await box.session()
    running = asyncio.ensure_future(box.run("x=1; cd /usr; echo a; sleep 1000", id=one))
    await box.until_it_wrote("a\n", one)
    killed = await box.post("kill", id=one)
    assert killed == {"status": "terminated", "exit_code": None, "returncode": None}
    assert await asyncio.wait_for(running, PATIENCE) == Ran("a\n", None, "terminated")
    assert (await box.post("view", id=one))["exit_code"] is None
    assert await box.run("echo $x; pwd", id=one) == Ran("1\n/usr\n")


async def test_a_kill_right_after_the_start_keeps_the_session_too(box: Box) -> None:
    one = await box.session()
    await box.exec("x=1", id=one)
    for _ in range(20):
        await box.exec("sleep 1000", id=one, async_mode=True)
        assert (await box.post("kill", id=one))["status"] == "terminated"
    assert await box.run("echo $x", id=one) == Ran("1\n")


async def test_what_ignores_control_c_is_killed_with_its_session(
    quick_kills: None, box: Box, work: Path
) -> None:
    one = await box.session()
    await box.exec("echo $$ > pids; cd /usr", id=one)
    text = "trap '' INT; touch ~/started; (trap '' INT TERM HUP; exec sleep 1000)"
    await box.exec(text, id=one, async_mode=True)
    await eventually((work.parent / "home" / "started").exists)
    await box.post("kill", id=one)
    await eventually(lambda: not any(is_running(pid) for pid in pids_in(work / "pids")))
    assert await box.run("pwd", id=one) == Ran("/usr\n")


async def test_kill_of_a_session_in_which_nothing_runs_tells_the_last_exit_code(box: Box) -> None:
    one = await box.session()
    idle = {"status": "completed", "exit_code": None, "returncode": None}
    assert await box.post("kill", id=one) == idle
    await box.exec("exit 3", id=one)
    assert await box.post("kill", id=one) == idle | {"exit_code": 3, "returncode": 3}


async def test_hard_timeout_ends_the_command_with_its_output_so_far(box: Box, work: Path) -> None:
    one = await box.session()
    text = "cd /usr; echo before; sleep 1000; echo after"
    assert await box.run(text, id=one, hard_timeout=0.5) == Ran("before\n", None, "hard_timeout")
    viewed = await box.post("view", id=one)
    assert (viewed["status"], viewed["exit_code"]) == ("hard_timeout", None)
    assert await box.run("pwd", id=one) == Ran("/usr\n")


async def test_hard_timeout_ends_a_command_that_nobody_waits_for(box: Box) -> None:
    one = await box.session()
    await box.exec("sleep 1000", id=one, async_mode=True, hard_timeout=0.2)
    assert (await box.post("wait", id=one))["status"] == "hard_timeout"


async def test_timeout_answers_and_the_command_goes_on(box: Box, work: Path) -> None:
    one = await box.session()
    text = "echo a; while ! test -e go; do sleep 0.01; done; echo b; exit 3"
    assert await box.run(text, id=one, timeout=0.3) == Ran("a\n", None, "running")
    viewed = await box.post("view", id=one)
    assert (viewed["status"], viewed["exit_code"], viewed["command"]) == ("running", None, text)
    (work / "go").touch()
    assert await box.post("wait", id=one, seconds=10) == {"status": "completed"}
    viewed = await box.post("view", id=one)
    assert viewed["exit_code"] == 3
    assert viewed["console"][-1]["output"] == "a\nb\n"


async def test_async_mode_answers_at_once(box: Box) -> None:
    one = await box.session()
    ran = await box.run("sleep 1000", id=one, async_mode=True)
    assert ran == Ran("", None, "running")


async def test_commands_at_once_in_one_session_are_refused_and_never_mixed(box: Box) -> None:
    one = await box.session()
    replies = await asyncio.gather(
        *(
            box.ask("POST", "exec", {"command": f"echo {n}; sleep 0.1; echo {n}", "id": one})
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


@in_each_isolation
async def test_exec_dir_is_where_the_session_goes(box: Box, tmp_path: Path) -> None:
    one = await box.session()
    await box.exec("mkdir d; ln -s d link", id=one)
    (tmp_path / "host").mkdir()
    for name in ("/sandbox/d", "/sandbox/link"):
        assert (await box.run("echo ${PWD##*/}", id=one, exec_dir=name)).output == "d\n"
    ran = await box.run("echo ${PWD##*/}", id=one, exec_dir="/sandbox/link", preserve_symlinks=True)
    assert ran.output == "link\n"
    await box.exec("echo here > file", id=one, exec_dir="/home/gem")
    assert await box.run("cat ~/file; cat file", id=one) == Ran("here\nhere\n")
    assert await box.run("pwd", exec_dir="/usr") == Ran("/usr\n")


async def test_an_exec_dir_that_is_not_there_is_refused_when_strict_and_else_ignored(
    box: Box,
) -> None:
    one = await box.session(exec_dir="/usr")
    asked = {"command": "pwd", "id": one, "exec_dir": "/sandbox/none"}
    refused = await box.ask("POST", "exec", asked | {"strict": True})
    assert (refused.status, refused.json["success"]) == (400, False)
    assert refused.json["message"] == "Directory not found: /sandbox/none"
    assert await box.run("pwd", id=one, exec_dir="/sandbox/none") == Ran("/usr\n")
    assert (await box.post("view", id=one))["console"] == [
        {"ps1": "gem@sandbox:/usr$ ", "command": "pwd", "output": "/usr\n"}
    ]


@in_each_isolation
async def test_sessions_are_made_once_listed_and_ended(box: Box, work: Path) -> None:
    made = await box.post("sessions/create", id="mine", exec_dir="/usr")
    assert made == {"session_id": "mine", "working_dir": "/usr"}
    await box.exec("cd /; sleep 1000 & echo $! $$ | tr ' ' '\\n' > ~/pids", id="mine")
    again = await box.post("sessions/create", id="mine", exec_dir="/etc")
    assert again == {"session_id": "mine", "working_dir": "/"}
    listed = (await box.ask("GET", "sessions")).json["data"]["sessions"]
    assert set(listed) == {"mine"}
    assert set(listed["mine"]) == {
        "working_dir",
        "created_at",
        "last_used_at",
        "age_seconds",
        "status",
        "current_command",
    }
    assert (await box.ask("DELETE", "sessions/mine")).status == 200
    pids = pids_in(work.parent / "home" / "pids")
    assert len(pids) == 2
    await eventually(lambda: not any(is_running(pid) for pid in pids))
    for method, path, body in [
        ("DELETE", "sessions/mine", None),
        ("POST", "view", {"id": "mine"}),
        ("POST", "wait", {"id": "mine"}),
        ("POST", "kill", {"id": "mine"}),
        ("POST", "write", {"id": "mine", "input": "", "press_enter": True}),
        ("POST", "exec", {"id": "mine", "command": "touch no"}),
    ]:
        reply = await box.ask(method, path, body)
        assert (reply.status, reply.json["message"]) == (404, "Session not found: mine")
    assert not (work / "no").exists()


async def test_a_session_that_exec_made_can_be_used_again(box: Box) -> None:
    made = await box.exec("x=1")
    assert await box.run("echo $x", id=made["session_id"]) == Ran("1\n")


async def test_a_session_with_a_background_job_is_no_idle_one(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox_fakeproxy._shells.sessions._IDLE_UNASKED", 1)
    busy = (await box.exec("sleep 1000 &"))["session_id"]
    first = (await box.exec("true"))["session_id"]
    await box.exec("true")
    await box.exec("true")
    listed = (await box.ask("GET", "sessions")).json["data"]["sessions"]
    assert first not in listed
    assert busy in listed
    assert await box.run("jobs | grep -c Running", id=busy) == Ran("1\n")


async def test_a_view_is_the_sessions_snapshot(box: Box) -> None:
    one = await box.session()
    await box.exec("cd /usr; seq 100000", id=one, truncate=False)
    await box.exec("cd; echo b", id=one)
    viewed = await box.post("view", id=one)
    assert viewed["session_id"] == one
    assert viewed["output"].startswith("gem@sandbox:/sandbox$ cd /usr; seq 100000\n1\n2\n")
    assert viewed["output"].endswith("100000\ngem@sandbox:/usr$ cd; echo b\nb\n")
    assert len(viewed["output"]) < 31_000
    assert set(viewed) == {"output", "session_id", "status", "console", "command", "exit_code"}
    assert viewed["console"][-1]["ps1"] == "gem@sandbox:/usr$ "


async def test_a_character_that_arrives_in_halves_is_whole(box: Box, work: Path) -> None:
    one = await box.session()
    text = r"printf '\303'; while ! test -e go; do sleep 0.01; done; printf '\251\n'"
    assert await box.run(text, id=one, timeout=0.3) == Ran("", None, "running")
    await box.post("view", id=one)
    (work / "go").touch()
    await box.post("wait", id=one)
    assert (await box.post("view", id=one))["console"][-1]["output"] == "é\n"


@in_each_isolation
async def test_sessions_see_one_anothers_processes(box: Box) -> None:
    await box.exec("sleep 1000 & echo $! > pid")
    assert await box.run("kill -0 $(cat pid) && kill $(cat pid)") == Ran("")


async def test_after_a_stop_the_sessions_are_gone_and_the_files_are_there(box: Box) -> None:
    one = await box.session()
    await box.exec("echo kept > file", id=one)
    await box.runtime.stop("one")
    assert (await box.ask("POST", "view", {"id": one})).status == 404
    assert await box.run("cat file") == Ran("kept\n")


@in_each_isolation
async def test_ended_sessions_leave_no_descriptor_and_no_file(box: Box, work: Path) -> None:
    await box.exec("true")
    before = open_files()
    for n in range(3):
        await box.session(id=f"s{n}")
        await box.exec("exit 1", id=f"s{n}")
        await box.exec("kill -9 $$", id=f"s{n}")
        await box.exec("sleep 1000 &", id=f"s{n}")
        assert (await box.ask("DELETE", f"sessions/s{n}")).status == 200
    await eventually(lambda: open_files() <= before)
    assert len(list((work.parent / "channels").iterdir())) == 1
