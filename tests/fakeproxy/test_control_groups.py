"""Control groups: where they can be made, their limits, and that none is left behind."""

import os
from pathlib import Path

import pytest
from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy.runtime.local.control_groups import (
    PREFIX,
    ControlGroups,
    control_groups,
    find_control_groups,
)
from sandbox_fakeproxy.runtime.local.limits import Limits

from tests.fakeproxy.available_isolations import needs_jail
from tests.fakeproxy.shell_api import ShellApi

BOTH = frozenset({"memory", "pids"})
LIMITS = Limits(processes=7, total_memory=100 * 1024**2)


def mount(at: Path, kind: str, *options: str, root: str = "/") -> str:
    return f"30 23 0:26 {root} {at} rw,relatime shared:4 - {kind} {kind} {','.join(options)}\n"


def version_2(top: Path, enabled: dict[str, str]) -> str:
    """Make a tree of groups with the controllers that each enables; return its mount's line."""
    for path, controllers in enabled.items():
        folder = top / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.subtree_control").write_text(f"{controllers}\n")
        (folder / "cgroup.procs").touch()
    return mount(top, "cgroup2", "rw", "nsdelegate")


def test_of_version_2_the_nearest_group_that_limits_others_is_taken(tmp_path: Path) -> None:
    mounts = version_2(tmp_path, {".": "cpu memory pids", "app": "memory pids", "app/own": ""})
    assert find_control_groups("0::/app/own\n", mounts) == ControlGroups(
        {tmp_path / "app": BOTH}, 2
    )


@pytest.mark.parametrize(
    ("enabled", "own"),
    [
        ({".": "cpu memory", "app": "pids"}, "0::/app\n"),
        ({".": "", "app": ""}, "0::/app\n"),
        ({".": "memory pids"}, "0::/../outside\n"),
    ],
)
def test_of_version_2_without_both_controllers_there_is_none(
    tmp_path: Path, enabled: dict[str, str], own: str
) -> None:
    top = tmp_path / "top"
    mounts = version_2(top, enabled)
    if ".." in own:
        mounts = mounts.replace(" / ", " /container ")
    assert find_control_groups(own, mounts) is None


def test_a_group_that_may_not_be_joined_is_passed_over(tmp_path: Path) -> None:
    mounts = version_2(tmp_path, {"app": "memory pids"})
    (tmp_path / "app/cgroup.procs").unlink()
    assert find_control_groups("0::/app\n", mounts) is None


def test_of_version_1_each_controller_has_its_own_folder(tmp_path: Path) -> None:
    memory, pids = tmp_path / "memory", tmp_path / "pids"
    (memory / "box").mkdir(parents=True)
    pids.mkdir()
    own = "9:name=systemd:/\n8:pids:/\n4:memory:/outer/box\n0::/\n"
    mounts = (
        mount(memory, "cgroup", "rw", "memory", root="/outer")
        + mount(pids, "cgroup", "rw", "pids")
        + mount(tmp_path / "cpu", "cgroup", "rw", "cpu")
        + "31 23 0:27 / /proc rw - proc proc rw\n"
    )
    parents = {memory / "box": frozenset({"memory"}), pids: frozenset({"pids"})}
    assert find_control_groups(own, mounts) == ControlGroups(parents, 1)
    assert find_control_groups(own, mounts.replace("rw,pids", "rw,cpu")) is None


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (1, {"memory.limit_in_bytes": "104857600", "memory.memsw.limit_in_bytes": "104857600"}),
        (2, {"memory.max": "104857600", "memory.swap.max": "0"}),
    ],
)
def test_a_group_has_the_limits_of_a_sandbox(
    tmp_path: Path, version: int, files: dict[str, str]
) -> None:
    group = ControlGroups({tmp_path: BOTH}, version).create(LIMITS)
    (folder,) = group.folders
    assert {each.name: each.read_text() for each in folder.iterdir()} == files | {"pids.max": "7"}


def test_groups_of_fakes_that_are_gone_are_removed(tmp_path: Path) -> None:
    gone, here = f"{PREFIX}999999999-", f"{PREFIX}{os.getpid()}-"
    for name in (f"{gone}old", f"{gone}new", f"{here}old", "other"):
        (tmp_path / name).mkdir()
        if not name.endswith("new"):
            os.utime(tmp_path / name, (0, 0))
    ControlGroups({tmp_path: BOTH}, 2).remove_stale()
    left = sorted(each.name for each in tmp_path.iterdir())
    assert left == sorted([f"{gone}new", f"{here}old", "other"])


def test_a_group_that_cannot_be_made_is_logged_and_limits_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parents = {tmp_path / "pids": frozenset[str](), tmp_path / "missing": BOTH}
    (tmp_path / "pids").mkdir()
    group = ControlGroups(parents, 1).try_create(LIMITS)
    assert group.join_command(["true"])[-2:] == ["--", "true"]
    assert "the memory of a sandbox is not limited as a whole" in caplog.text
    assert list((tmp_path / "pids").iterdir()) == []


def own_groups() -> set[Path]:
    """Return the groups of this process's fakes."""
    groups = control_groups(LIMITS)
    parents = () if groups is None else groups.parents
    return {each for parent in parents for each in parent.glob(f"{PREFIX}{os.getpid()}-*")}


@needs_jail
@pytest.mark.skipif(
    control_groups(LIMITS) is None,
    reason="this process may write no control group that limits memory and processes",
)
async def test_processes_that_take_too_much_memory_together_are_killed(tmp_path: Path) -> None:
    before = own_groups()
    runtime = LocalRuntime(tmp_path, isolation="required", limits=LIMITS)
    shell = ShellApi(runtime)
    took = await shell.run("(head -c 200M /dev/zero | tail >/dev/null); echo $?")
    assert took.output.endswith("137\n")
    assert (await shell.run("echo again")).output == "again\n"
    assert own_groups() > before
    await runtime.close()
    assert own_groups() == before
