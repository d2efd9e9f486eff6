"""Archives of small files: the scripts, run by bash, and what is read from an untrusted archive."""

from __future__ import annotations

import hashlib
import io
import shlex
import stat
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from sandbox_client.errors import InvalidResponse
from sandbox_client.files import archive, shell_scripts
from sandbox_client.files.archive import ArchiveWriter
from sandbox_client.files.model import FileEntry
from sandbox_client.files.shell_scripts import FileResult, PendingUpload

from tests.client.shell import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ARCHIVE, WORDS = ".archive.part-0123abcd", ".words.part-0123abcd"
ODD_NAMES = ("q\"u'ote", "new\nline", "-rf", "$HOME", "grün 😀", "back\\slash", "x" * 200, "!")


def results_of(here: Path, command: str, *, without: Sequence[str] = ()) -> dict[int, FileResult]:
    """Run a command with the usual tools, but `without` some of them, and return its results."""
    for tool in without:
        command = command.replace(f"{tool} ", f"no-{tool} ")
    return shell_scripts.read_results(run(here, command))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def prepare(here: Path, files: dict[str, bytes], mode: int = 0o644, sent: bytes = b"") -> str:
    """Write an archive of files, or of `sent` instead of their content; return the command."""
    writer = ArchiveWriter(WORDS)
    for number, (path, data) in enumerate(files.items()):
        directory, slash, name = path.rpartition("/")
        temp = f"{directory}{slash}.{name[:100]}.part-{number:08x}"
        writer.add(PendingUpload(temp, path, len(data), digest(data), mode), sent or data)
    (here / ARCHIVE).write_bytes(writer.finish())
    return archive.unpack(ARCHIVE, WORDS)


@pytest.mark.parametrize("without", [(), ("python3",), ("python3", "sha256sum")])
def test_an_archive_is_unpacked_and_removed(tmp_path: Path, without: tuple[str, ...]) -> None:
    (tmp_path / "deep").mkdir()
    files = {f"deep/{name}": name.encode() * 100 for name in ODD_NAMES} | {"empty": b""}

    results = results_of(tmp_path, prepare(tmp_path, files, 0o750), without=without)

    assert {result.status for result in results.values()} == {"done"}
    assert len(results) == len(files)
    assert {path: (tmp_path / path).read_bytes() for path in files} == files
    assert {stat.S_IMODE((tmp_path / path).stat().st_mode) for path in files} == {0o750}
    assert not list(tmp_path.rglob("*.part-*"))


@pytest.mark.parametrize("without", [(), ("python3",)])
def test_existing_files_are_replaced_as_by_single_uploads(
    tmp_path: Path, without: tuple[str, ...]
) -> None:
    (tmp_path / "private").write_text("old")
    (tmp_path / "private").chmod(0o600)
    (tmp_path / "link").symlink_to("private")
    (tmp_path / "dangling").symlink_to("no/such/place")
    (tmp_path / "folder").mkdir()
    files = dict.fromkeys(("private", "dangling", "folder", "new"), b"new") | {"link": b"linked"}

    results = results_of(tmp_path, prepare(tmp_path, files), without=without)

    assert [results[number] for number in range(5)] == [
        ("done", ""),
        ("failed", "it is a dangling link"),
        ("failed", "it is a directory"),
        ("done", ""),
        ("done", ""),
    ]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "private").read_text() == "linked"
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert not list(tmp_path.rglob(".*"))


def test_a_file_that_differs_from_its_hash_is_not_renamed(tmp_path: Path) -> None:
    results = results_of(tmp_path, prepare(tmp_path, {"a": b"x", "b": b"y"}, sent=b"y"))

    assert results == {0: ("differs", ""), 1: ("done", "")}
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("reason", ["no tar", "no directory"])
def test_an_archive_that_cannot_be_unpacked_changes_no_file(tmp_path: Path, reason: str) -> None:
    (tmp_path / "f").write_text("old")
    (tmp_path / "file").write_text("in the way")
    files = {"f": b"new"} | ({"file/g": b"x"} if reason == "no directory" else {})
    command = prepare(tmp_path, files)

    results = results_of(tmp_path, command, without=("tar",) if reason == "no tar" else ())

    assert results[0].status == "unable"
    assert {path.name for path in tmp_path.iterdir()} == {"f", "file"}
    assert (tmp_path / "f").read_text() == "old"


def test_a_mode_that_is_not_kept_is_reported(tmp_path: Path) -> None:
    command = prepare(tmp_path, {"run": b"#!"}, 0o755)
    umask = f"umask 111; {command}"  # as on a volume that keeps no modes

    assert results_of(tmp_path, umask.replace("tar -xmof", "tar --no-same-permissions -xmof")) == {
        0: ("done", "mode")
    }


def test_a_mode_that_a_replaced_file_does_not_have_is_reported(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("old")

    assert results_of(tmp_path, prepare(tmp_path, {"run": b"#!"}, 0o755)) == {0: ("done", "mode")}


def test_temporary_files_of_a_killed_copy_are_removed(tmp_path: Path) -> None:
    for name in (".f.part-00000009", ".other.part-00000009", ".f.part-notes"):
        (tmp_path / name).touch()
        subprocess.run(["touch", "-d", "2 hours ago", tmp_path / name], check=True)

    results_of(tmp_path, prepare(tmp_path, {"f": b"x"}))

    assert {path.name for path in tmp_path.iterdir()} == {
        ".other.part-00000009",
        ".f.part-notes",
        "f",
    }


def test_files_are_archived_with_their_hashes(tmp_path: Path) -> None:
    entries = [FileEntry(name, 1 + len(name.encode())) for name in ODD_NAMES]
    for entry in entries:
        (tmp_path / entry.path).write_bytes(b"x" + entry.path.encode())
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/words").write_bytes(archive.words_of(entries))

    results = results_of(tmp_path, archive.pack("scratch"))

    assert archive.block_count(results) == 1
    data = shell_scripts.decode_block((tmp_path / "scratch/0").read_text())
    assert archive.read_files(data, entries) == {name: b"x" + name.encode() for name in ODD_NAMES}


@pytest.mark.parametrize(("without", "status"), [(("tar",), "missing"), ((), "unable")])
def test_files_that_cannot_be_archived_are_reported(
    tmp_path: Path, without: tuple[str, ...], status: str
) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/words").write_bytes(archive.words_of([FileEntry("none", 1)]))

    results = results_of(tmp_path, archive.pack("scratch"), without=without)

    assert results[0].status == status
    assert archive.block_count(results) is None


def member(name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        member("../f"),
        member("/f"),
        member("other"),
        member("f", b"too long"),
        member("f", b"", tarfile.SYMTYPE),
        member("f", b"", tarfile.LNKTYPE),
        member("f", b"", tarfile.CHRTYPE),
        member("f", b"", tarfile.FIFOTYPE),
        member("f", b"", tarfile.DIRTYPE),
        member("f", b"x", tarfile.GNUTYPE_SPARSE),
    ],
    ids=lambda info: f"{info.name} {info.type} {info.size}",
)
def test_only_expected_regular_files_are_read(hostile: tarfile.TarInfo) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(hostile, io.BytesIO(b"x" * hostile.size))
        tar.addfile(member("g"), io.BytesIO(b"x"))
    entries = [FileEntry("f", 1), FileEntry("g", 1)]
    hashes = f"{digest(b'x')}\n".encode() * 2

    assert set(archive.read_files(hashes + buffer.getvalue(), entries)) <= {"g"}


@pytest.mark.parametrize("data", [b"", b"x" * 2_000, b"\xff" * 2_000])
def test_a_malformed_archive_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidResponse, match="invalid tar archive"):
        archive.read_files(data, [FileEntry("f", 1)])


def test_too_many_blocks_are_refused() -> None:
    assert archive.block_count({0: FileResult("blocks", f"{archive.MAX_BLOCKS + 1}")}) is None


def test_small_files_are_archived_in_batches_of_limited_size() -> None:
    small = [FileEntry(f"{number}", 5_000) for number in range(1_000)]
    long = [FileEntry(f"{number}" * 500, 1) for number in range(100, 200)]
    large = [FileEntry("large", archive.MAX_FILE + 1)]

    batches = list(archive.batches([*small, *large, *long]))

    assert [entry for batch in batches for entry in batch] == [*small, *long]
    for batch in batches:
        assert len(batch) <= archive.MAX_FILES
        assert sum(entry.size for entry in batch) <= archive.MAX_SIZE
        assert len(archive.words_of(batch)) <= 72_000
    assert list(archive.batches([FileEntry("alone", 1), *large])) == []


def test_commands_fit_on_the_longest_line_of_a_terminal() -> None:
    assert len(archive.unpack(f"./{'x' * 240}", "y" * 240)) < 4_096
    assert len(shlex.split(archive.pack("scratch"))) == 5
