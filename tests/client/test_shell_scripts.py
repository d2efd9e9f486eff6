"""The shell scripts for the files of a sandbox, run by bash, and the parsing of their output."""

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
from sandbox_client import FileRefused
from sandbox_client.errors import InvalidResponse
from sandbox_client.files import shell_scripts
from sandbox_client.files.model import (
    UNSIZED,
    Destination,
    FileEntry,
    Skipped,
    Tree,
    base_name,
    destination,
    is_below,
    temp_path,
)
from sandbox_client.files.shell_scripts import BLOCK_SIZE, PendingUpload, Slice

from tests.client.shell import run
from tests.client.strategies import some_examples

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client.files.shell_scripts import FileResult, WriteMode


def prepare_upload(
    here: Path, name: str, data: bytes, sent: bytes, mode: WriteMode = None
) -> PendingUpload:
    temp = f".{name}.part-0123abcd"
    (here / temp).write_bytes(data)
    return PendingUpload(temp, name, len(sent), hashlib.sha256(sent).hexdigest(), mode)


def commit(here: Path, name: str, mode: WriteMode = None, wrapper: str = "{}") -> FileResult:
    command = shell_scripts.commit([prepare_upload(here, name, b"new" * 300, b"new" * 300, mode)])
    return shell_scripts.read_results(run(here, wrapper.format(command)))[0]


def test_each_file_of_a_command_has_its_own_outcome(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    command = shell_scripts.commit(
        [
            prepare_upload(tmp_path, "good 'name' -", b"x", b"x"),
            prepare_upload(tmp_path, "short", b"x", b"xy"),
            prepare_upload(tmp_path, "other", b"x", b"y"),
            prepare_upload(tmp_path, "folder", b"x", b"x"),
        ]
    )
    assert shell_scripts.read_results(run(tmp_path, command)) == {
        0: ("done", ""),
        1: ("differs", ""),
        2: ("differs", ""),
        3: ("failed", "it is a directory"),
    }
    assert (tmp_path / "good 'name' -").read_text() == "x"
    assert not (tmp_path / "short").exists()


def test_a_command_is_one_line_without_aliases(tmp_path: Path) -> None:
    command = shell_scripts.commit([prepare_upload(tmp_path, "new\nline", b"", b"")])
    assert command.isprintable()
    run(tmp_path, f"shopt -s expand_aliases; alias mv=false rm=false wc=false\n{command}")
    assert (tmp_path / "new\nline").exists()


@pytest.mark.parametrize("without", ["--reference", "stat -Lc"])
@pytest.mark.parametrize(("mode", "lost"), [(0o600, "mode"), (0o755, "")])
def test_a_replaced_file_keeps_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, lost: str, without: str
) -> None:
    script = shell_scripts._COMMIT.replace(without, "--none")  # pyright: ignore[reportPrivateUsage]  # removes a tool
    monkeypatch.setattr(shell_scripts, "_COMMIT", script)
    (tmp_path / "f").touch()
    (tmp_path / "f").chmod(mode)
    assert commit(tmp_path, "f", 0o755) == ("done", lost)
    assert (tmp_path / "f").read_text() == "new" * 300
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


@pytest.mark.parametrize("to", ["deep/er 'f'\n", "deep/none", "beside", "none"])
@pytest.mark.parametrize("mode", [None, "append"])
def test_a_link_is_kept_and_its_target_is_written(tmp_path: Path, to: str, mode: WriteMode) -> None:
    (tmp_path / "deep").mkdir()
    if not to.endswith("none"):
        (tmp_path / to).touch()
    (tmp_path / "link").symlink_to(to)
    assert commit(tmp_path, "link", mode) == ("done", "")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / to).read_text() == "new" * 300
    assert not list(tmp_path.rglob("*.part-*"))


def test_a_dangling_link_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("no/such/place")
    assert commit(tmp_path, "link") == ("failed", "it is a dangling link")
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root ignores modes")
@pytest.mark.parametrize("mode", [None, "append"])
def test_a_write_protected_file_is_not_changed(tmp_path: Path, mode: WriteMode) -> None:
    (tmp_path / "f").write_text("old")
    (tmp_path / "f").chmod(0o444)
    wrapper = "setpriv --bounding-set -all {}" if os.geteuid() == 0 else "{}"
    status, detail = commit(tmp_path, "f", mode, wrapper)
    assert (status, detail) == ("failed", "it is write-protected (run chmod u+w)")
    assert (tmp_path / "f").read_text() == "old"


def test_a_partial_append_is_reported(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old" * 200)
    status, detail = commit(tmp_path, "f", "append", "trap '' XFSZ; ulimit -f 1; {}")
    assert status == "failed"
    assert detail.startswith("a part may have been appended:")


def test_an_append_keeps_concurrent_appends(tmp_path: Path) -> None:
    with (tmp_path / "log").open("a") as log:
        assert commit(tmp_path, "log", "append") == ("done", "")
        log.write("other")
    assert (tmp_path / "log").read_text() == "new" * 300 + "other"


def test_temporary_files_of_a_killed_copy_are_removed_after_an_hour(tmp_path: Path) -> None:
    name = "a *[b]"
    kept = {f".{name}.part-00000001", f".{name}.part-notes", ".a b.part-00000003"}
    for each in {*kept, f".{name}.part-00000002"}:
        (tmp_path / each).touch()
        then = time.time() - (3_500 if each.endswith("1") else 3_700)
        os.utime(tmp_path / each, (then, then))
    assert commit(tmp_path, name) == ("done", "")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, name}


def test_an_output_without_an_end_line_is_an_error_with_its_last_line() -> None:
    with pytest.raises(FileRefused, match="ended early: sh: not found"):
        shell_scripts.read_results("@0 done\nsh: not found\n")
    with pytest.raises(FileRefused, match="it printed nothing"):
        shell_scripts.read_results("")


def test_the_line_ends_of_a_terminal_are_accepted() -> None:
    assert shell_scripts.read_results("noise\r\n@0 done\r\n@1 12 abc\r\n@end\r\n") == {
        0: ("done", ""),
        1: ("12", "abc"),
    }


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a//b", "a/./b", ""])
def test_a_path_outside_the_directory_is_refused(path: str) -> None:
    content = base64.b64encode(f"f 644 1 ./{path}\0".encode()).decode()
    assert not is_below(path)
    with pytest.raises(InvalidResponse, match="outside the directory"):
        shell_scripts.read_tree(content, "/sandbox", "x", is_file=False)


@pytest.mark.parametrize(
    "record",
    [
        b"f 999 5 ./x",
        b"f 644 5",
        b"f 644 x ./x",
        b"f 644 " + b"9" * 20 + b" ./x",
        b"\xff ./x",
        b"d ",
    ],
)
def test_a_malformed_list_is_refused(record: bytes) -> None:
    content = base64.b64encode(record + b"\0").decode()

    with pytest.raises(InvalidResponse, match="invalid list of files"):
        shell_scripts.read_tree(content, "/sandbox", "x", is_file=False)


@some_examples
@given(st.integers(0, 200 * BLOCK_SIZE), st.integers(1, 40))
def test_slices_cover_a_file_once(size: int, most: int) -> None:
    slices = list(shell_scripts.split_file(0, FileEntry("f", size), most))
    blocks = [block for each in slices for block in each.blocks()]
    assert [name for name, _ in blocks] == [f"0.{k}" for k in range(-(-size // BLOCK_SIZE))]
    assert sum(count for _, count in blocks) == size
    assert [each.is_last for each in slices] == [False] * (len(slices) - 1) + [True]
    assert all(each.count <= most for each in slices)


def test_a_file_is_packed_block_by_block_with_its_size_and_hash(tmp_path: Path) -> None:
    data = bytes(range(256)) * (2 * BLOCK_SIZE // 256) + b"end"
    (tmp_path / "f").write_bytes(data)
    (tmp_path / "scratch").mkdir()
    command = shell_scripts.pack("scratch", [Slice(7, FileEntry("f", len(data)), 0, 3)])
    results = shell_scripts.read_results(run(tmp_path, command))
    assert results == {7: (str(len(data)), hashlib.sha256(data).hexdigest())}
    blocks = [(tmp_path / "scratch" / f"7.{number}").read_text() for number in range(3)]
    assert b"".join(map(shell_scripts.decode_block, blocks)) == data


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
def test_the_destination_of_a_tree(
    is_file: bool, target: str, into: bool, expected: Destination
) -> None:
    assert destination(Tree("/b", "name", is_file, ()), target, into=into) == expected


@some_examples
@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=255))
def test_a_temporary_path_is_valid_and_in_the_same_directory(name: str) -> None:
    directory, _, name = temp_path(f"a/{name}", "0123abcd").rpartition("/")
    assert directory == "a"
    assert len(name.encode()) <= 255
    assert name.startswith(".")
    assert name.endswith(".part-0123abcd")


def test_the_root_and_dots_have_no_base_name() -> None:
    assert [base_name(path) for path in ("a/b", "a/b/", "a/.", "..", "/", ".")] == [
        "b",
        "b",
        *[""] * 4,
    ]


def test_a_name_that_is_not_utf_8_is_skipped_with_what_is_below_it() -> None:
    records = b"f 644 1 ./f-\xff\0d ./d-\xff\0f 644 1 ./d-\xff/below\0f 644 1 ./good\0"
    content = base64.b64encode(records).decode()

    tree = shell_scripts.read_tree(content, "/sandbox", "x", is_file=False)

    assert tree.files == (FileEntry("good", 1),)
    assert tree.directories == ()
    assert [(each.path, each.reason) for each in tree.skipped] == [
        (r"f-\xff", "its name is not UTF-8"),
        (r"d-\xff", "its name is not UTF-8"),
    ]


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="needs /proc")  # noqa: PTH110
def test_a_file_of_proc_is_listed_with_its_real_size(tmp_path: Path) -> None:
    command = shell_scripts.scan("scratch", "version").replace('"$HOME"', str(tmp_path))
    subprocess.run(["bash", "-c", command], cwd="/proc", check=True, capture_output=True)

    listed = (tmp_path / "scratch/list").read_text()
    (entry,) = shell_scripts.read_tree(listed, "/proc", "version", is_file=True).files
    with open("/proc/version", "rb") as file:  # noqa: PTH123
        assert entry.size == len(file.read()) > 0


@pytest.mark.skipif(not os.path.exists("/proc/self/pagemap"), reason="needs /proc")  # noqa: PTH110
def test_a_file_without_an_end_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/endless").symlink_to("/proc/self/pagemap")
    (tmp_path / "tree/version").symlink_to("/proc/version")
    (tmp_path / "tree/empty").touch()
    command = shell_scripts.scan("scratch", ".").replace('"$HOME"', str(tmp_path))
    subprocess.run(["bash", "-c", command], cwd=tmp_path / "tree", check=True)

    listed = (tmp_path / "scratch/list").read_text()
    tree = shell_scripts.read_tree(listed, "/sandbox", "tree", is_file=False)
    sizes = {each.path: each.size for each in tree.files}
    assert (sizes["empty"], sizes["version"]) == (0, len((tmp_path / "tree/version").read_bytes()))
    assert tree.skipped == (Skipped("endless", UNSIZED),)


def test_a_list_is_read_with_the_kinds_of_its_entries() -> None:
    content = base64.b64encode(
        b"d .\0d ./d\0f 755 2 ./d/run\0t ./to\0l ./gone\0o ./pipe\0"
    ).decode()

    tree = shell_scripts.read_tree(content, "/b", "x", is_file=False)

    assert tree.files == (FileEntry("d/run", 2, 0o755),)
    assert tree.directories == ("d",)
    assert [each.path for each in tree.skipped] == ["to", "gone", "pipe"]


def test_invalid_base64_is_refused() -> None:
    with pytest.raises(InvalidResponse, match="invalid base64"):
        shell_scripts.decode_block("%")


def test_directories_are_created_and_the_marker_is_removed(tmp_path: Path) -> None:
    (tmp_path / "marker").touch()
    (tmp_path / "file").touch()

    output = run(tmp_path, shell_scripts.make_directories("marker", ["a/b", "file"]))

    assert shell_scripts.read_results(output)[1][0] == "failed"
    assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "marker").exists()


def test_the_size_of_a_file_is_measured(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")

    assert shell_scripts.read_results(run(tmp_path, shell_scripts.measure("f"))) == {
        0: ("size", "5")
    }


def test_a_scratch_directory_and_temporary_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/f").touch()
    (tmp_path / "temp").touch()

    run(tmp_path, shell_scripts.remove_scratch("scratch"))
    run(tmp_path, shell_scripts.remove(["temp", "none"]))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("without", [(), ("--printf",)], ids=["GNU", "another stat"])
def test_a_directory_is_listed_by_the_scan_script(tmp_path: Path, without: tuple[str, ...]) -> None:
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/d/f").write_bytes(b"abc")
    (tmp_path / "tree/d/f").chmod(0o640)
    (tmp_path / "tree/empty").touch()
    (tmp_path / "tree/link").symlink_to("d")
    (tmp_path / "tree/.remote-sandbox-mine").touch()  # not of this client, unlike the next
    (tmp_path / "tree/.remote-sandbox-0123abcd").mkdir()

    output = run(tmp_path / "tree", _scan_of_tree(without))

    assert shell_scripts.read_results(output) == {}
    listed = (tmp_path / "scratch/list").read_text()
    tree = shell_scripts.read_tree(listed, "/b", "tree", is_file=False)
    assert sorted(tree.files, key=lambda each: each.path) == [
        FileEntry(".remote-sandbox-mine", 0),
        FileEntry("d/f", 3, 0o640),
        FileEntry("empty", 0),
    ]
    assert tree.directories == ("d",)
    assert [each.path for each in tree.skipped] == ["link"]


def _scan_of_tree(without: tuple[str, ...]) -> str:
    command = shell_scripts.scan("scratch", ".").replace('"$HOME"', "..")
    for option in without:
        command = command.replace(option, "--none")
    return command
