"""`remote-sandbox cp` as a person starts it, against the fake as a process."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration.programs import DEADLINE, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.programs import FakeProcess

BOX = "my-sandbox"


def remote_sandbox(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox_client", *words],
        cwd=home / "here",
        env=clean_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture
def box(home: Path) -> Path:
    """A home folder with a ready sandbox behind its configuration, and a directory to work in."""
    (home / "here").mkdir()
    assert remote_sandbox(home, "create", BOX).returncode == 0
    return home


def names(box: Path, script: str = "find . -mindepth 1 | sort") -> list[str]:
    result = remote_sandbox(box, "prompt", BOX, script)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_directory_goes_there_and_back_with_a_line_for_each_file(box: Path) -> None:
    tree = box / "here/tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "a").write_bytes(bytes(range(256)) * 1000)
    (tree / "new\nline").write_text("x")
    (tree / "link").symlink_to("empty")
    there = remote_sandbox(box, "cp", "-r", "tree", f"{BOX}:")
    assert there.returncode == 1, "something was skipped"
    assert there.stdout == f"2 files (256001 bytes) copied to {BOX}:; 1 skipped\n"
    assert there.stderr.splitlines() == [
        "skipped link: a link to a directory, not followed",
        "copied a (256000 bytes)",
        r"copied 'new\nline' (1 byte)",
    ]
    back = remote_sandbox(box, "cp", f"{BOX}:tree", "back", "--json")
    assert json.loads(back.stdout) == {
        "name": BOX,
        "target": "back",
        "files": 2,
        "directories": 2,
        "bytes": 256_001,
        "skipped": [],
    }
    assert (box / "here/back/a").read_bytes() == (tree / "a").read_bytes()
    assert (box / "here/back/empty").is_dir()


def test_what_is_skipped_there_is_told_in_json_and_ends_with_1(box: Path) -> None:
    names(box, "mkdir -p tree/folder; ln -s folder tree/link; echo x >tree/file")
    back = remote_sandbox(box, "cp", "--json", f"{BOX}:tree", "back")
    assert back.returncode == 1
    told = json.loads(back.stdout)
    assert told["skipped"] == [{"path": "link", "why": "a link to a directory, not followed"}]
    assert told["files"] == 1
    assert (box / "here/back/file").read_text() == "x\n"


def test_several_files_go_into_a_directory(box: Path) -> None:
    for name in ("one", "two", "with:colon"):
        (box / "here" / name).write_text(name)
    result = remote_sandbox(box, "cp", "one", "./with:colon", "two", f"{BOX}:into")
    assert result.returncode == 0, result.stderr
    assert names(box) == ["./into", "./into/one", "./into/two", "./into/with:colon"]


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
    box: Path, words: tuple[str, ...], message: str
) -> None:
    result = remote_sandbox(box, "cp", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "next:" in result.stderr


def test_what_is_not_there_ends_with_1(box: Path) -> None:
    result = remote_sandbox(box, "cp", f"{BOX}:none", ".")
    assert result.returncode == 1
    assert "error: The sandbox could not list /sandbox/none" in result.stderr
    result = remote_sandbox(box, "cp", "none", f"{BOX}:")
    assert result.returncode == 1
    assert "none cannot be read: No such file or directory" in result.stderr


def test_a_source_that_is_not_there_ends_it_before_anything_is_copied(box: Path) -> None:
    (box / "here/a").write_text("x")
    result = remote_sandbox(box, "cp", "a", "none", f"{BOX}:into/")
    assert (result.returncode, result.stdout) == (1, "")
    assert "error: none cannot be read: No such file or directory" in result.stderr
    assert names(box) == []


def test_a_failure_says_what_was_copied_and_what_was_not(box: Path) -> None:
    for name in ("a", "b"):
        (box / "here" / name).write_text("x")
    names(box, "mkdir -p into/b/below")
    result = remote_sandbox(box, "cp", "a", "b", f"{BOX}:into/")
    assert result.returncode == 1
    assert "1 file copied whole, 1 file not copied, from b on; no file is left half" in (
        result.stderr
    )


def test_ctrl_c_cleans_up_and_says_what_is_done_and_what_is_not(box: Path) -> None:
    (box / "here/tree").mkdir()
    (box / "here/tree/big").write_bytes(os.urandom(40_000_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_client", "cp", "tree", f"{BOX}:"],
        cwd=box / "here",
        env=clean_environment(box),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        names(box, "until test -e tree/.big.part-*; do sleep 0.02; done")
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert "0 files copied whole, 1 file not copied, from big on; no file is left half" in said
    assert "interrupted: what was copied whole stays" in said
    assert "Traceback" not in said
    assert names(box) == ["./tree"]


def test_in_a_terminal_a_bar_shows_how_far_it_is(box: Path) -> None:
    (box / "here/big.bin").write_bytes(os.urandom(6_000_000))
    shown = in_a_terminal(box, "cp", "big.bin", f"{BOX}:")
    assert re.search(r"big\.bin .*━.*/6\.0 MB", shown)
    assert re.search(r"MB/s", shown)
    assert f"1 file (6000000 bytes) copied to {BOX}:" in shown


def in_a_terminal(home: Path, *words: str) -> str:
    """Run `remote-sandbox` in a pseudo-terminal and return its output."""
    near, far = pty.openpty()
    shown = bytearray()

    def collect() -> None:
        with contextlib.suppress(OSError):  # the far end is closed: all was read
            while chunk := os.read(near, 65_536):
                shown.extend(chunk)

    reader = threading.Thread(target=collect)
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_client", *words],
        cwd=home / "here",
        env=clean_environment(home, TERM="xterm", COLUMNS="120"),
        stdin=far,
        stdout=far,
        stderr=far,
    )
    os.close(far)
    reader.start()
    try:
        assert process.wait(DEADLINE) == 0, shown.decode()
    finally:
        process.kill()
        reader.join(DEADLINE)
        os.close(near)
    return shown.decode()


def test_no_key_is_in_what_is_told(box: Path, fake: FakeProcess) -> None:
    key = json.loads((box / ".config/gemini-remote-sandbox/config.json").read_text())["apiKey"]
    assert httpx.get(f"{fake.url}/api/me", headers={"Authorization": f"Bearer {key}"}).is_success
    result = remote_sandbox(box, "cp", key, f"{BOX}:{key}")
    assert result.returncode == 1
    assert key not in result.stdout + result.stderr
