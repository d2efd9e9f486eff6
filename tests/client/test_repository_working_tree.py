"""Files of the working tree are replaced, all or none, also if the process ends in the middle."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_client.errors import RepositoryRefused
from sandbox_client.repository.apply import Part
from sandbox_client.repository.working_tree import workspace

from tests.client.repository_stub import (
    Exchange,
    commit_all,
    exchange_with_work,
    fingerprint,
    git,
    write,
)
from tools.manifest import ROOT

# Moves of an apply: d/b.txt away, a.txt away, the new a.txt here, n/c.txt here.
BEFORE_THE_NEW_FILE, BEFORE_THE_ADDED_FILE = 3, 4
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.client.repository_stub import Exchange

moves, move = [], os.replace

def replace(source, target):
    if {"old", "new"} & {*Path(source).parts, *Path(target).parts}:
        moves.append(source)
        if len(moves) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
    move(source, target)

os.replace = replace
Exchange(Path(sys.argv[1]), Path(sys.argv[2])).apply()
"""
KILLED_IN_A_COPY = """
import os, shutil, signal, sys
from pathlib import Path
from tests.client.repository_stub import Exchange
from tests.client.test_repository_working_tree import replace_on_one_file_system

copy = shutil.copy2

def copy_and_be_killed(source, target, **options):
    copy(source, target, **options)
    if ".git" not in Path(target).parts:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace, shutil.copy2 = replace_on_one_file_system, copy_and_be_killed
Exchange(Path(sys.argv[1]), Path(sys.argv[2])).apply()
"""
replace, copy2 = os.replace, shutil.copy2


def replace_on_one_file_system(source: str | Path, target: str | Path) -> None:
    """Act as if `.git` were on another file system than the working tree."""
    if len({".git" in Path(each).parts for each in (source, target)}) > 1:
        raise OSError(errno.EXDEV, "Invalid cross-device link")
    replace(source, target)


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    """Work that was fetched: a.txt is changed, d/b.txt removed, n/c.txt added."""
    made = exchange_with_work(tmp_path)
    (made.top / "d").chmod(0o700)
    (made.box / "d" / "b.txt").unlink()
    write(made.box, {"n/c.txt": "x\n"})
    made.pull()
    return made


def apply_and_be_killed(exchange: Exchange, move: int, script: str = KILLED) -> None:
    words = [sys.executable, "-c", script, str(exchange.top), str(exchange.box), str(move)]
    killed = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert git(exchange.top, "status", "--porcelain") != ""


def undo(exchange: Exchange) -> None:
    with workspace(exchange.repository):
        pass


def leftovers(exchange: Exchange) -> list[str]:
    found = (exchange.top / ".git" / "remote-sandbox").iterdir()
    return [each.name for each in found if each.name.startswith(("apply-", "kept-"))]


@pytest.mark.parametrize("move", [BEFORE_THE_NEW_FILE, BEFORE_THE_ADDED_FILE])
def test_the_work_of_a_killed_process_is_undone(exchange: Exchange, move: int) -> None:
    before = fingerprint(exchange.top)
    apply_and_be_killed(exchange, move)

    undo(exchange)

    assert fingerprint(exchange.top) == before
    assert exchange.apply().part is Part.ALL
    assert git(exchange.top, "status", "--porcelain").splitlines() == [
        *("M a.txt", " D d/b.txt", "?? n/"),
    ]
    assert leftovers(exchange) == []


@pytest.mark.parametrize("text", ["mine\n", "my own\n"])
def test_a_file_that_was_edited_since_is_left(exchange: Exchange, text: str) -> None:
    apply_and_be_killed(exchange, BEFORE_THE_ADDED_FILE)
    status = (exchange.top / "a.txt").stat()
    write(exchange.top, {"a.txt": text})
    os.utime(exchange.top / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(RepositoryRefused, match=r"but for 1 file that .*: a\.txt") as caught:
        undo(exchange)

    assert (exchange.top / "a.txt").read_text() == text
    assert (exchange.top / "d" / "b.txt").read_text() == "x\n"
    (kept,) = (exchange.top / ".git" / "remote-sandbox").glob("kept-*/old")
    assert str(kept) in caught.value.advice
    assert (kept / "a.txt").read_text() == "one\n"
    undo(exchange)
    assert (kept / "a.txt").exists()


def test_files_that_the_person_has_brought_back_are_no_edits(exchange: Exchange) -> None:
    apply_and_be_killed(exchange, BEFORE_THE_ADDED_FILE)
    git(exchange.top, "checkout", "-q", ".")

    undo(exchange)

    assert git(exchange.top, "status", "--porcelain") == ""
    assert leftovers(exchange) == []


def test_no_file_is_put_back_through_a_link(exchange: Exchange, tmp_path: Path) -> None:
    apply_and_be_killed(exchange, BEFORE_THE_NEW_FILE)
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, {"b.txt": "x\n"})
    (exchange.top / "d").symlink_to(elsewhere)

    with pytest.raises(RepositoryRefused, match=r"but for 1 file that .*: d/b\.txt"):
        undo(exchange)

    assert [each.name for each in elsewhere.iterdir()] == ["b.txt"]
    assert (exchange.top / "a.txt").read_text() == "one\n"


def test_a_file_that_cannot_be_moved_lets_all_be_undone(exchange: Exchange) -> None:
    write(exchange.top, {".git/info/exclude": "z\n", "z/mine.txt": "x\n"})
    write(exchange.box, {"z": "x\n"})
    exchange.pull()
    before = fingerprint(exchange.top)

    with pytest.raises(RepositoryRefused, match=r"cannot be written: .*/z: Directory"):
        exchange.apply(allow_runs_later=True)

    assert fingerprint(exchange.top) == before
    assert leftovers(exchange) == []


@pytest.mark.parametrize("path", ["a.txt", "d/b.txt", "n.txt"])
def test_a_file_that_is_edited_during_the_apply_is_left(exchange: Exchange, path: str) -> None:
    git(exchange.top, "config", "filter.f.smudge", f"echo mine >{path}; cat")
    write(exchange.top, {".git/info/attributes": "a.txt filter=f\n"})
    write(exchange.box, {"n.txt": "theirs\n"})

    with pytest.raises(RepositoryRefused, match=f"changed while the work was applied: {path}"):
        exchange.apply()

    for name, text in {"a.txt": "one\n", "d/b.txt": "x\n", path: "mine\n"}.items():
        assert (exchange.top / name).read_text() == text


def test_directories_and_files_that_take_the_place_of_each_other(exchange: Exchange) -> None:
    (exchange.box / "a.txt").unlink()
    (exchange.box / "n" / "c.txt").unlink()
    (exchange.box / "n").rmdir()
    (exchange.box / "d").rmdir()
    write(exchange.box, {"a.txt/b.txt": "x\n", "d": "file\n"})
    exchange.pull()
    before = fingerprint(exchange.top)
    apply_and_be_killed(exchange, 4)  # of d/b.txt, a.txt; a.txt/b.txt, d
    undo(exchange)
    assert fingerprint(exchange.top) == before

    exchange.apply()

    assert (exchange.top / "a.txt" / "b.txt").read_text() == "x\n"
    assert (exchange.top / "d").read_text() == "file\n"


def test_a_linked_working_tree_on_another_file_system(
    exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(exchange.top, "branch", "-D", "sandbox/box")
    git(exchange.top, "worktree", "add", "-q", str(tmp_path / "linked"))
    linked = Exchange(tmp_path / "linked", exchange.box.parent / "linked")
    linked.push()
    write(linked.box, {"a.txt": "better\n"})
    (linked.box / "link").symlink_to("a.txt")
    monkeypatch.setattr(os, "replace", replace_on_one_file_system)

    linked.apply()

    assert (linked.top / "a.txt").read_text() == "better\n"
    assert (linked.top / "link").readlink() == Path("a.txt")
    assert git(linked.top, "status", "--porcelain").splitlines() == ["M a.txt", "?? link"]


def test_a_full_disk_has_room_for_the_old_files_again(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("x", "y", "z")
    write(exchange.top, dict(zip(names, ("x" * 90, "y", "z"), strict=True)))
    commit_all(exchange.top)
    git(exchange.top, "branch", "-D", "sandbox/box")
    exchange.push()
    write(exchange.box, dict(zip(names, ("x" * 10, "y" * 60, "z" * 100), strict=True)))
    exchange.pull()
    before = fingerprint(exchange.top)

    def copy(source: str, target: str, *, follow_symlinks: bool) -> None:
        present = [exchange.top / each for each in names if (exchange.top / each).exists()]
        if ".git" not in Path(target).parts and (
            sum(each.stat().st_size for each in present) + Path(source).stat().st_size > 140
        ):
            raise OSError(errno.ENOSPC, "No space left on device")
        copy2(source, target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "replace", replace_on_one_file_system)
    monkeypatch.setattr(shutil, "copy2", copy)
    with pytest.raises(RepositoryRefused, match="cannot be written: No space left"):
        exchange.apply()

    assert fingerprint(exchange.top) == before
    assert leftovers(exchange) == []


def test_a_process_that_is_killed_in_a_copy_leaves_no_part(exchange: Exchange) -> None:
    before = fingerprint(exchange.top)
    apply_and_be_killed(exchange, 0, KILLED_IN_A_COPY)
    assert list(exchange.top.glob(".remote-sandbox-*")) != []

    undo(exchange)

    assert fingerprint(exchange.top) == before


def test_one_process_applies_work_at_a_time(exchange: Exchange) -> None:
    with (
        workspace(exchange.repository),
        pytest.raises(RepositoryRefused, match="Another process applies work"),
    ):
        exchange.apply()

    assert (exchange.top / "a.txt").read_text() == "one\n"
