"""The shell scripts that work on a sandbox's files, run by bash, and how their output is read."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client.errors import FileRefused, InvalidResponse
from sandbox_client.files import shell_scripts
from sandbox_client.files.model import (
    Destination,
    FileEntry,
    Tree,
    destination,
    is_below,
    name_of,
    temp_path,
)
from sandbox_client.files.shell_scripts import BLOCK, PendingUpload, Slice

from tests.client.strategies import some_examples

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client.files.shell_scripts import Manner


def run(here: Path, command: str) -> str:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=here,
        env={"PATH": "/usr/bin:/bin", "HOME": str(here)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout


def uploads(
    here: Path, name: str, data: bytes, sent: bytes, manner: Manner = "plain"
) -> PendingUpload:
    part = f".{name}.part-0123abcd"
    (here / part).write_bytes(data)
    return PendingUpload(part, name, len(sent), hashlib.sha256(sent).hexdigest(), manner)


def commit(here: Path, name: str, manner: Manner = "plain", around: str = "{}") -> tuple[str, str]:
    command = shell_scripts.commit([uploads(here, name, b"new" * 300, b"new" * 300, manner)])
    return shell_scripts.read_lines(run(here, around.format(command)))[0]


def test_each_file_of_a_command_has_its_own_outcome(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    command = shell_scripts.commit(
        [
            uploads(tmp_path, "good 'name' -", b"x", b"x"),
            uploads(tmp_path, "short", b"x", b"xy"),
            uploads(tmp_path, "other", b"x", b"y"),
            uploads(tmp_path, "folder", b"x", b"x"),
        ]
    )
    assert shell_scripts.read_lines(run(tmp_path, command)) == {
        0: ("done", ""),
        1: ("differs", ""),
        2: ("differs", ""),
        3: ("failed", "it is a directory"),
    }
    assert (tmp_path / "good 'name' -").read_text() == "x"
    assert not (tmp_path / "short").exists()


def test_a_command_is_one_line_without_aliases(tmp_path: Path) -> None:
    command = shell_scripts.commit([uploads(tmp_path, "new\nline", b"", b"")])
    assert command.isprintable()
    run(tmp_path, f"shopt -s expand_aliases; alias mv=false rm=false wc=false\n{command}")
    assert (tmp_path / "new\nline").exists()


@pytest.mark.parametrize("without", ["--reference", "stat -Lc"])
@pytest.mark.parametrize("mode", [0o600, 0o755])
def test_a_replaced_file_keeps_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, without: str
) -> None:
    script = shell_scripts._SETTLE.replace(without, "--none")  # pyright: ignore[reportPrivateUsage]  # other tools
    monkeypatch.setattr(shell_scripts, "_SETTLE", script)
    (tmp_path / "f").touch()
    (tmp_path / "f").chmod(mode)
    assert commit(tmp_path, "f", "run") == ("done", "")
    assert (tmp_path / "f").read_text() == "new" * 300
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


@pytest.mark.parametrize("to", ["deep/er 'f'\n", "deep/none"])
@pytest.mark.parametrize("manner", ["plain", "append"])
def test_a_link_is_kept_and_its_target_is_written(tmp_path: Path, to: str, manner: Manner) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/er 'f'\n").touch()
    (tmp_path / "link").symlink_to(to)
    assert commit(tmp_path, "link", manner) == ("done", "")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / to).read_text() == "new" * 300
    assert not list(tmp_path.rglob("*.part-*"))


def test_a_dangling_link_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("no/such/place")
    assert commit(tmp_path, "link") == ("failed", "it is a link that leads nowhere")
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write all")
@pytest.mark.parametrize("manner", ["plain", "append"])
def test_a_write_protected_file_is_not_changed(tmp_path: Path, manner: Manner) -> None:
    (tmp_path / "f").write_text("old")
    (tmp_path / "f").chmod(0o444)
    around = "setpriv --bounding-set -all {}" if os.geteuid() == 0 else "{}"
    word, said = commit(tmp_path, "f", manner, around)
    assert (word, said) == ("failed", "it is write-protected (chmod u+w lifts that)")
    assert (tmp_path / "f").read_text() == "old"


def test_a_partial_append_is_reported(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old" * 200)
    word, said = commit(tmp_path, "f", "append", "trap '' XFSZ; ulimit -f 1; {}")
    assert word == "failed"
    assert said.startswith("some of it may be at its end:")


def test_an_append_keeps_concurrent_appends(tmp_path: Path) -> None:
    with (tmp_path / "log").open("a") as log:
        assert commit(tmp_path, "log", "append") == ("done", "")
        log.write("other")
    assert (tmp_path / "log").read_text() == "new" * 300 + "other"


def test_parts_of_a_killed_copy_are_removed_after_an_hour(tmp_path: Path) -> None:
    name = "a *[b]"
    kept = {f".{name}.part-00000001", f".{name}.part-notes", ".a b.part-00000003"}
    for each in {*kept, f".{name}.part-00000002"}:
        (tmp_path / each).touch()
        then = time.time() - (3_500 if each.endswith("1") else 3_700)
        os.utime(tmp_path / each, (then, then))
    assert commit(tmp_path, name) == ("done", "")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, name}


def test_an_output_without_its_end_is_an_error_with_its_last_line() -> None:
    with pytest.raises(FileRefused, match="ended early: sh: not found"):
        shell_scripts.read_lines("@0 done\nsh: not found\n")
    with pytest.raises(FileRefused, match="it printed nothing"):
        shell_scripts.read_lines("")


def test_the_line_ends_of_a_terminal_are_accepted() -> None:
    assert shell_scripts.read_lines("noise\r\n@0 done\r\n@1 12 abc\r\n@end\r\n") == {
        0: ("done", ""),
        1: ("12", "abc"),
    }


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a//b", "a/./b", ""])
def test_a_path_outside_the_directory_is_refused(path: str) -> None:
    content = base64.b64encode(f"f1 ./{path}\0".encode()).decode()
    assert not is_below(path)
    with pytest.raises(InvalidResponse, match="leads out of its directory"):
        shell_scripts.read_survey(content, "/sandbox", "x", is_file=False)


@some_examples
@given(st.integers(0, 200 * BLOCK), st.integers(1, 40))
def test_slices_cover_a_file_once(size: int, most: int) -> None:
    slices = shell_scripts.slices(0, FileEntry("f", size), most)
    blocks = [name for each in slices for name in each.names()]
    assert blocks == [f"0.{number}" for number in range(-(-size // BLOCK))]
    assert [each.is_last for each in slices] == [False] * (len(slices) - 1) + [True]
    assert all(each.count <= most for each in slices)


def test_a_file_is_packed_block_by_block_with_its_size_and_hash(tmp_path: Path) -> None:
    data = bytes(range(256)) * (2 * BLOCK // 256) + b"end"
    (tmp_path / "f").write_bytes(data)
    (tmp_path / "scratch").mkdir()
    command = shell_scripts.pack("scratch", [Slice(7, FileEntry("f", len(data)), 0, 3)])
    told = shell_scripts.read_lines(run(tmp_path, command))
    assert told == {7: (str(len(data)), hashlib.sha256(data).hexdigest())}
    blocks = [(tmp_path / "scratch" / f"7.{number}").read_text() for number in range(3)]
    assert b"".join(map(shell_scripts.read_block, blocks)) == data


@pytest.mark.parametrize(
    ("is_file", "target", "into", "expected"),
    [
        (True, "/sandbox/x", False, Destination("/sandbox", "x")),
        (True, "/sandbox/x", True, Destination("/sandbox/x", "name")),
        (True, "x", False, Destination("", "x")),
        (False, "/sandbox/x", False, Destination("/sandbox/x")),
        (False, "/sandbox/x", True, Destination("/sandbox/x/name")),
    ],
)
def test_the_target_of_a_tree(
    is_file: bool, target: str, into: bool, expected: Destination
) -> None:
    assert destination(Tree("/b", "name", is_file, ()), target, into=into) == expected


@some_examples
@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=255))
def test_the_name_of_a_part_is_valid_and_in_the_same_directory(name: str) -> None:
    directory, _, part = temp_path(f"a/{name}", "0123abcd").rpartition("/")
    assert directory == "a"
    assert len(part.encode()) <= 255
    assert part.startswith(".")
    assert part.endswith(".part-0123abcd")


def test_a_path_that_ends_in_dots_has_no_name() -> None:
    assert [name_of(path) for path in ("a/b", "a/b/", "a/.", "..", "/", ".")] == [
        "b",
        "b",
        *[""] * 4,
    ]


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    content = base64.b64encode(b"f1 ./f-\xff\0").decode()

    with pytest.raises(FileRefused, match="A name in the sandbox is not UTF-8"):
        shell_scripts.read_survey(content, "/sandbox", "x", is_file=False)


def test_a_survey_is_read_with_its_kinds() -> None:
    content = base64.b64encode(b"d .\0d ./d\0x2 ./d/run\0t ./to\0l ./gone\0o ./pipe\0").decode()

    tree = shell_scripts.read_survey(content, "/b", "x", is_file=False)

    assert tree.files == (FileEntry("d/run", 2, runs=True),)
    assert tree.directories == ("d",)
    assert [each.path for each in tree.skipped] == ["to", "gone", "pipe"]


def test_text_that_is_no_base64_is_refused() -> None:
    with pytest.raises(InvalidResponse, match="base64 cannot be read"):
        shell_scripts.read_block("%")


def test_directories_are_made_and_the_marker_is_removed(tmp_path: Path) -> None:
    (tmp_path / "marker").touch()
    (tmp_path / "file").touch()

    output = run(tmp_path, shell_scripts.arrange("marker", ["a/b", "file"]))

    assert shell_scripts.read_lines(output)[1][0] == "failed"
    assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "marker").exists()


def test_the_size_of_a_file_is_measured(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")

    assert shell_scripts.read_lines(run(tmp_path, shell_scripts.measure("f"))) == {0: ("size", "5")}


def test_a_scratch_directory_and_parts_are_removed(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/f").touch()
    (tmp_path / "part").touch()

    run(tmp_path, shell_scripts.remove_scratch("scratch"))
    run(tmp_path, shell_scripts.remove(["part", "none"]))

    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_surveyed_by_its_script(tmp_path: Path) -> None:
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/d/f").write_bytes(b"abc")
    (tmp_path / "tree/link").symlink_to("d")

    output = run(tmp_path / "tree", shell_scripts.survey("scratch", ".").replace('"$HOME"', ".."))

    assert shell_scripts.read_lines(output) == {}
    listed = (tmp_path / "scratch/list").read_text()
    tree = shell_scripts.read_survey(listed, "/b", "tree", is_file=False)
    assert (tree.files, tree.directories) == ((FileEntry("d/f", 3),), ("d",))
    assert [each.path for each in tree.skipped] == ["link"]
