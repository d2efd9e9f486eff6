"""Copies between this machine and an in-memory sandbox: each file is copied atomically."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from sandbox_client import FileRefused, InvalidInput, SandboxError
from sandbox_client.errors import FileChanged, InvalidResponse, LocalFileError, NoSuchFile
from sandbox_client.files import local
from sandbox_client.files.archive import MAX_FILE
from sandbox_client.files.copy import Copy
from sandbox_client.files.download import MAX_BLOCKS
from sandbox_client.files.model import CHANGED, CopyListener
from sandbox_client.files.shell_scripts import BLOCK_SIZE

from tests.client.file_stub import SandboxStub, file_error, file_reply, script_output
from tests.client.stubs import client_over, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox_client.files.model import FileEntry, Tree


@dataclass
class RecordedCopy(CopyListener):
    """A listener that records the trees, the bytes and the finished files of a copy."""

    trees: list[Tree] = field(default_factory=list["Tree"])
    copied_bytes: int = 0
    finished_paths: list[str] = field(default_factory=list[str])
    without_mode: list[str] = field(default_factory=list[str])
    reasons: dict[str, str] = field(default_factory=dict[str, str])

    def begin(self, tree: Tree, *, into: bool) -> None:
        self.trees.append(tree)

    def transferred(self, entry: FileEntry, size: int) -> None:
        self.copied_bytes += size

    def finished(self, entry: FileEntry) -> None:
        self.finished_paths.append(entry.path)

    def lost_mode(self, entry: FileEntry) -> None:
        self.without_mode.append(entry.path)

    def left_out(self, entry: FileEntry, reason: str) -> None:
        self.reasons[entry.path] = reason


async def upload(sandbox: SandboxStub, *sources: Path, to: str, into: bool = False) -> RecordedCopy:
    """Copy from this machine to the sandbox; check that no temporary file remains."""
    listener = RecordedCopy()
    try:
        async with client_over(sandbox) as client:
            await Copy(client.files, "box", listener).upload(list(map(str, sources)), to, into=into)
    finally:
        assert sandbox.leftovers() == []
    return listener


async def download(
    sandbox: SandboxStub, *sources: str, to: Path | str, into: bool = False
) -> RecordedCopy:
    """Copy from the sandbox to this machine; check that no temporary file remains."""
    listener = RecordedCopy()
    try:
        async with client_over(sandbox) as client:
            await Copy(client.files, "box", listener).download(sources, str(to), into=into)
    finally:
        assert sandbox.leftovers() == []
    return listener


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def archive_of(**files: tuple[bytes, bytes]) -> str:
    """Return a block with an archive: of each file the content, and that which was hashed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (data, _) in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    hashes = [hashlib.sha256(hashed).hexdigest() for _, hashed in files.values()]
    content = "".join(f"{each}\n" for each in hashes).encode() + buffer.getvalue()
    return base64.b64encode(content).decode()


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a local directory, temporary files included."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    ("target", "into", "path"),
    [
        ("new", False, "/sandbox/new"),
        ("", False, "/sandbox/f"),
        ("there", False, "/sandbox/there/f"),
        ("new/", False, "/sandbox/new/f"),
        ("new", True, "/sandbox/new/f"),
        ("/tmp/g", False, "/tmp/g"),  # noqa: S108  # of the sandbox
    ],
)
async def test_a_file_is_uploaded_to_the_target_or_into_a_directory(
    here: Path, target: str, into: bool, path: str
) -> None:
    (here / "f").write_bytes(b"data")
    sandbox = SandboxStub(directories={"/", "/sandbox", "/sandbox/there"})

    listener = await upload(sandbox, here / "f", to=target, into=into)

    assert sandbox.files == {path: b"data"}
    assert (listener.finished_paths, listener.copied_bytes) == (["f"], 4)


async def test_two_sources_with_one_destination_are_refused(here: Path) -> None:
    for name in ("a", "b"):
        (here / name).mkdir()
        (here / name / "x").write_text(name)
    sandbox = SandboxStub({"/sandbox/a/x": b"a", "/sandbox/b/x": b"b"})

    with pytest.raises(InvalidInput, match="would both become /sandbox/dd/x"):
        await upload(sandbox, here / "a/x", here / "b/x", to="dd/")
    with pytest.raises(InvalidInput, match="would both become there/x"):
        await download(sandbox, "a/x", "b/x", to="there/")

    assert "/sandbox/dd/x" not in sandbox.files


async def test_several_sources_are_uploaded_into_the_target(here: Path) -> None:
    (here / "a").write_bytes(b"1")
    (here / "b").write_bytes(b"2")
    sandbox = SandboxStub()

    await upload(sandbox, here / "a", here / "b", to="new")

    assert sandbox.files == {"/sandbox/new/a": b"1", "/sandbox/new/b": b"2"}


async def test_a_directory_is_uploaded_with_empty_directories_and_executable_files(
    here: Path,
) -> None:
    (here / "tree/deep/empty").mkdir(parents=True)
    (here / "tree/run").write_bytes(b"#!")
    (here / "tree/run").chmod(0o755)
    (here / "tree/deep/f").write_bytes(b"")
    (here / "tree/link").symlink_to("deep")
    sandbox = SandboxStub()

    listener = await upload(sandbox, here / "tree", to="new")

    assert sandbox.files == {"/sandbox/new/run": b"#!", "/sandbox/new/deep/f": b""}
    assert sandbox.kinds == {"/sandbox/new/run": "x", "/sandbox/new/deep/f": "f"}
    assert {"/sandbox/new", "/sandbox/new/deep", "/sandbox/new/deep/empty"} <= sandbox.directories
    (skipped,) = listener.trees[0].skipped
    assert (skipped.path, skipped.reason) == ("link", "a link to a directory, not followed")


async def test_an_empty_directory_is_uploaded(here: Path) -> None:
    sandbox = SandboxStub()

    await upload(sandbox, here, to="new")

    assert "/sandbox/new" in sandbox.directories
    assert sandbox.files == {}


async def test_a_directory_that_cannot_be_created_is_an_error(here: Path) -> None:
    (here / "tree/sub").mkdir(parents=True)
    sandbox = SandboxStub(replies={"make_directories": [script_output("@0 failed File exists")]})

    with pytest.raises(
        FileRefused, match="/sandbox/new/sub in sandbox 'box' was not created: File exists"
    ):
        await upload(sandbox, here / "tree", to="new")


async def test_no_file_is_uploaded_if_a_later_source_is_missing(here: Path) -> None:
    (here / "a").write_bytes(b"1")
    sandbox = SandboxStub()

    with pytest.raises(LocalFileError, match="none cannot be read"):
        await upload(sandbox, here / "a", here / "none", to="new")

    assert sandbox.requested == []


async def test_files_uploaded_before_a_failure_stay(here: Path) -> None:
    for name in ("a", "b", "c"):
        (here / name).write_bytes(name.encode())
    sandbox = SandboxStub(directories={"/sandbox/b"})
    listener = RecordedCopy()

    async with client_over(sandbox) as client:
        with pytest.raises(FileRefused, match="/sandbox/b in sandbox 'box' was not written"):
            await Copy(client.files, "box", listener).upload([str(here)], "/sandbox")

    assert listener.finished_paths == ["a", "c"]
    assert sandbox.files == {"/sandbox/a": b"a", "/sandbox/c": b"c"}
    assert sandbox.leftovers() == []


async def test_a_failed_upload_removes_all_temporary_files_of_its_batch(here: Path) -> None:
    for name in ("a", "b"):
        (here / name).write_bytes(name.encode())
    full = file_error("no_space_left", "/sandbox/b", "disk full")
    sandbox = SandboxStub(replies={"write": [None, None, None, full]}, has_tar=False)

    with pytest.raises(FileRefused, match="disk full"):
        await upload(sandbox, here, to="new")

    assert sandbox.files == {}


async def test_many_files_are_committed_by_commands_of_limited_length(here: Path) -> None:
    for number in range(40):
        (here / f"a-name-of-some-length-{number:02}").write_bytes(b"x")
    sandbox = SandboxStub(has_tar=False)

    listener = await upload(sandbox, here, to="new")

    assert len(sandbox.files) == len(listener.finished_paths) == 40
    assert sandbox.count("commit") > 1
    assert max(len(str(body.get("command", ""))) for body in sandbox.bodies) < 4_096


@pytest.mark.parametrize(
    ("target", "into", "path"),
    [
        ("new", False, "new"),
        (".", False, "f"),
        ("there", False, "there/f"),
        ("new/", False, "new/f"),
    ],
)
async def test_a_file_is_downloaded_to_the_target_or_into_a_directory(
    here: Path, target: str, into: bool, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    (here / "there").mkdir()
    sandbox = SandboxStub({"/sandbox/f": b"data"})

    listener = await download(sandbox, "f", to=target, into=into)

    assert contents(here) == {path: b"data"}
    assert (listener.finished_paths, listener.copied_bytes) == (["f"], 4)


async def test_a_directory_that_the_file_api_may_not_list_is_still_one(here: Path) -> None:
    denied = file_error("permission_denied", "/tmp/out", "outside")  # noqa: S108
    sandbox = SandboxStub({"/tmp/out/a": b"A", "/tmp/out/b": b"B"}, replies={"list": [denied]})  # noqa: S108

    await download(sandbox, "/tmp/out", to=here / "got")  # noqa: S108

    assert {each.name: each.read_bytes() for each in (here / "got").iterdir()} == {
        "a": b"A",
        "b": b"B",
    }


async def test_several_sources_are_downloaded_into_the_target(here: Path) -> None:
    sandbox = SandboxStub({"/sandbox/a": b"1", "/sandbox/b": b"2"})

    await download(sandbox, "a", "/sandbox/b", to=here)

    assert contents(here) == {"a": b"1", "b": b"2"}


async def test_a_directory_is_downloaded_with_empty_directories_and_executable_files(
    here: Path,
) -> None:
    sandbox = SandboxStub(
        {"/sandbox/tree/run": b"#!", "/sandbox/tree/deep/f": b""},
        {"/sandbox", "/sandbox/tree", "/sandbox/tree/deep", "/sandbox/tree/empty"},
        {"/sandbox/tree/run": "x", "/sandbox/tree/device": "o", "/sandbox/tree/link": "t"},
    )

    listener = await download(sandbox, "tree", to=here / "new")

    assert contents(here) == {"new/run": b"#!", "new/deep/f": b""}
    assert (here / "new/empty").is_dir()
    assert os.access(here / "new/run", os.X_OK)
    assert not os.access(here / "new/deep/f", os.X_OK)
    assert {each.path: each.reason for each in listener.trees[0].skipped} == {
        "device": "neither a file nor a directory",
        "link": "a link to a directory, not followed",
    }


async def test_a_large_file_is_packed_in_a_limited_number_of_blocks(here: Path) -> None:
    data = bytes(range(256)) * (MAX_BLOCKS * BLOCK_SIZE // 256) + b"end"
    sandbox = SandboxStub({"/sandbox/f": data})

    listener = await download(sandbox, "f", to=here)

    assert (here / "f").read_bytes() == data
    assert sandbox.count("pack") == 2
    assert sandbox.count("read") == 1 + MAX_BLOCKS + 1
    assert listener.copied_bytes == len(data)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("@0 failed Permission denied", FileRefused, "cannot be read: Permission denied"),
        ("@0 failed", FileRefused, "has neither sha256sum, shasum nor python3"),
        ("@0 5 abc", FileChanged, "was written to while it was copied"),
        ("noise", FileChanged, "was written to while it was copied"),
    ],
    ids=["unreadable", "no hash", "another size", "no size"],
)
async def test_a_file_that_cannot_be_packed_is_an_error(
    here: Path, line: str, kind: type[SandboxError], words: str
) -> None:
    sandbox = SandboxStub({"/sandbox/f": b"data"}, replies={"pack": [script_output(line)]})

    with pytest.raises(kind, match=re.escape(words)):
        await download(sandbox, "f", to=here)

    assert contents(here) == {}


async def test_a_block_that_differs_from_its_hash_leaves_no_file(here: Path) -> None:
    changed = file_reply({"content": "ZGF0ZQ=="})
    sandbox = SandboxStub({"/sandbox/f": b"data"}, replies={"read": [None, changed]})

    with pytest.raises(FileChanged, match="differs from the file in the sandbox"):
        await download(sandbox, "f", to=here)

    assert contents(here) == {}


@pytest.mark.parametrize("data", [b"", b"dat", b"data and more"])
async def test_a_block_of_another_size_is_not_counted_as_copied(here: Path, data: bytes) -> None:
    block = file_reply({"content": base64.b64encode(data).decode()})
    sandbox = SandboxStub({"/sandbox/tree/f": b"data"}, replies={"read": [None, block]})
    sandbox.directories.add("/sandbox/tree")

    recorded = await download(sandbox, "tree", to=here / "new")

    assert recorded.reasons == {"f": CHANGED}
    assert (contents(here), recorded.copied_bytes) == ({}, 0)


async def test_a_block_of_an_archive_is_limited(here: Path) -> None:
    block = file_reply({"content": base64.b64encode(bytes(BLOCK_SIZE + 1)).decode()})
    sandbox = SandboxStub(
        {"/sandbox/tree/a": b"1", "/sandbox/tree/b": b"2"}, replies={"read": [None, block]}
    )
    sandbox.directories.add("/sandbox/tree")

    with pytest.raises(InvalidResponse, match=f"an invalid block: {BLOCK_SIZE + 1} bytes"):
        await download(sandbox, "tree", to=here / "new")


async def test_a_file_that_has_grown_since_it_was_listed_is_not_read_into_the_archive(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "tree").mkdir()
    for name in ("a", "b"):
        (here / "tree" / name).write_bytes(b"x")
    scan_tree = local.scan_tree

    def scan_and_grow(path: str) -> Tree:
        tree = scan_tree(path)
        (here / "tree/a").write_bytes(bytes(MAX_FILE + 1))
        return tree

    monkeypatch.setattr(local, "scan_tree", scan_and_grow)
    sandbox = SandboxStub()

    recorded = await upload(sandbox, here / "tree", to="new")

    assert recorded.reasons == {"a": CHANGED}
    assert sandbox.files == {"/sandbox/new/b": b"x"}


async def test_a_block_of_invalid_base64_leaves_no_file(here: Path) -> None:
    broken = file_reply({"content": "%"})
    sandbox = SandboxStub({"/sandbox/f": b"data"}, replies={"read": [None, broken]})

    with pytest.raises(InvalidResponse, match="invalid base64"):
        await download(sandbox, "f", to=here)

    assert contents(here) == {}


async def test_files_downloaded_before_a_failure_stay(here: Path) -> None:
    sandbox = SandboxStub({f"/sandbox/tree/{name}": b"x" for name in "abc"}, has_tar=False)
    sandbox.directories.add("/sandbox/tree")
    sandbox.replies["read"] = [None, None, error_reply(403, "no access")]

    with pytest.raises(SandboxError):
        await download(sandbox, "tree", to=here / "new")

    assert contents(here) == {"new/a": b"x"}


async def test_small_files_are_copied_in_an_archive(here: Path) -> None:
    (here / "tree").mkdir()
    for number in range(400):
        (here / f"tree/{number}").write_bytes(bytes([number % 256]) * 1_000)
    (here / "tree/large").write_bytes(bytes(100_000))
    sandbox = SandboxStub()

    uploaded = await upload(sandbox, here / "tree", to="new")
    downloaded = await download(sandbox, "new", to=here / "back")

    assert contents(here / "back") == contents(here / "tree")
    assert uploaded.copied_bytes == downloaded.copied_bytes == 500_000
    assert sandbox.count("write") == 14
    assert (sandbox.count("unpack"), sandbox.count("commit")) == (1, 1)
    assert (sandbox.count("archive"), sandbox.count("pack")) == (1, 1)


async def test_a_sandbox_without_tar_is_asked_for_it_once(here: Path) -> None:
    for number in range(900):
        (here / f"{number}").write_bytes(b"x")
    sandbox = SandboxStub(has_tar=False)

    await upload(sandbox, here, to="new")
    await download(sandbox, "new", to=here / "back")

    assert len(contents(here / "back")) == 900
    assert (sandbox.count("unpack"), sandbox.count("archive")) == (1, 1)


async def test_files_that_are_sent_again_without_tar_are_counted_once(here: Path) -> None:
    for number in range(3):
        (here / f"{number}").write_bytes(b"x")

    recorded = await upload(SandboxStub(has_tar=False), here, to="new")

    assert recorded.copied_bytes == 3


async def test_a_file_that_differs_in_the_archive_is_copied_on_its_own(here: Path) -> None:
    sandbox = SandboxStub({"/sandbox/tree/a": b"1", "/sandbox/tree/b": b"2"})
    sandbox.directories.add("/sandbox/tree")
    content = archive_of(a=(b"1", b"1"), b=(b"2", b"changed"))
    sandbox.replies["read"] = [None, file_reply({"content": content})]

    await download(sandbox, "tree", to=here / "new")

    assert contents(here / "new") == {"a": b"1", "b": b"2"}
    assert sandbox.count("pack") == 1


async def test_a_local_file_that_cannot_be_read_is_skipped_in_a_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (here / name).write_bytes(b"x")
    (here / "large").write_bytes(bytes(100_000))
    read_pieces = local.read_pieces

    def read_or_fail(path: Path, size: int, limit: int | None = None) -> Iterator[bytes]:
        yield from read_pieces(path, size, limit)
        if path.name == "b":
            raise LocalFileError(f"{path} cannot be read: Permission denied")
        if path.name == "large":
            raise FileChanged(f"{path} was written to while it was copied")

    monkeypatch.setattr(local, "read_pieces", read_or_fail)
    sandbox = SandboxStub()

    listener = await upload(sandbox, here, to="new")

    assert sandbox.files == {"/sandbox/new/a": b"x", "/sandbox/new/c": b"x"}
    assert listener.reasons == {
        "b": "it cannot be read: Permission denied",
        "large": "it was written to while it was copied",
    }


async def test_a_sandbox_file_that_cannot_be_read_is_skipped_in_a_directory(here: Path) -> None:
    sandbox = SandboxStub({f"/sandbox/tree/{name}": b"x" for name in "abc"}, has_tar=False)
    sandbox.directories.add("/sandbox/tree")
    x = hashlib.sha256(b"x").hexdigest()
    lines = ["@0 failed Permission denied", f"@1 2 {x}", f"@2 1 {x}"]
    block = file_reply({"content": "eA=="})
    sandbox.replies |= {"pack": [script_output(*lines)], "read": [None, block]}

    listener = await download(sandbox, "tree", to=here / "new")

    assert contents(here / "new") == {"c": b"x"}
    assert listener.reasons == {
        "a": "it cannot be read: Permission denied",
        "b": "it was written to while it was copied",
    }


async def test_a_file_that_cannot_be_executed_at_its_destination_is_reported(here: Path) -> None:
    (here / "run").write_bytes(b"#!")
    (here / "run").chmod(0o755)
    (here / "f").write_bytes(b"x")
    sandbox = SandboxStub(keeps_modes=False)

    listener = await upload(sandbox, here, to="new")

    assert listener.without_mode == ["run"]


async def test_a_missing_source_is_an_error(here: Path) -> None:
    with pytest.raises(NoSuchFile, match="/sandbox/none: no such directory"):
        await download(SandboxStub(), "none", to=here)


async def test_a_source_that_cannot_be_read_is_an_error(here: Path) -> None:
    denied = script_output("@0 failed find: Permission denied")
    sandbox = SandboxStub(directories={"/sandbox", "/sandbox/d"}, replies={"scan": [denied]})

    with pytest.raises(FileRefused, match="cannot be read completely: find: Permission denied"):
        await download(sandbox, "d", to=here)


async def test_a_device_as_source_is_an_error(here: Path) -> None:
    no_directory = file_error("invalid_target", "/dev/null", "not a directory")
    sandbox = SandboxStub(kinds={"/dev/null": "o"}, replies={"list": [no_directory]})

    with pytest.raises(FileRefused, match="/dev/null in sandbox 'box' is neither a file nor"):
        await download(sandbox, "/dev/null", to=here)


async def test_no_file_is_downloaded_if_a_later_source_is_missing(here: Path) -> None:
    sandbox = SandboxStub({"/sandbox/f": b"x"})

    with pytest.raises(NoSuchFile):
        await download(sandbox, "f", "none", to=here)

    assert sandbox.count("pack") == 0
    assert contents(here) == {}
