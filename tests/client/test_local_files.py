"""Local files: listing a tree, reading in pieces, and atomic replacement."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from sandbox_client.errors import FileChanged, LocalFileError
from sandbox_client.files import local
from sandbox_client.files.model import UNSIZED, Skipped

if TYPE_CHECKING:
    from pathlib import Path


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_renamed_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "f"
    writer = local.AtomicWriter(target, "0123abcd")
    writer.write(b"ne")
    writer.write(b"w")
    assert not target.exists()
    writer.commit(3, digest(b"new"), mode=0o755)
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o777 & ~umask


@pytest.mark.parametrize(("size", "of"), [(3, b"old"), (4, b"new")])
def test_a_file_of_another_size_or_hash_is_not_renamed(
    tmp_path: Path, size: int, of: bytes
) -> None:
    writer = local.AtomicWriter(tmp_path / "f", "0123abcd")
    writer.write(b"new")
    with pytest.raises(FileChanged, match="differs from the file in the sandbox"):
        writer.commit(size, digest(of), mode=0o644)
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    writer = local.AtomicWriter(tmp_path / "f", "0123abcd")
    (temp,) = tmp_path.iterdir()
    assert stat.S_IMODE(temp.stat().st_mode) == 0o600
    writer.discard()
    assert not temp.exists()


def test_a_full_disk_is_an_error_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    writer = local.AtomicWriter(tmp_path / "f", "0123abcd")
    (temp,) = tmp_path.iterdir()
    full = os.open("/dev/full", os.O_WRONLY)
    written = next(each.fd for each in psutil.Process().open_files() if each.path == str(temp))
    os.dup2(full, written)
    os.close(full)
    with pytest.raises(LocalFileError, match=r"f cannot be written: No space left on device"):
        writer.write(b"x" * 1_000_000)
    writer.discard()
    assert not temp.exists()


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"abcdef")
    reading = local.read_pieces(file, 2)
    assert next(reading) == b"ab"
    file.write_bytes(b"abcdefgh")
    with pytest.raises(FileChanged, match="written to while it was copied"):
        list(reading)


@pytest.mark.skipif(not os.path.exists("/proc/self/pagemap"), reason="needs /proc")  # noqa: PTH110
def test_files_of_proc_have_their_real_size_and_those_without_an_end_are_skipped(
    tmp_path: Path,
) -> None:
    (tmp_path / "endless").symlink_to("/proc/self/pagemap")
    (tmp_path / "version").symlink_to("/proc/version")

    tree = local.scan_tree(str(tmp_path))

    (entry,) = tree.files
    assert (entry.path, entry.size) == ("version", len((tmp_path / "version").read_bytes()))
    assert tree.skipped == (Skipped("endless", UNSIZED),)


def test_a_file_that_grows_as_fast_as_it_is_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"ab")

    pieces = local.read_pieces(file, 2)

    assert next(pieces) == b"ab"
    file.write_bytes(b"abcd")
    with pytest.raises(FileChanged):
        next(pieces)


def test_an_empty_file_is_one_empty_piece(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert list(local.read_pieces(tmp_path / "f", 10)) == [b""]


@pytest.mark.parametrize("path", ["none", "a\0b"])
def test_a_path_that_cannot_be_read_is_an_error(tmp_path: Path, path: str) -> None:
    with pytest.raises(LocalFileError, match=r"none cannot be read|cannot be a path"):
        local.scan_tree(str(tmp_path / path))


def test_a_directory_that_cannot_be_read_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in ("closed", "open"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "file").touch()
    scan = os.scandir

    def deny(path: str) -> object:  # root may read everything
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", deny)

    tree = local.scan_tree(str(tmp_path))

    assert [entry.path for entry in tree.files] == ["open/file"]
    assert tree.directories == ("open",)
    assert tree.skipped == (Skipped("closed", "it cannot be read: Permission denied"),)


def replace(target: Path, *, mode: int = 0o644) -> bool:
    writer = local.AtomicWriter(target, "0123abcd")
    writer.write(b"new")
    return writer.commit(3, digest(b"new"), mode=mode)


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "f"
    target.write_text("old")
    target.chmod(mode)
    assert replace(target, mode=0o755) == (mode == 0o755)
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == mode


@pytest.mark.parametrize("old", ["old", None])
def test_a_link_is_kept_and_its_target_is_replaced(tmp_path: Path, old: str | None) -> None:
    (tmp_path / "deep").mkdir()
    target, link = tmp_path / "deep/f", tmp_path / "link"
    link.symlink_to("deep/f")
    if old is not None:
        target.write_text(old)
    replace(link)
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert not list(tmp_path.rglob("*.part-*"))


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(LocalFileError, match="Too many levels of symbolic links"):
        local.AtomicWriter(tmp_path / "link", "0123abcd")


def test_a_write_protected_file_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_text("old")

    def deny_writing(_: Path, mode: int) -> bool:  # root may write to any file
        return mode != os.W_OK

    monkeypatch.setattr(os, "access", deny_writing)
    with pytest.raises(
        LocalFileError, match=re.escape(f"{tmp_path}/f is write-protected")
    ) as caught:
        replace(tmp_path / "f")
    assert "chmod u+w" in caught.value.advice
    assert [path.name for path in tmp_path.iterdir()] == ["f"]

    (tmp_path / "f").write_text("new")  # an earlier copy wrote it
    replace(tmp_path / "f")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_temporary_files_of_a_killed_copy_are_removed_after_an_hour(tmp_path: Path) -> None:
    kept = {".f.part-00000001", ".f.part-notes", ".ff.part-00000003", "f"}
    for name in {*kept, ".f.part-00000002"}:
        (tmp_path / name).touch()
        then = time.time() - (3_500 if name.endswith("1") else 3_700)
        os.utime(tmp_path / name, (then, then))
    replace(tmp_path / "f")
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="/dev/null is neither a file nor a directory"):
        local.scan_tree("/dev/null")


def test_a_scan_lists_files_directories_and_skipped_entries(tmp_path: Path) -> None:
    (tmp_path / "deep/empty").mkdir(parents=True)
    (tmp_path / "deep/f").write_bytes(b"abc")
    (tmp_path / "link-to-file").symlink_to("deep/f")
    (tmp_path / "link-to-directory").symlink_to("deep")
    (tmp_path / "link-to-nothing").symlink_to("none")
    os.mkfifo(tmp_path / "pipe")

    tree = local.scan_tree(str(tmp_path))

    assert [(entry.path, entry.size) for entry in tree.files] == [
        ("link-to-file", 3),
        ("deep/f", 3),
    ]
    assert tree.directories == ("deep", "deep/empty")
    assert {each.path: each.reason for each in tree.skipped} == {
        "link-to-directory": "a link to a directory, not followed",
        "link-to-nothing": "a link that leads to no file",
        "pipe": "neither a file nor a directory",
    }


def test_a_name_that_is_not_utf_8_is_skipped_with_what_is_below_it(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"f-\xff")).touch()
    (tmp_path / os.fsdecode(b"d-\xff/below")).mkdir(parents=True)
    (tmp_path / "good").touch()

    tree = local.scan_tree(str(tmp_path))

    assert [entry.path for entry in tree.files] == ["good"]
    assert tree.directories == ()
    assert {(each.path, each.reason) for each in tree.skipped} == {
        (r"f-\xff", "its name is not UTF-8"),
        (r"d-\xff", "its name is not UTF-8"),
    }


@pytest.mark.parametrize("is_directory", [True, False])
def test_a_source_whose_own_name_is_not_utf_8_is_an_error(
    tmp_path: Path, is_directory: bool
) -> None:
    source = tmp_path / os.fsdecode(b"f-\xff")
    source.mkdir() if is_directory else source.touch()

    with pytest.raises(LocalFileError, match=r"A name on this machine is not UTF-8: 'f-\\udcff'"):
        local.scan_tree(str(source))


@pytest.mark.parametrize(
    ("name", "kind"), [("folder", "a directory"), ("pipe", "not a regular file")]
)
def test_a_file_can_replace_only_a_regular_file(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(LocalFileError, match=f"{name} is {kind}: a file cannot replace it"):
        local.AtomicWriter(tmp_path / name, "0123abcd")
