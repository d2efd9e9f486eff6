"""Commands of the pipe API as processes of this machine, in a jail and without one."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from sandbox_fakeproxy import LocalRuntime, ManualClock, RuntimeUnreachable
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode
from sandbox_fakeproxy.runtime.local.limits import Limits

from tests.fakeproxy.available_isolations import needs_jail, with_each_isolation
from tests.fakeproxy.processes import TIMEOUT, is_running, pids_in, wait_until
from tests.fakeproxy.shell_api import PipeApi, PipeResult, ShellApi

FILES = Path("/proc/self/fd")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def runtime(
    tmp_path: Path, isolation: IsolationMode, clock: ManualClock
) -> AsyncGenerator[LocalRuntime]:
    made = LocalRuntime(tmp_path / "sandboxes", isolation=isolation, clock=clock)
    yield made
    await made.close()


@pytest.fixture
def bash(runtime: LocalRuntime) -> PipeApi:
    return PipeApi(runtime)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes" / "one" / "home"


def open_files_in(folder: Path) -> list[Path]:
    """Return the files of a folder that this process has open, removed ones too."""
    files: list[Path] = []
    for each in FILES.iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            files.append(each.readlink())
    return [each for each in files if each.is_relative_to(folder)]


async def pid_of(home: Path, name: str = "pids") -> int:
    """Return the process id that a command has written to a file in its home."""
    await wait_until(lambda: bool(pids_in(home / name)))
    return pids_in(home / name)[-1]


@with_each_isolation
async def test_stdout_and_stderr_are_apart(bash: PipeApi) -> None:
    result = await bash.run("echo out; echo err >&2; printf out; exit 3")
    assert result == PipeResult("out\nout", 3, "completed", "err\n")


@with_each_isolation
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("exit 143", 143),
        ("kill -TERM $$", -15),
        ("kill -9 $$", -9),
        ("kill -INT $$", -2),
        ("kill -PIPE $$", -13),
        ("no-such-program-anywhere", 127),
        ("", 0),
    ],
)
async def test_the_exit_code_of_a_signal_is_negative(
    bash: PipeApi, command: str, code: int
) -> None:
    result = await bash.run(command)
    assert (result.exit_code, result.status) == (code, "completed")


@with_each_isolation
async def test_each_command_is_a_new_process_with_pipes(bash: PipeApi) -> None:
    session = (await bash.post("sessions/create", exec_dir="/usr"))["session_id"]
    assert await bash.run("cd /; export x=1; y=2", session_id=session) == PipeResult()
    result = await bash.run('echo "$PWD [$x$y] $0"; [ -p /dev/stdin ] && tty', session_id=session)
    assert result == PipeResult("/usr [] bash\nnot a tty\n", 1)
    result = await bash.run(
        "readlink /proc/self/fd/{0,1,2} | cut -d: -f1; ls /proc/self/fd | wc -l"
    )
    assert result.stdout.split()[-1] == "4"  # with the one that ls has open


@with_each_isolation
async def test_exec_dir_becomes_the_directory_of_the_session(bash: PipeApi) -> None:
    first = await bash.exec("echo $PWD", exec_dir="/usr/bin")
    assert first["stdout"] == "/usr/bin\n"
    assert (await bash.exec("pwd", session_id=first["session_id"]))["stdout"] == "/usr/bin\n"
    (row,) = (await bash.request("GET", "sessions")).json["data"]
    assert row["working_dir"] == "/usr/bin"


async def test_a_directory_that_is_gone_is_home(bash: PipeApi) -> None:
    await bash.exec("mkdir it", session_id="s", exec_dir="/sandbox")
    await bash.exec("rmdir ../it", session_id="s", exec_dir="/sandbox/it")
    result = await bash.run('[ "$PWD" = "$HOME" ]', session_id="s")
    assert result == PipeResult()


@with_each_isolation
async def test_env_is_for_one_command(bash: PipeApi) -> None:
    env = {"A": 'it\'s "$x"\n', "PATH": "/none:/usr/bin:/bin", "not-a-name": "1", "-i": "2"}
    command = 'printf %s "$A$PATH"; env | grep "^not\\|^-i" | sort -r'
    result = await bash.run(command, session_id="s", env=env)
    assert result == PipeResult(env["A"] + env["PATH"] + "not-a-name=1\n-i=2\n")
    assert (await bash.run('echo "[$A]"', session_id="s")).stdout == "[]\n"


@with_each_isolation
async def test_the_environment_holds_nothing_of_the_fakes_own(
    bash: PipeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", "secret")
    names = {line.partition("=")[0] for line in (await bash.run("env")).stdout.splitlines()}
    allowed = {"HOME", "LANG", "LOGNAME", "PAGER", "PATH", "SHELL", "TERM", "TMPDIR", "USER"}
    assert names - {"PWD", "SHLVL", "_"} == allowed


@with_each_isolation
async def test_a_command_is_as_restricted_as_one_on_a_terminal(
    bash: PipeApi, runtime: LocalRuntime
) -> None:
    look = (
        "ulimit -a | grep -v pipe; cat /proc/self/cgroup; id; umask; readlink /proc/self/ns/*;"
        " grep '^Cap\\|^NoNewPrivs\\|^Seccomp\\|^SigIgn\\|^SigBlk' /proc/self/status; env | sort"
    )
    on_a_terminal = await ShellApi(runtime).run(look)
    result = await bash.run(look)
    assert result == PipeResult(on_a_terminal.output)
    assert result.stdout.count("\n") > 20


@needs_jail
async def test_commands_that_use_up_all_processes_end(tmp_path: Path) -> None:
    runtime = LocalRuntime(tmp_path, isolation="required", limits=Limits(processes=40))
    try:
        bash = PipeApi(runtime)
        command = "for n in {1..100}; do sleep 100 & done"
        result = await bash.run(command, session_id="s", timeout=5, hard_timeout=10)
        assert "Resource temporarily unavailable" in result.stderr
        await runtime.stop("one")
        assert (await bash.run("echo on")).stdout == "on\n"
    finally:
        await runtime.close()


async def test_a_snapshot_is_sourced_before_each_command(bash: PipeApi) -> None:
    await bash.run("echo 'f() { echo f $v; }; v=1' >snapshot", exec_dir="/sandbox")
    await bash.post("sessions/create", session_id="s", snapshot_path="/sandbox/snapshot")
    data = await bash.exec("f; v=2; f", session_id="s")
    assert (data["stdout"], data["command"]) == ("f 1\nf 2\n", "f; v=2; f")
    assert (await bash.run("f", session_id="s")).stdout == "f 1\n"


async def test_a_command_line_that_no_process_can_have_says_so(bash: PipeApi) -> None:
    result = await bash.run(": " + "x" * 200_000)
    assert result.exit_code == 126
    assert "Argument list too long" in result.stderr


@with_each_isolation
async def test_input_reaches_the_command_and_does_not_end(bash: PipeApi) -> None:
    started = await bash.start("read a; echo got $a; cat")
    await bash.post("write", **started, input="one\ntwo\n")
    result = await bash.follow(started, until="two\n")
    assert result == PipeResult("got one\ntwo\n", None, "running")
    await bash.post("write", session_id=started["session_id"], input="é\n")
    assert (await bash.follow(started, until="é")).status == "running"
    await bash.post("kill", session_id=started["session_id"])
    assert await bash.follow(started) == PipeResult("got one\ntwo\né\n", -15, "killed")
    reply = await bash.request("POST", "write", started | {"input": "late"})
    assert (reply.status, reply.json["success"]) == (409, False)


async def test_a_megabyte_of_input_waits_for_a_slow_reader(bash: PipeApi) -> None:
    started = await bash.start("read start; head -c 1000000 | wc -c")
    await bash.post("write", **started, input="\n" + "x" * 1_000_000)
    assert await bash.follow(started) == PipeResult("1000000\n")


async def test_input_beyond_16_mib_that_nothing_reads_is_refused(bash: PipeApi) -> None:
    started = await bash.start("sleep 1000")
    await bash.post("write", **started, input="x" * (16 * 1024 * 1024))
    reply = await bash.request("POST", "write", started | {"input": "x" * 100_000})
    assert reply.status == 409


@with_each_isolation
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", -15), ("SIGKILL", -9), ("SIGINT", -2)])
async def test_a_signal_reaches_the_whole_process_group(
    bash: PipeApi, home: Path, name: str, code: int
) -> None:
    started = await bash.start("(trap - INT; exec sleep 1000) & echo $! >pids; wait")
    pid = await pid_of(home)
    await bash.post("kill", session_id=started["session_id"], signal=name)
    assert await bash.follow(started) == PipeResult("", code, "killed")
    if name != "SIGINT":  # bash ignores it in background jobs
        await wait_until(lambda: not is_running(pid))


async def test_a_command_that_handles_a_signal_has_completed(bash: PipeApi) -> None:
    started = await bash.start("trap 'echo bye; exit 3' TERM; echo on; while :; do :; done")
    await bash.follow(started, until="on")
    await bash.post("kill", session_id=started["session_id"])
    assert await bash.follow(started) == PipeResult("on\nbye\n", 3, "completed")


@with_each_isolation
async def test_a_hard_timeout_kills_the_process_group(bash: PipeApi, home: Path) -> None:
    command = "trap '' TERM; sleep 1000 & echo $! >pids; echo on; wait"
    result = await bash.run(command, hard_timeout=0.3)
    assert result == PipeResult("on\n", -1, "timed_out")
    pid = await pid_of(home)
    await wait_until(lambda: not is_running(pid))


async def test_a_soft_timeout_lets_the_command_go_on(bash: PipeApi) -> None:
    data = await bash.exec("echo on; echo err >&2; read x; echo $x; exit 5", timeout=0.2)
    assert (data["status"], data["exit_code"]) == ("running", None)
    assert (data["stdout"], data["offset"], data["stderr_offset"]) == ("on\n", 3, 4)
    ids = {name: data[name] for name in ("session_id", "command_id")}
    await bash.post("write", **ids, input="more\n")
    read = await bash.post("output", **ids, offset=3, stderr_offset=4, wait=True)
    assert (read["stdout"], read["stderr"], read["offset"]) == ("more\n", "", 8)


async def test_a_long_poll_returns_with_the_output_that_ends_it(bash: PipeApi) -> None:
    started = await bash.start("while read x; do echo $x; done")
    delays: list[float] = []
    others: list[float] = []  # of requests that do not wait
    offset = 0
    for _ in range(5):
        polling = asyncio.ensure_future(bash.post("output", **started, offset=offset, wait=True))
        await asyncio.sleep(0)
        begun = time.monotonic()
        await bash.post("write", **started, input="line\n")
        offset = (await asyncio.wait_for(polling, TIMEOUT))["offset"]
        delays.append(time.monotonic() - begun)
        begun = time.monotonic()
        await bash.post("output", **started, offset=offset)
        others.append(time.monotonic() - begun)
    assert offset == 25
    assert min(delays) < 20 * min(others)


@pytest.mark.parametrize(("field", "count"), [("wait_timeout", 0.05), ("wait", False)])
async def test_a_poll_returns_with_nothing_after_its_time(
    bash: PipeApi, field: str, count: Any
) -> None:
    started = await bash.start("sleep 1000")
    read = await bash.post("output", **started, **{"wait": True, field: count})
    assert (read["stdout"], read["offset"], read["command"]["status"]) == ("", 0, "running")


@with_each_isolation
async def test_bytes_arrive_whole_and_those_that_are_no_utf_8_replaced(bash: PipeApi) -> None:
    pieces = r"\xe2\x82", r"\xac|\xff|\xf0\x9f", r"\x98\x80", r"\0\r\033[1m", r"\xe2"
    started = await bash.start(";".join(f"printf '{each}'; read x" for each in pieces))
    texts: list[tuple[str, int]] = []
    offset = 0
    for number in range(len(pieces)):
        wait = {"wait": True, "wait_timeout": 0.2 if number in {0, 4} else 30}
        read = await bash.post("output", **started, offset=offset, **wait)
        offset = read["offset"]
        texts.append((read["stdout"], offset))
        await bash.post("write", **started, input="\n")
    assert texts == [("", 0), ("€|\ufffd|", 6), ("😀", 10), ("\0\r\x1b[1m", 16), ("", 16)]
    read = await bash.post("output", **started, offset=offset, wait=True)
    assert (read["stdout"], read["offset"]) == ("\ufffd", 17)


async def test_the_output_of_a_process_left_behind_is_read_after_the_end(bash: PipeApi) -> None:
    data = await bash.exec("mkfifo go; (read x <go; echo late) & echo on", session_id="s")
    assert (data["status"], data["stdout"]) == ("completed", "on\n")
    started = {"session_id": "s", "command_id": data["command_id"]}
    await bash.exec("echo >go", session_id="s")
    read: dict[str, Any] = {}
    while read.get("stdout") != "on\nlate\n":
        read = await bash.post("output", **started)


async def test_much_output_is_whole(bash: PipeApi) -> None:
    result = await bash.run("head -c 20000000 /dev/zero | tr '\\0' x", max_output_length=0)
    assert result == PipeResult("x" * 20_000_000)


async def test_the_response_to_exec_has_head_and_tail(bash: PipeApi) -> None:
    data = await bash.exec("printf 'é%.0s' {1..60000}; printf x >&2")
    marker = "\n[... 20000 bytes left out ...]\n"
    assert data["stdout"] == "é" * 25_000 + marker + "é" * 25_000
    assert (data["offset"], data["stderr"], data["stderr_offset"]) == (120_000, "x", 1)


@with_each_isolation
async def test_closing_a_session_ends_its_command(bash: PipeApi, home: Path) -> None:
    running = asyncio.ensure_future(bash.run("echo $$ >pids; sleep 1000", session_id="s"))
    pid = await pid_of(home)
    await bash.post("sessions/s/close")
    assert await asyncio.wait_for(running, TIMEOUT) == PipeResult("", -9, "killed")
    await wait_until(lambda: not is_running(pid))


@with_each_isolation
async def test_a_stop_of_the_sandbox_ends_all(
    bash: PipeApi, runtime: LocalRuntime, home: Path
) -> None:
    await bash.exec("nohup setsid sleep 1000 >/dev/null 2>&1 & echo $! >left")
    left = await pid_of(home, "left")
    waiting = asyncio.ensure_future(bash.run("echo $$ >pids; sleep 1000"))
    pid = await pid_of(home)
    await runtime.stop("one")
    with pytest.raises(RuntimeUnreachable):
        await waiting
    assert not is_running(left)
    assert not is_running(pid)
    assert (await bash.request("GET", "sessions")).json["data"] == []


@pytest.mark.skipif(not FILES.is_dir(), reason="only Linux lists open files")
@with_each_isolation
async def test_commands_leave_no_descriptors_and_no_files(
    bash: PipeApi, runtime: LocalRuntime
) -> None:
    channels = runtime.paths("one").channels
    started = await bash.start("read x; exit 1")
    assert len(open_files_in(channels)) == 4  # with the one for the setup
    await bash.post("write", **started, input="\n")
    assert (await bash.follow(started)).exit_code == 1
    await wait_until(lambda: open_files_in(channels) == [])
    assert list(channels.iterdir()) == []


async def test_a_session_that_was_idle_for_an_hour_is_gone(
    bash: PipeApi, clock: ManualClock
) -> None:
    await bash.run("true", session_id="idle")
    started = await bash.start("sleep 1000", session_id="busy")
    clock.advance(3599)
    assert len((await bash.request("GET", "sessions")).json["data"]) == 2
    clock.advance(1)
    reply = await bash.request("POST", "output", {"session_id": "idle"})
    assert (reply.status, reply.json["message"]) == (404, "Session idle not found")
    assert (await bash.post("output", **started))["command"]["status"] == "running"
    assert (await bash.run("echo new", session_id="idle")).stdout == "new\n"
