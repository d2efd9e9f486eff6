"""Commands under the names of the runtime, where this machine allows it."""

import asyncio
import os
import platform
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox_fakeproxy import LocalRuntime, RuntimeUnreachable
from sandbox_fakeproxy.runtime.local.bubblewrap import HOST_UID
from sandbox_fakeproxy.runtime.local.isolation import IsolationUnavailable, choose_isolation
from sandbox_fakeproxy.runtime.paths import SCRATCH, JailedPaths
from sandbox_fakeproxy.serving.cli import main

from tests.fakeproxy.available_isolations import (
    AVAILABLE_ISOLATIONS,
    JAIL_IS_REQUIRED,
    JAIL_PROBLEM,
    needs_jail,
)
from tests.fakeproxy.shell_api import CommandResult, ShellApi


def test_jails_work_where_the_run_requires_them() -> None:
    """Fail where all tests with a jail are skipped, although REQUIRE_JAIL=1 asks for them."""
    if JAIL_IS_REQUIRED and JAIL_PROBLEM is not None:
        pytest.fail(
            f"REQUIRE_JAIL=1, but commands cannot run in jails: {JAIL_PROBLEM}. Install bubblewrap"
            " (apt-get install bubblewrap) where bwrap is missing; where it fails, let this machine"
            " make namespaces (a container: --security-opt seccomp=unconfined --security-opt"
            " apparmor=unconfined). To run the tests without a jail, unset REQUIRE_JAIL.",
            pytrace=False,
        )


@pytest.mark.parametrize("choice", AVAILABLE_ISOLATIONS)
async def test_files_are_at_the_apis_paths_with_each_isolation(tmp_path: Path, choice: str) -> None:
    runtime = LocalRuntime(tmp_path, isolation=choice)  # type: ignore[arg-type]  # of those that work
    shell = ShellApi(runtime)
    await shell.exec(
        "echo work > a; echo home > ~/b; echo scratch > $TMPDIR/c", exec_dir="/sandbox"
    )
    paths = runtime.paths("one")
    assert (paths.host_path("/sandbox/a")).read_text() == "work\n"
    assert (paths.host_path("/home/gem/b")).read_text() == "home\n"
    assert (paths.scratch / "c").read_text() == "scratch\n"
    ran = await shell.run("cat b", exec_dir="/home/gem")
    assert ran == CommandResult("home\n")
    made = await shell.post("sessions/create", exec_dir="/home/gem")
    assert made["working_dir"] == "/home/gem"
    await runtime.close()


async def test_auto_is_the_best_that_works_here_and_says_so(tmp_path: Path) -> None:
    runtime = LocalRuntime(tmp_path)
    shell = ShellApi(runtime)
    if "required" in AVAILABLE_ISOLATIONS:
        assert "in a jail for each sandbox" in runtime.isolation.description
        ran = await shell.run(
            "pwd; cd /sandbox; pwd; echo $HOME; (echo x > /usr/new) 2>&- || echo kept"
        )
        assert ran == CommandResult("/home/gem\n/sandbox\n/home/gem\nkept\n")
        assert await shell.run("ls -d /etc /dev/null") == CommandResult("/dev/null  /etc\n")
    else:
        assert runtime.isolation.description.startswith("run as you among this machine's processes")
    await runtime.close()


async def test_without_bubblewrap_auto_is_none_and_asking_for_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IsolationUnavailable, match=r"install bubblewrap\. Fix that, or choose"):
        LocalRuntime(tmp_path, isolation="required")
    assert not LocalRuntime(tmp_path).paths("one").isolated


async def test_a_bubblewrap_that_does_not_work_is_none_and_says_why_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho bwrap: No permissions >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IsolationUnavailable, match="does not work on this machine: bwrap: No perm"):
        LocalRuntime(tmp_path, isolation="required")
    assert not LocalRuntime(tmp_path).paths("one").isolated


async def test_a_link_in_a_sandbox_makes_no_stranger_one_of_its_processes(tmp_path: Path) -> None:
    runtime = LocalRuntime(tmp_path / "sandboxes")
    stranger = LocalRuntime(tmp_path / "strangers")
    await ShellApi(runtime).exec("true")
    theirs = ShellApi(stranger)
    one = await theirs.session()
    await theirs.exec("x=1", id=one)
    # As on a machine with a /sandbox of its own: the link leads to another sandbox's directory.
    (runtime.paths("one").home / "sandbox").symlink_to(stranger.paths("one").work)
    await runtime.stop("one")
    assert await theirs.run("echo $x", id=one) == CommandResult("1\n")
    await runtime.close()
    await stranger.close()


async def test_an_exec_dir_may_lead_through_absolute_links(tmp_path: Path) -> None:
    for choice in AVAILABLE_ISOLATIONS:
        runtime = LocalRuntime(tmp_path / choice, isolation=choice)
        shell = ShellApi(runtime)
        links = "ln -s $PWD/d link; ln -s link/../link again; ln -s loop loop"
        await shell.exec(f"mkdir d; {links}", exec_dir="/sandbox")
        for name in ("link", "again", "link/../d"):
            ran = await shell.run("pwd -P", exec_dir=f"/sandbox/{name}", strict=True)
            assert ran.output.endswith("/d\n")
        for name in ("loop", "none", "x" * 300, "x/" * 3000):
            asked = {"command": "pwd", "exec_dir": f"/sandbox/{name}", "strict": True}
            assert (await shell.request("POST", "exec", asked)).status == 400
        await runtime.close()


@needs_jail
async def test_a_jail_that_does_not_start_in_time_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = LocalRuntime(tmp_path, isolation="required")
    shell = ShellApi(runtime)
    with monkeypatch.context() as impatient:
        impatient.setattr("sandbox_fakeproxy.runtime.local.jail._START_TIMEOUT", 0.0)
        with pytest.raises(RuntimeUnreachable, match="bubblewrap did not start it within 0 s"):
            await shell.run("true")
    assert await shell.run("echo started") == CommandResult("started\n")
    await runtime.close()


@needs_jail
async def test_a_jail_that_is_ended_twice_at_once_is_killed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = list[int]()
    kill = signal.pidfd_send_signal

    def note_and_kill(descriptor: int, number: int) -> None:
        killed.append(number)
        kill(descriptor, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", note_and_kill)
    isolation = choose_isolation("required")
    with ThreadPoolExecutor(1) as starter:
        machine = isolation.machine(isolation.paths(tmp_path), starter)
        pty = await machine.open_pty()
        await asyncio.gather(machine.kill(), machine.close(), machine.close())
        os.close(pty.master)
        os.close(pty.slave)
    assert killed == [signal.SIGKILL]


@needs_jail
@pytest.mark.parametrize(
    ("path", "status"),
    [
        *((path, 200) for path in ("/", "/usr/bin", "/bin", "/etc", SCRATCH, "/home", "/run")),
        *((path, 200) for path in ("/proc", "/dev/pts", "/sandbox/system", "/sandbox/up")),
        *((path, 400) for path in ("/root", "/var/log", "/home/nope", "/proc/sys", "/boot")),
        *((path, 400) for path in ("/etc/passwd", "/sandbox/machine")),
    ],
)
async def test_an_exec_dir_in_a_jail_is_what_a_command_finds(
    tmp_path: Path, path: str, status: int
) -> None:
    runtime = LocalRuntime(tmp_path, isolation="required")
    shell = ShellApi(runtime)
    links = "ln -s /usr/bin system; ln -s ../../../etc up; ln -s /var/log machine"
    await shell.exec(links, exec_dir="/sandbox")
    body = {"command": "pwd", "exec_dir": path, "strict": True}
    assert (await shell.request("POST", "exec", body)).status == status
    if status == 200:
        assert (await shell.run(f"cd {path}")).exit_code == 0
    await runtime.close()


@needs_jail
def test_a_folder_that_the_fake_hides_is_empty_in_a_jail(tmp_path: Path) -> None:
    hidden = Path("/usr/lib")
    isolation = choose_isolation("required", hidden=(hidden,))
    paths = isolation.paths(tmp_path)
    within = next(each for each in hidden.iterdir() if each.is_dir() and not each.is_symlink())
    assert paths.has_directory(str(hidden))
    assert not paths.has_directory(str(within))
    assert choose_isolation("required").paths(tmp_path).has_directory(str(within))


@needs_jail
@pytest.mark.skipif(os.getuid() != 0, reason="only root enters what commands may not")
def test_a_folder_for_root_only_is_none_of_a_jail(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "in").mkdir(parents=True)
    closed.chmod(0o700)
    tmp_path.chmod(0o755)
    paths = JailedPaths({"/system": tmp_path}, created=(), owner=HOST_UID)
    assert not paths.has_directory("/system/closed/in")
    closed.chmod(0o711)
    assert paths.has_directory("/system/closed/in")


@needs_jail
def test_a_folder_swapped_for_a_link_meanwhile_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = choose_isolation("required").paths(tmp_path / "one")
    paths.create()
    folder = paths.work / "folder"
    folder.mkdir()
    (tmp_path / "outside" / "in").mkdir(parents=True)
    readlink = os.readlink

    def look_and_swap(path: str, *, dir_fd: int | None = None) -> str:
        try:
            return readlink(path, dir_fd=dir_fd)
        finally:
            if path == "folder" and not folder.is_symlink():
                folder.rmdir()
                folder.symlink_to(tmp_path / "outside")

    monkeypatch.setattr(os, "readlink", look_and_swap)
    assert not paths.has_directory("/sandbox/folder/in")
    assert folder.is_symlink()


@needs_jail
def test_a_walk_with_many_ways_up_ends(tmp_path: Path) -> None:
    paths = choose_isolation("required").paths(tmp_path)
    paths.create()
    path = "/sandbox" + "/d" * 300
    deep = paths.host_path(path)
    os.makedirs(deep)  # noqa: PTH103  (`Path.mkdir` would make each by recursion)
    (deep / "link").symlink_to("../d/" * 800)
    assert not paths.has_directory(f"{path}/link")
    assert paths.has_directory(path)


def test_check_says_what_holds_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["check"]) == (0 if "required" in AVAILABLE_ISOLATIONS else 1)
    here = capsys.readouterr().out
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["check"]) == 1
    without = capsys.readouterr().out
    if "required" in AVAILABLE_ISOLATIONS:
        assert re.search(r"jail +works, with bubblewrap", here)
        assert re.search(r"files +enforced", here)
        assert re.search(r"keys +enforced", here)
    assert re.search(r"jail +run as you .*bwrap is not on the\s+PATH", without, re.DOTALL)
    assert re.search(r"limits +not enforced", without)


@needs_jail
@pytest.mark.parametrize(
    ("release", "root", "another"),
    [
        ("5.14.0-1-amd64", "enforced: at most 1,024 in a sandbox", None),
        ("5.13.9", "enforced: at most 1,024, but on this Linux in all sandboxes", "yours outside"),
    ],
)
def test_check_says_whose_processes_this_linux_counts(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    release: str,
    root: str,
    another: str | None,
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    assert main(["check"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (root if os.getuid() == 0 or another is None else another) in said


@needs_jail
def test_check_says_that_an_unknown_machine_has_no_filter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert main(["check"]) == 0
    assert re.search(r"keys +not enforced on riscv64: ", capsys.readouterr().out)
