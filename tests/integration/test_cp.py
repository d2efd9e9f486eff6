"""`remote-sandbox cp` as a process, against a fake proxy in another process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration.programs import DEADLINE, clean_environment, config_path, run_remote_sandbox
from tests.integration.terminal import open_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.programs import FakeProcess

BOX = "my-sandbox"


@pytest.fixture
def sandbox_home(home: Path) -> Path:
    """A home directory with the client's configuration; its user has a ready sandbox.

    Its subdirectory `here` is the working directory of `cp`.
    """
    (home / "here").mkdir()
    assert run_remote_sandbox(home, "create", BOX).returncode == 0
    return home


def cp(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `remote-sandbox cp` in the directory `here`."""
    return run_remote_sandbox(home, "cp", *arguments, cwd=home / "here")


def run_in_sandbox(home: Path, script: str) -> list[str]:
    """Run a shell command in the sandbox and return the lines of its output."""
    result = run_remote_sandbox(home, "prompt", BOX, script)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def paths_in_sandbox(home: Path) -> list[str]:
    return run_in_sandbox(home, "find . -mindepth 1 | sort")


def test_a_directory_is_copied_both_ways_with_a_line_for_each_file(sandbox_home: Path) -> None:
    tree = sandbox_home / "here/tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "a").write_bytes(bytes(range(256)) * 1000)
    (tree / "new\nline").write_text("x")
    (tree / "link").symlink_to("empty")
    up = cp(sandbox_home, "-r", "tree", f"{BOX}:")
    assert up.returncode == 1, "something was skipped"
    assert up.stdout == f"2 files (256 kB) copied to {BOX}:; 1 skipped\n"
    assert up.stderr.splitlines() == [
        "skipped link: a link to a directory, not followed",
        "copied a (256 kB)",
        r"copied 'new\nline' (1 byte)",
    ]
    down = cp(sandbox_home, f"{BOX}:tree", "back", "--json")
    content = json.loads(down.stdout)
    assert 0 < content.pop("seconds") < 60
    assert content == {
        "name": BOX,
        "target": "back",
        "files": 2,
        "directories": 2,
        "bytes": 256_001,
        "not_executable": [],
        "skipped": [],
    }
    assert (sandbox_home / "here/back/a").read_bytes() == (tree / "a").read_bytes()
    assert (sandbox_home / "here/back/empty").is_dir()


def test_a_skipped_link_in_the_sandbox_is_in_the_json_and_ends_with_1(sandbox_home: Path) -> None:
    run_in_sandbox(sandbox_home, "mkdir -p tree/folder; ln -s folder tree/link; echo x >tree/file")
    down = cp(sandbox_home, "--json", f"{BOX}:tree", "back")
    assert down.returncode == 1
    content = json.loads(down.stdout)
    assert content["skipped"] == [{"path": "link", "why": "a link to a directory, not followed"}]
    assert content["files"] == 1
    assert (sandbox_home / "here/back/file").read_text() == "x\n"


def test_several_files_are_copied_into_a_directory(sandbox_home: Path) -> None:
    for name in ("one", "two", "with:colon"):
        (sandbox_home / "here" / name).write_text(name)
    result = cp(sandbox_home, "one", "./with:colon", "two", f"{BOX}:into")
    assert result.returncode == 0, result.stderr
    assert paths_in_sandbox(sandbox_home) == [
        "./into",
        "./into/one",
        "./into/two",
        "./into/with:colon",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a", "b"), "Source and target are both on this machine"),
        (("box:a", "box:b"), "Source and target are both in sandboxes"),
        (("box:a", "other:b", "."), "The sources are not all in one place"),
        (("a", "No Box:b"), "cannot be a sandbox's name"),
        (("", "box:b"), "A path is empty"),
        (("a",), "the following arguments are required"),
    ],
)
def test_wrong_usage_ends_with_2_and_an_example(
    sandbox_home: Path, words: tuple[str, ...], message: str
) -> None:
    result = cp(sandbox_home, *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "next:" in result.stderr


def test_a_missing_source_ends_with_1(sandbox_home: Path) -> None:
    result = cp(sandbox_home, f"{BOX}:none", ".")
    assert result.returncode == 1
    assert "error: The sandbox could not list /sandbox/none" in result.stderr
    result = cp(sandbox_home, "none", f"{BOX}:")
    assert result.returncode == 1
    assert "none cannot be read: No such file or directory" in result.stderr


def test_a_missing_source_ends_cp_before_anything_is_copied(sandbox_home: Path) -> None:
    (sandbox_home / "here/a").write_text("x")
    result = cp(sandbox_home, "a", "none", f"{BOX}:into/")
    assert (result.returncode, result.stdout) == (1, "")
    assert "error: none cannot be read: No such file or directory" in result.stderr
    assert paths_in_sandbox(sandbox_home) == []


def test_a_failure_reports_the_copied_and_the_remaining_files(sandbox_home: Path) -> None:
    for name in ("a", "b"):
        (sandbox_home / "here" / name).write_text("x")
    run_in_sandbox(sandbox_home, "mkdir -p into/b/below")
    result = cp(sandbox_home, "a", "b", f"{BOX}:into/")
    assert result.returncode == 1
    assert "1 file copied, 1 file not copied, from b on; no file is incomplete" in (result.stderr)


def test_ctrl_c_cleans_up_and_reports_the_copied_and_the_remaining_files(
    sandbox_home: Path,
) -> None:
    (sandbox_home / "here/tree").mkdir()
    (sandbox_home / "here/tree/big").write_bytes(os.urandom(40_000_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_client", "cp", "tree", f"{BOX}:"],
        cwd=sandbox_home / "here",
        env=clean_environment(sandbox_home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        run_in_sandbox(sandbox_home, "until test -e tree/.big.part-*; do sleep 0.02; done")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert (process.returncode, stdout) == (130, "")
    assert "0 files copied, 1 file not copied, from big on; no file is incomplete" in stderr
    assert "interrupted: complete files stay" in stderr
    assert "Traceback" not in stderr
    assert paths_in_sandbox(sandbox_home) == ["./tree"]


def test_in_a_terminal_a_bar_shows_the_progress(sandbox_home: Path) -> None:
    file = sandbox_home / "here/big.bin"
    file.write_bytes(os.urandom(6_000_000))
    with open_terminal(sandbox_home, "cp", str(file), f"{BOX}:", COLUMNS="120") as terminal:
        assert terminal.finish() == 0
    assert re.search(r"big\.bin .*━.*/6\.0 MB", terminal.output)
    assert re.search(r"MB/s", terminal.output)
    assert f"1 file (6.0 MB) copied to {BOX}:" in terminal.output


def test_the_key_is_never_printed(sandbox_home: Path, fake: FakeProcess) -> None:
    key = json.loads(config_path(sandbox_home).read_text())["apiKey"]
    assert httpx.get(f"{fake.url}/api/me", headers={"Authorization": f"Bearer {key}"}).is_success
    result = cp(sandbox_home, key, f"{BOX}:{key}")
    assert result.returncode == 1
    assert key not in result.stdout + result.stderr
