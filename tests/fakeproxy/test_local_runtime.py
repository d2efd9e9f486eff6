import asyncio
import contextlib
import gc
import os
import stat
import subprocess
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox_fakeproxy import LocalRuntime, RuntimeUnreachable, ScriptedRuntime
from sandbox_fakeproxy.runtime.cleanup.guardian import GUARDIAN
from sandbox_fakeproxy.runtime.local.isolation import IsolationMode

from tests.fakeproxy.available_isolations import needs_jail, with_each_isolation
from tests.fakeproxy.fake_app import FakeApp, exec_path, fake_app
from tests.fakeproxy.processes import is_running, open_files, pids_in, wait_until
from tests.fakeproxy.shell_api import CommandResult, ShellApi

BOX = "/api/sandboxes/box"
# Writes the id of the background process to a file, as a test must not guess it by a name.
NOTE = "echo $! >> pids"


@pytest.fixture
async def runtime(tmp_path: Path, isolation: IsolationMode) -> AsyncGenerator[LocalRuntime]:
    made = LocalRuntime(tmp_path / "sandboxes", isolation=isolation)
    yield made
    await made.close()


@pytest.fixture
async def real(runtime: LocalRuntime) -> AsyncGenerator[FakeApp]:
    async with fake_app(runtime) as made:
        yield made


def home(tmp_path: Path, sandbox_id: str = "one") -> Path:
    return tmp_path / "sandboxes" / sandbox_id / "home"


async def run(
    runtime: LocalRuntime, text: str, sandbox_id: str = "one", **fields: object
) -> CommandResult:
    return await ShellApi(runtime, sandbox_id).run(text, **fields)


async def test_stdout_and_stderr_are_merged_in_order(runtime: LocalRuntime) -> None:
    outcome = await run(runtime, "for i in 1 2 3; do echo out$i; echo err$i >&2; done")
    assert outcome == CommandResult("out1\nerr1\nout2\nerr2\nout3\nerr3\n", 0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("true", 0),
        ("false", 1),
        ("exit 42", 42),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("no-such-program-anywhere", 127),
        ("if", 2),
        ("", 0),
        ("echo a | grep b", 1),
    ],
)
async def test_the_exit_code_is_the_shells(runtime: LocalRuntime, text: str, code: int) -> None:
    assert (await run(runtime, text)).exit_code == code


async def test_a_command_runs_in_bash(runtime: LocalRuntime) -> None:
    outcome = await run(runtime, "[[ abc == a* ]] && echo $0")
    assert outcome.output.strip().endswith("bash")


@with_each_isolation
async def test_a_command_starts_in_the_sandboxs_own_home(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    outcome = await run(runtime, "pwd; echo $HOME; echo hello > file")
    name = "/home/gem" if runtime.paths("one").isolated else home(tmp_path)
    assert outcome.output == f"{name}\n{name}\n"
    assert (home(tmp_path) / "file").read_text() == "hello\n"
    assert (await run(runtime, "ls", "two")).output == ""


@with_each_isolation
async def test_the_environment_holds_nothing_of_the_fakes_own(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", "secret")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    outcome = await run(runtime, "env")
    names = {line.partition("=")[0] for line in outcome.output.splitlines()}
    allowed = {"HOME", "LANG", "LOGNAME", "PAGER", "PATH", "SHELL", "TERM", "TMPDIR", "USER"}
    assert names - {"PWD", "SHLVL", "_"} == allowed
    assert "secret" not in outcome.output


@with_each_isolation
async def test_no_file_descriptor_is_inherited(runtime: LocalRuntime, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        outcome = await run(
            runtime, "for f in 3 4 5 6 7 8 9; do { true >&$f; } 2>&-; echo $?; done"
        )
    assert set(outcome.output.split()) == {"1"}


@with_each_isolation
async def test_a_command_is_a_process_group_and_session_of_its_own(
    runtime: LocalRuntime,
) -> None:
    outcome = await run(runtime, "ps -o pid=,pgid=,sess= -p $$")
    assert len(set(outcome.output.split())) == 1
    assert int(outcome.output.split()[0]) != os.getpgrp()


async def test_output_that_is_not_utf_8_is_replaced(runtime: LocalRuntime) -> None:
    outcome = await run(runtime, r"printf 'a\377b\303\251c\303'")
    assert outcome.output == "a\ufffdbéc\ufffd"


async def test_output_of_30000_characters_is_whole(runtime: LocalRuntime) -> None:
    outcome = await run(runtime, "head -c 29999 /dev/zero | tr '\\0' x; printf é")
    assert outcome.output == "x" * 29_999 + "é"


async def test_longer_output_keeps_head_and_tail_and_counts_the_rest(
    runtime: LocalRuntime,
) -> None:
    outcome = await run(runtime, "echo first; seq 100000; echo last")
    whole = "first\n" + "".join(f"{n}\n" for n in range(1, 100_001)) + "last\n"
    head, missing, tail = outcome.output.partition("\n[... ")
    count, _, tail = tail.partition(" characters left out ...]\n")
    assert missing
    assert len(outcome.output) <= 30_000
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(head) > 14_000
    assert len(tail) > 14_000
    assert len(head) + int(count) + len(tail) == len(whole)


async def test_output_is_whole_on_request(runtime: LocalRuntime) -> None:
    outcome = await run(runtime, "seq 100000", truncate=False)
    assert outcome.output == "".join(f"{n}\n" for n in range(1, 100_001))


async def test_output_without_end_stays_within_bounds(runtime: LocalRuntime) -> None:
    outcome = await run(runtime, "head -c 12000000 /dev/zero | tr '\\0' y", truncate=False)
    assert len(outcome.output) <= 10_000_000
    assert "characters left out" in outcome.output


@with_each_isolation
async def test_a_background_job_does_not_hold_up_the_reply_and_lives_on(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    outcome = await run(runtime, f"sleep 1000 & {NOTE}; echo done")
    assert outcome == CommandResult("done\n", 0)
    (pid,) = pids_in(home(tmp_path) / "pids")
    assert is_running(pid)
    await runtime.stop("one")
    await wait_until(lambda: not is_running(pid))


async def test_a_background_job_may_go_on_writing(runtime: LocalRuntime, tmp_path: Path) -> None:
    # More than a pipe holds, after the shell has ended: unread, it would block or die of SIGPIPE.
    await run(runtime, "(while ! test -e go; do sleep 0.01; done; seq 50000; echo $? > code) &")
    (home(tmp_path) / "go").touch()
    code = home(tmp_path) / "code"
    await wait_until(lambda: code.exists() and code.read_text() == "0\n")


async def test_a_background_job_that_never_stops_writing_does_not_hold_up_the_reply(
    runtime: LocalRuntime,
) -> None:
    outcome = await asyncio.wait_for(run(runtime, "yes & echo done"), 15)
    assert outcome.exit_code == 0


@with_each_isolation
async def test_every_process_is_killed_by_a_stop(runtime: LocalRuntime, tmp_path: Path) -> None:
    stragglers = [
        "sleep 1000",
        "setsid sleep 1000",
        "setsid sleep 1000 >/dev/null 2>&1",
        "(trap '' TERM HUP INT; sleep 1000)",
        "env -i sleep 1000",
        "nohup sleep 1000 >/dev/null 2>&1",
        "(cd /; exec setsid sleep 1000)",
    ]
    await run(runtime, "\n".join(f"{each} & echo $! >> ~/pids" for each in stragglers))
    pids = pids_in(tmp_path / "sandboxes" / "one" / "home" / "pids")
    assert [is_running(pid) for pid in pids] == [True] * len(stragglers)
    await runtime.stop("one")
    await wait_until(lambda: not any(is_running(pid) for pid in pids))


@pytest.mark.parametrize("verb", ["close", "remove"])
async def test_every_process_is_killed_by_a_close_and_a_removal(
    runtime: LocalRuntime, tmp_path: Path, verb: str
) -> None:
    await run(runtime, "setsid sleep 1000 & echo $! >> ~/pids")
    (pid,) = pids_in(tmp_path / "sandboxes" / "one" / "home" / "pids")
    assert is_running(pid)
    await (runtime.close() if verb == "close" else runtime.remove("one"))
    await wait_until(lambda: not is_running(pid))


@with_each_isolation
async def test_stopping_one_sandbox_leaves_the_others_alone(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    await run(runtime, f"sleep 1000 & {NOTE}", "two")
    await run(runtime, f"sleep 1000 & {NOTE}", "one")
    await runtime.stop("one")
    (pid,) = pids_in(home(tmp_path, "two") / "pids")
    assert is_running(pid)


async def test_a_command_under_way_is_told_that_its_sandbox_stopped(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    running = asyncio.ensure_future(run(runtime, "echo $$ > pids; sleep 1000"))
    await wait_until(lambda: bool(pids_in(home(tmp_path) / "pids")))
    await runtime.stop("one")
    with pytest.raises(RuntimeUnreachable, match="stopped while the command ran"):
        await asyncio.wait_for(running, 15)


async def test_a_command_that_was_allowed_before_a_stop_does_not_start_after_it(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    for _ in range(20):
        results = await asyncio.gather(
            run(runtime, f"setsid sleep 1000 & {NOTE}; sleep 1000"),
            runtime.stop("one"),
            return_exceptions=True,
        )
        assert isinstance(results[0], RuntimeUnreachable)
    pids = pids_in(home(tmp_path) / "pids")
    await wait_until(lambda: not any(is_running(pid) for pid in pids))


async def test_a_cancelled_caller_does_not_stop_the_command(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    text = "touch started; while ! test -e go; do sleep 0.01; done; echo went > on"
    running = asyncio.ensure_future(run(runtime, text))
    await wait_until((home(tmp_path) / "started").exists)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    (home(tmp_path) / "go").touch()
    await wait_until((home(tmp_path) / "on").exists)


async def test_a_stop_under_a_command_whose_caller_has_left_logs_no_error(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context))
    try:
        running = asyncio.ensure_future(run(runtime, "touch started; sleep 60"))
        await wait_until((home(tmp_path) / "started").exists)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await runtime.stop("one")
        await asyncio.sleep(0)
        gc.collect()
    finally:
        loop.set_exception_handler(before)
    assert told == []


@with_each_isolation
async def test_stopping_keeps_what_is_in_sandbox_and_removing_removes_all(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    await run(runtime, "echo kept > file; echo lost > ~/file; : > $TMPDIR/x", exec_dir="/sandbox")
    await runtime.stop("one")
    assert (await run(runtime, "cat file", exec_dir="/sandbox")).output == "kept\n"
    assert (await run(runtime, "ls -A ~; ls -A $TMPDIR")).output == ""
    await runtime.remove("one")
    assert list((tmp_path / "sandboxes").iterdir()) == []


@with_each_isolation
async def test_a_command_after_a_stop_waits_until_the_files_of_the_pod_are_removed(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    await run(runtime, f"sleep 1000 & {NOTE}")
    stops = [asyncio.create_task(runtime.stop("one")) for _ in range(2)]
    await asyncio.sleep(0)
    await run(runtime, "echo kept >file")
    await asyncio.gather(*stops)
    assert (await run(runtime, "ls; cat file")).output == "file\nkept\n"
    assert not (home(tmp_path) / "pids").exists()


@with_each_isolation
async def test_as_deployed_chmod_changes_nothing_in_sandbox(
    tmp_path: Path, isolation: IsolationMode
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "precious").touch(mode=0o600)
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation=isolation, as_deployed=True)
    links = f"ln -s {outside} link; ln -s {outside}/precious d/link; mkfifo d/pipe"
    made = f"umask 077; mkdir d; echo 'echo ran' >d/script; {links}; mkdir e; mv d e"
    await run(runtime, f"{made}; chmod 700 e/d/script; chmod 0 e/d e .", exec_dir="/sandbox")
    shown = "stat -c %a . e e/d e/d/script; e/d/script"
    outcome = await run(runtime, shown, exec_dir="/sandbox")
    await runtime.close()
    assert outcome.output.startswith("777\n777\n777\n666\n")
    assert outcome.exit_code == 126
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700
    assert stat.S_IMODE((outside / "precious").stat().st_mode) == 0o600


@needs_jail
async def test_as_deployed_chmod_has_no_effect_within_a_command(tmp_path: Path) -> None:
    runtime = LocalRuntime(tmp_path / "sandboxes", isolation="required", as_deployed=True)
    made = "echo 'echo ran' >script; chmod 755 script; [ -x script ] || echo lost; ./script"
    inside = await run(runtime, made, exec_dir="/sandbox")
    beside = await run(runtime, made, exec_dir="/home/gem")
    await runtime.close()
    assert inside.output.startswith("lost\n")
    assert (inside.exit_code, beside.output) == (126, "ran\n")


@with_each_isolation
async def test_removing_never_follows_a_link(runtime: LocalRuntime, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "precious").touch()
    await run(runtime, f"ln -s {outside} link; mkdir d; ln -s {outside} d/link; chmod 0 d .")
    await runtime.remove("one")
    assert (outside / "precious").exists()
    assert outside.stat().st_mode & 0o777 == 0o755
    assert list((tmp_path / "sandboxes").iterdir()) == []


async def test_removing_a_sandbox_that_never_ran_is_fine(runtime: LocalRuntime) -> None:
    await runtime.stop("none")
    await runtime.remove("none")


async def test_a_closed_runtime_starts_nothing(runtime: LocalRuntime) -> None:
    await runtime.close()
    with pytest.raises(RuntimeUnreachable, match="stopping"):
        await run(runtime, "true")


async def test_a_command_may_be_as_long_as_a_request(runtime: LocalRuntime) -> None:
    assert await run(runtime, "#" * 1_000_000 + "\necho done") == CommandResult("done\n")


async def test_no_file_descriptor_leaks(runtime: LocalRuntime) -> None:
    await run(runtime, "true")
    before = open_files()
    await asyncio.gather(*(run(runtime, "echo x; sleep 1000 &") for _ in range(10)))
    await runtime.stop("one")
    await wait_until(lambda: open_files() <= before)


async def test_a_hundred_commands_at_once_all_get_their_own_output(
    runtime: LocalRuntime,
) -> None:
    outcomes = await asyncio.gather(*(run(runtime, f"echo {n}; exit {n}") for n in range(100)))
    assert [outcome.output for outcome in outcomes] == [f"{n}\n" for n in range(100)]
    assert [outcome.exit_code for outcome in outcomes] == list(range(100))


@pytest.mark.parametrize("isolation", ["none"])  # what runs in a jail ends with the fake
async def test_recovering_clears_the_leftovers_of_a_killed_fake(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    await run(runtime, f"setsid sleep 1000 & {NOTE}")
    await run(runtime, "touch orphan", "two")
    (pid,) = pids_in(home(tmp_path) / "pids")
    LocalRuntime(tmp_path / "sandboxes").recover(["one"])
    await wait_until(lambda: not is_running(pid))
    assert [path.name for path in (tmp_path / "sandboxes").iterdir()] == ["one"]


async def test_a_runtime_of_its_own_directory_leaves_nothing_behind() -> None:
    runtime = LocalRuntime(isolation="none")
    directory = Path((await run(runtime, "pwd")).output.strip())
    assert os.path.isdir(directory)  # noqa: ASYNC240, PTH112  (a moment in a test)
    await runtime.close()
    assert not os.path.isdir(directory)  # noqa: ASYNC240, PTH112  (a moment in a test)


async def test_no_process_is_started_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = list[threading.Thread]()
    start = subprocess.Popen.__init__

    def note_and_start(process: subprocess.Popen[bytes], *arguments: Any, **options: Any) -> None:
        threads.append(threading.current_thread())
        start(process, *arguments, **options)

    def watch(_folder: Path, *, is_temporary: bool) -> None:
        subprocess.Popen(["true"]).wait()

    monkeypatch.setattr(GUARDIAN, "watch", watch)
    monkeypatch.setattr(subprocess.Popen, "__init__", note_and_start)
    for runtime in (LocalRuntime(), ScriptedRuntime()):
        await ShellApi(runtime).exec("true")
        await runtime.close()
    assert len(threads) >= 2
    assert threading.current_thread() not in threads


async def test_over_http_a_paused_sandbox_keeps_its_files_and_a_deleted_one_does_not(
    real: FakeApp,
) -> None:
    alice = await real.new_user()
    await real.ready_sandbox(alice)
    command = {"command": "echo kept > file", "exec_dir": "/sandbox"}
    await alice.request("POST", exec_path(), command)
    await alice.request("POST", f"{BOX}/pause")
    await alice.request("POST", f"{BOX}/resume")
    real.clock.advance(2)
    command = {"command": "cat file", "exec_dir": "/sandbox"}
    reply = await alice.request("POST", exec_path(), command)
    assert reply.json()["data"]["output"] == "kept\n"
    await alice.request("DELETE", BOX)
    await real.ready_sandbox(alice)
    command = {"command": "ls -A", "exec_dir": "/sandbox"}
    reply = await alice.request("POST", exec_path(), command)
    assert reply.json()["data"]["output"] == ""


@pytest.mark.parametrize("end", ["pause", "delete", "delete user"])
async def test_over_http_a_command_under_way_is_502_when_its_sandbox_ends(
    real: FakeApp, tmp_path: Path, end: str
) -> None:
    alice = await real.new_user()
    await real.ready_sandbox(alice)
    file = tmp_path / "sandboxes" / real.sandbox_id("alice") / "home" / "pids"
    command = {"command": "echo $$ > ~/pids; sleep 1000"}
    running = asyncio.ensure_future(alice.request("POST", exec_path(), command))
    await wait_until(lambda: bool(pids_in(file)))
    (pid,) = pids_in(file)
    if end == "pause":
        reply = await alice.request("POST", f"{BOX}/pause")
    elif end == "delete":
        reply = await alice.request("DELETE", BOX)
    else:
        reply = await real.admin.request("DELETE", f"/api/admin/users/{real.users['alice']}")
    assert reply.status_code == 200
    assert (await asyncio.wait_for(running, 15)).status_code == 502
    await wait_until(lambda: not is_running(pid))


@with_each_isolation
async def test_over_http_commands_racing_a_delete_leave_nothing_running(
    real: FakeApp, tmp_path: Path
) -> None:
    alice = await real.new_user()
    # A length of sleep that is this test's own, to know its processes by.
    sleep = f"sleep 1000.{os.getpid()}"
    command = {"command": f"setsid {sleep} & {sleep}"}
    for _ in range(5):
        await real.ready_sandbox(alice)
        replies = await asyncio.gather(
            *(alice.request("POST", exec_path(), command) for _ in range(10)),
            alice.request("DELETE", BOX),
            *(alice.request("POST", exec_path(), command) for _ in range(10)),
        )
        assert {reply.status_code for reply in replies} <= {200, 403, 502}
    assert [each for each in psutil.process_iter() if _runs(each, sleep)] == []
    assert list((tmp_path / "sandboxes").iterdir()) == []


def _runs(process: psutil.Process, command: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.cmdline() == command.split()
    return False
