"""Copies to and from a sandbox of an in-process fake: each file is copied atomically."""

from __future__ import annotations

import functools
import json
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_client import FileRefused, SandboxError
from sandbox_client.errors import FileChanged, LocalFileError, NoSuchFile
from sandbox_client.files import download as download_module
from sandbox_client.files import shell_scripts
from sandbox_client.files.copy import Copy
from sandbox_client.files.model import CopyListener

from tests.fakeproxy.available_isolations import AVAILABLE_ISOLATIONS, needs_jail
from tests.integration.sandbox import BOX, Delivery, ReadySandbox, ready_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import httpx
    from sandbox_client.files.model import FileEntry, Tree

BIG = bytes(range(256)) * 12_000 + b"odd end"  # three megabytes: dozens of pieces, several blocks


class CopyRecorder(CopyListener):
    """Records the progress of a copy."""

    def __init__(self) -> None:
        self.finished_paths: list[str] = []
        self.skipped: list[str] = []
        self.without_mode: list[str] = []
        self.bytes = 0
        self.total = 0

    def begin(self, tree: Tree, *, into: bool) -> None:
        assert self.bytes == 0, "the total changed after the first byte was copied"
        self.total += sum(each.size for each in tree.files)
        self.skipped += [f"{each.path}: {each.reason}" for each in tree.skipped]

    def transferred(self, entry: FileEntry, size: int) -> None:
        self.bytes += size

    def finished(self, entry: FileEntry) -> None:
        self.finished_paths.append(entry.path)

    def lost_mode(self, entry: FileEntry) -> None:
        self.without_mode.append(entry.path)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncGenerator[ReadySandbox]:
    async with ready_sandbox(tmp_path / "sandboxes") as made:
        yield made


@pytest.fixture
def local(tmp_path: Path) -> Path:
    folder = tmp_path / "local"
    folder.mkdir()
    return folder


async def upload(box: ReadySandbox, source: Path | str, target: str) -> CopyRecorder:
    recorder = CopyRecorder()
    await Copy(box.client.files, BOX, recorder).upload([str(source)], target)
    return recorder


async def download(box: ReadySandbox, source: str, target: Path | str) -> CopyRecorder:
    recorder = CopyRecorder()
    await Copy(box.client.files, BOX, recorder).download([source], str(target))
    return recorder


def contents(root: Path) -> dict[str, bytes | None]:
    """Return the content of each file below a directory, and None for each subdirectory."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def write_files(root: Path, files: dict[str, bytes]) -> None:
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)


def executables(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and os.access(path, os.X_OK)
    }


def make_tree(root: Path) -> None:
    """Create files of several sizes and modes, with names that a shell would interpret."""
    for name in ("a b/deep/er", "empty", "-dash"):
        (root / name).mkdir(parents=True)
    (root / "big.bin").write_bytes(BIG)
    (root / "nothing").touch()
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    for number, name in enumerate(("q\"u'ote", "new\nline", "-rf", "$HOME", "grün 😀", "*", "~")):
        (root / "a b/deep" / name).write_bytes(bytes([number, 0, 255]))


async def test_the_total_of_several_sources_is_known_before_the_first_byte_is_copied(
    box: ReadySandbox, local: Path
) -> None:
    write_files(local / "tree", {"a": b"1" * 1000, "b": b"2" * 2000})
    (local / "file").write_bytes(b"3" * 4000)
    sources = [str(local / "tree"), str(local / "file")]
    uploaded, downloaded = CopyRecorder(), CopyRecorder()
    await Copy(box.client.files, BOX, uploaded).upload(sources, "there")
    await Copy(box.client.files, BOX, downloaded).download(["there/tree", "there/file"], str(local))
    assert (uploaded.total, uploaded.bytes) == (7000, 7000)
    assert (downloaded.total, downloaded.bytes) == (7000, 7000)
    assert await box.leftovers() == []


async def test_a_tree_is_unchanged_after_an_upload_and_a_download(
    box: ReadySandbox, local: Path
) -> None:
    make_tree(local / "tree")
    there = await upload(box, local / "tree", "new/place")
    assert contents(box.work / "new/place") == contents(local / "tree")
    assert executables(box.work / "new/place") == {"run.sh"}
    back = await download(box, "new/place", local / "back")
    assert contents(local / "back") == contents(local / "tree")
    assert executables(local / "back") == {"run.sh"}
    assert there.bytes == back.bytes == len(BIG) + 10 + 7 * 3
    assert sorted(there.finished_paths) == sorted(back.finished_paths)
    assert await box.leftovers() == []
    assert not any(".part-" in path for path in contents(local))


@pytest.mark.parametrize("isolation", AVAILABLE_ISOLATIONS)
async def test_a_tree_is_unchanged_with_each_isolation(
    tmp_path: Path, local: Path, isolation: str
) -> None:
    async with ready_sandbox(tmp_path / "sandboxes", isolation=isolation, as_deployed=True) as box:
        make_tree(local / "tree")
        for place in ("/sandbox/x", "/home/gem/x"):
            await upload(box, local / "tree", place)
            back = local / place.replace("/", "-")
            await download(box, place, back)
            assert contents(back) == contents(local / "tree")
        assert await box.leftovers() == []


_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) <= 80)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_names, st.binary(max_size=2_000), min_size=1, max_size=4))
def test_any_bytes_under_any_names_are_unchanged_after_both_copies(files: dict[str, bytes]) -> None:
    anyio.run(functools.partial(_upload_and_download, files))


async def _upload_and_download(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "local")
        write_files(local, files)
        async with ready_sandbox(Path(folder, "sandboxes"), as_deployed=True) as box:
            await upload(box, local, "x")
            await download(box, "x", Path(folder, "back"))
        assert contents(Path(folder, "back")) == dict(files)


async def test_a_file_is_copied_to_a_name_or_into_a_directory(
    box: ReadySandbox, local: Path
) -> None:
    source = local / "note"
    source.write_text("x")
    (box.work / "folder").mkdir()
    for target in ("renamed", "folder", "made/", "/sandbox/deep/er/name", ".", ""):
        await upload(box, source, target)
    expected = ["renamed", "folder/note", "made/note", "deep/er/name", "note"]
    assert all((box.work / path).read_text() == "x" for path in expected)
    (local / "in").mkdir()
    for target in ("renamed", "in", "new/"):
        await download(box, "note", f"{local}/{target}")
    assert all((local / path).read_text() == "x" for path in ("renamed", "in/note", "new/note"))
    with pytest.raises(LocalFileError, match="No such file or directory"):
        await download(box, "note", local / "no/such/place")


async def test_a_directory_is_copied_into_an_existing_one_and_its_dot_merges_with_it(
    box: ReadySandbox, local: Path
) -> None:
    (local / "tree").mkdir()
    (local / "tree/f").write_text("x")
    (box.work / "there").mkdir()
    await upload(box, local / "tree", "there")
    await upload(box, f"{local}/tree/.", "there")
    assert set(contents(box.work / "there")) == {"f", "tree", "tree/f"}
    (local / "back").mkdir()
    await download(box, "there/tree", local / "back")
    await download(box, "there/tree/.", local / "back")
    assert set(contents(local / "back")) == {"f", "tree", "tree/f"}


async def test_a_copy_into_an_existing_directory_replaces_files_and_keeps_the_rest(
    box: ReadySandbox, local: Path
) -> None:
    (local / "tree").mkdir()
    (local / "tree/f").write_text("new")
    for root in (box.work / "x/tree", local / "y/tree"):
        root.mkdir(parents=True)
        (root / "f").write_text("old and longer")
        (root / "other").write_text("kept")
    await upload(box, local / "tree", "x")
    await download(box, "x/tree", local / "y")
    for root in (box.work / "x/tree", local / "y/tree"):
        assert contents(root) == {"f": b"new", "other": b"kept"}


async def test_links_to_files_are_copied_as_files_and_other_kinds_are_skipped(
    box: ReadySandbox, local: Path
) -> None:
    for root in (local / "tree", box.work / "tree"):
        (root / "folder").mkdir(parents=True)
        (root / "file").write_text("x")
        (root / "link").symlink_to("file")
        (root / "loop").symlink_to(".")
        (root / "dangling").symlink_to("nowhere")
        os.mkfifo(root / "pipe")
    expected = {"folder": None, "file": b"x", "link": b"x"}
    skipped = {
        "loop: a link to a directory, not followed",
        "dangling: a link that leads to no file",
        "pipe: neither a file nor a directory",
    }
    assert set((await upload(box, local / "tree", "copy")).skipped) == skipped
    assert contents(box.work / "copy") == expected
    assert set((await download(box, "tree", local / "copy")).skipped) == skipped
    assert contents(local / "copy") == expected


async def test_many_files_are_copied_with_few_commands(box: ReadySandbox, local: Path) -> None:
    (local / "tree").mkdir()
    for number in range(400):
        (local / "tree" / f"file {number}").write_text(str(number))
    await upload(box, local / "tree", "x")
    await download(box, "x", local / "back")
    assert contents(local / "back") == contents(local / "tree")
    commands = [each for each in box.transport.sent if each.url.path.endswith("/exec")]
    assert len(commands) == 5
    assert len(box.transport.sent) < 60
    assert all(len(json.loads(each.content)["command"]) < 4_096 for each in commands)


def _first_time(route: str, delivery: Delivery) -> Callable[[httpx.Request], Delivery]:
    """Use `delivery` for each request to `route` when it is first sent; deliver it afterwards."""
    seen: set[bytes] = set()

    def decide(request: httpx.Request) -> Delivery:
        if not request.url.path.endswith(route) or request.content in seen:
            return "delivered"
        seen.add(request.content)
        return delivery

    return decide


@pytest.mark.parametrize("delivery", ["answer lost", "request lost", "refused for now"])
async def test_no_piece_is_lost_or_repeated_when_each_first_attempt_fails(
    box: ReadySandbox, local: Path, delivery: Delivery
) -> None:
    data = os.urandom(400_000)  # random, so that no two pieces are equal
    (local / "f").write_bytes(data)
    box.transport.delivery = _first_time("/v1/file/write", delivery)
    await upload(box, local / "f", "f")
    assert (box.work / "f").read_bytes() == data
    box.transport.delivery = _first_time("/v1/file/read", delivery)
    await download(box, "f", local / "back")
    assert (local / "back").read_bytes() == data
    assert await box.leftovers() == []


async def test_a_file_is_renamed_once_though_the_response_is_lost(
    box: ReadySandbox, local: Path
) -> None:
    (local / "f").write_text("x")
    box.transport.delivery = _first_time("/v1/shell/exec", "answer lost")
    await upload(box, local / "f", "f")
    assert (box.work / "f").read_text() == "x"
    assert await box.leftovers() == []


def _after_requests(
    number: int, route: str, delivery: Delivery
) -> Callable[[httpx.Request], Delivery]:
    """Deliver the first `number` requests to `route`, and use `delivery` for those that follow."""
    count = 0

    def decide(request: httpx.Request) -> Delivery:
        nonlocal count
        count += request.url.path.endswith(route)
        return delivery if count > number and request.url.path.endswith(route) else "delivered"

    return decide


@pytest.mark.parametrize("before", [None, b"old content"])
async def test_a_connection_that_breaks_during_a_copy_keeps_the_old_content(
    box: ReadySandbox, local: Path, before: bytes | None
) -> None:
    (local / "f").write_bytes(BIG)
    if before is not None:
        (box.work / "f").write_bytes(before)
        (local / "back").write_bytes(before)
    box.transport.delivery = _after_requests(7, "/v1/file/write", "request lost")
    with pytest.raises(SandboxError):
        await upload(box, local / "f", "f")
    assert contents(box.work) == ({} if before is None else {"f": before})
    (box.work / "source").write_bytes(BIG)
    box.transport.delivery = _after_requests(3, "/v1/file/read", "request lost")
    with pytest.raises(SandboxError):
        await download(box, "source", local / "back")
    assert contents(local) == {"f": BIG} | ({} if before is None else {"back": before})
    assert await box.leftovers() == []


async def test_an_error_names_temporary_files_that_cannot_be_removed(
    box: ReadySandbox, local: Path
) -> None:
    (local / "f").write_bytes(BIG)
    box.transport.delivery = _after_requests(0, "", "request lost")
    with pytest.raises(SandboxError):
        await upload(box, local / "f", "f")

    broken = False

    def lose_after_four_writes(request: httpx.Request) -> Delivery:
        nonlocal broken
        broken = broken or len(box.transport.file_requests("write")) > 4
        return "request lost" if broken else "delivered"

    box.transport.sent.clear()
    box.transport.delivery = lose_after_four_writes
    with pytest.raises(SandboxError) as caught:
        await upload(box, local / "f", "f")
    assert "Temporary files may remain: /sandbox/.*.part-*" in caught.value.advice
    assert not (box.work / "f").exists()


async def test_a_temporary_file_that_was_changed_is_not_renamed(
    box: ReadySandbox, local: Path
) -> None:
    (local / "f").write_bytes(b"a" * 100_000)

    def change_temporary_file(request: httpx.Request) -> Delivery:
        if request.url.path.endswith("/exec"):
            for part in box.work.glob(".f.part-*"):
                part.write_bytes(b"b" * 100_000)  # of the expected size
        return "delivered"

    box.transport.delivery = change_temporary_file
    with pytest.raises(FileChanged, match=r"/sandbox/f .* differs from the file that was sent"):
        await upload(box, local / "f", "f")
    assert contents(box.work) == {}


async def test_a_local_file_that_changes_during_an_upload_is_refused(
    box: ReadySandbox, local: Path
) -> None:
    (local / "f").write_bytes(BIG)

    def grow(request: httpx.Request) -> Delivery:
        if len(box.transport.file_requests("write")) == 3:
            with (local / "f").open("ab") as file:
                file.write(b"more")
        return "delivered"

    box.transport.delivery = grow
    with pytest.raises(FileChanged, match="was written to while it was copied"):
        await upload(box, local / "f", "f")
    assert contents(box.work) == {}


async def test_a_sandbox_file_that_changes_during_a_download_is_refused(
    box: ReadySandbox, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "MAX_BLOCKS", 1)
    (box.work / "f").write_bytes(BIG)

    def change(request: httpx.Request) -> Delivery:
        if len(box.transport.file_requests("read")) == 3:
            (box.work / "f").write_bytes(bytes(len(BIG)))
        return "delivered"

    box.transport.delivery = change
    with pytest.raises(FileChanged, match="differs from the file in the sandbox"):
        await download(box, "f", local / "f")
    assert contents(local) == {}
    assert await box.leftovers() == []


@pytest.mark.parametrize("number", [1, 4, 9])
async def test_a_cancelled_copy_leaves_no_partial_file(
    box: ReadySandbox, local: Path, number: int
) -> None:
    (local / "tree").mkdir()
    (local / "tree/first").write_text("x")
    (local / "tree/second").write_bytes(BIG)
    (box.work / "there").mkdir()
    (box.work / "there/big").write_bytes(BIG)

    async def cancel_at(route: str, work: Callable[[], Any]) -> None:
        box.transport.sent.clear()
        with anyio.CancelScope() as scope:

            def cancel(request: httpx.Request) -> Delivery:
                if len(box.transport.file_requests(route)) == number:
                    scope.cancel()
                return "delivered"

            box.transport.delivery = cancel
            await work()
        assert scope.cancelled_caught
        box.transport.delivery = lambda _: "delivered"

    await cancel_at("write", lambda: upload(box, local / "tree", "x"))
    assert {path.name for path in (box.work / "x").glob("**/*") if path.is_file()} <= {"first"}
    (local / "back").mkdir()
    await cancel_at("read", lambda: download(box, "there", local / "back"))
    assert not any(path.is_file() for path in (local / "back").rglob("*"))
    assert await box.leftovers() == []


async def test_files_copied_beside_a_failure_stay(box: ReadySandbox, local: Path) -> None:
    (local / "tree").mkdir()
    for name in ("1", "2", "3"):
        (local / "tree" / name).write_text(name)
    (box.work / "x/2").mkdir(parents=True)
    with pytest.raises(FileRefused, match=r"/sandbox/x/2 .* was not written: it is a directory"):
        await upload(box, f"{local}/tree/.", "x")
    assert contents(box.work / "x") == {"1": b"1", "2": None, "3": b"3"}
    assert await box.leftovers() == []


async def test_missing_files_and_wrong_kinds_raise_specific_errors(
    box: ReadySandbox, local: Path
) -> None:
    with pytest.raises(LocalFileError, match=r"no-such.* cannot be read: No such file"):
        await upload(box, local / "no-such", "x")
    with pytest.raises(NoSuchFile, match="/sandbox/no-such"):
        await download(box, "no-such", local)
    for place in (box.work, local):
        os.mkfifo(place / "pipe")
    with pytest.raises(FileRefused, match="neither a file nor a directory"):
        await download(box, "pipe", local / "x")
    (local / "g").write_text("x")
    with pytest.raises(FileRefused, match="was not written: it is not a regular file"):
        await upload(box, local / "g", "pipe")
    (box.work / "f").write_text("x")
    (local / "f/g").mkdir(parents=True)
    with pytest.raises(LocalFileError, match="is a directory"):
        await download(box, "f", local)
    with pytest.raises(LocalFileError, match="pipe is not a regular file"):
        await download(box, "f", local / "pipe")
    assert await box.leftovers() == []


async def test_a_name_that_is_not_utf_8_is_skipped(box: ReadySandbox, local: Path) -> None:
    bad = os.fsdecode(b"bad\xff")
    for root in (local / "tree", box.work / "tree"):
        root.mkdir()
        (root / bad).touch()
        (root / "good").touch()
    expected = [r"bad\xff: its name is not UTF-8"]
    assert (await upload(box, local / "tree", "x")).skipped == expected
    assert (await download(box, "tree", local / "x")).skipped == expected
    assert contents(box.work / "x") == contents(local / "x") == {"good": b""}
    assert await box.leftovers() == []


def _remove_tools(monkeypatch: pytest.MonkeyPatch, *tools: str) -> None:
    """Let the scripts in the sandbox find none of these tools."""
    for script in ("_COMMIT", "_PACK"):
        text = getattr(shell_scripts, script)
        for tool in tools:
            text = text.replace(tool, f"no-{tool}")
        monkeypatch.setattr(shell_scripts, script, text)


async def test_python_computes_hashes_where_no_other_tool_can(
    box: ReadySandbox, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _remove_tools(monkeypatch, "sha256sum", "shasum")
    (local / "f").write_bytes(BIG)
    await upload(box, local / "f", "f")
    await download(box, "f", local / "back")
    assert (local / "back").read_bytes() == BIG


async def test_without_a_hash_tool_a_copy_is_refused(
    box: ReadySandbox, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _remove_tools(monkeypatch, "sha256sum", "shasum", "python3")
    (local / "f").write_text("x")
    with pytest.raises(FileRefused, match="cannot be verified"):
        await upload(box, local / "f", "f")
    assert contents(box.work) == {}
    (box.work / "g").write_text("x")
    with pytest.raises(FileRefused, match="cannot be verified"):
        await download(box, "g", local / "g")
    assert set(contents(local)) == {"f"}


async def test_a_replaced_file_keeps_its_mode_and_the_links_to_it(
    box: ReadySandbox, local: Path
) -> None:
    for root in (local, box.work):
        (root / "new").write_text("new")
        (root / "new").chmod(0o755)
        (root / "deep").mkdir()
        (root / "deep/private").write_text("old")
        (root / "deep/private").chmod(0o600)
        (root / "link").symlink_to("deep/private")
    await upload(box, local / "new", "link")
    await download(box, "new", local / "link")
    for root in (local, box.work):
        assert (root / "link").is_symlink()
        assert (root / "deep/private").read_text() == "new"
        assert stat.S_IMODE((root / "deep/private").stat().st_mode) == 0o600
        assert set(contents(root)) == {"new", "deep", "deep/private", "link"}


@needs_jail
async def test_a_lost_execute_bit_is_named_each_time_as_on_the_deployed_proxy(
    tmp_path: Path, local: Path
) -> None:
    write_files(local / "tree", {"run": b"#!", "other": b"x", "large": bytes(70_000)})
    for name in ("run", "large"):
        (local / "tree" / name).chmod(0o755)
    async with ready_sandbox(tmp_path / "s", isolation="required", keeps_modes=False) as box:
        first = await upload(box, local / "tree", "new")
        second = await upload(box, f"{local / 'tree'}/.", "new")
    assert sorted(first.without_mode) == sorted(second.without_mode) == ["large", "run"]


async def test_scratch_directories_of_a_killed_copy_are_removed_after_a_day(
    box: ReadySandbox, local: Path
) -> None:
    (box.work / "f").write_text("x")
    names = [f".remote-sandbox-{token}" for token in ("00000001", "00000002", "notes")]
    for name, age in zip(names, (80_000, 90_000, 90_000), strict=True):
        (box.home / name).mkdir()
        (box.home / name / "0.0").touch()
        then = time.time() - age
        os.utime(box.home / name, (then, then))
    await download(box, "f", local)
    assert (local / "f").read_text() == "x"
    assert {path.name for path in box.home.glob(".remote-*")} == {names[0], names[2]}
