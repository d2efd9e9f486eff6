"""Copies to and from an in-process fake: each file whole or not at all."""

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
from sandbox_client._errors import DiskFailed, FileChanged, FileRefused, NoSuchFile, SandboxError
from sandbox_client._files import copy, scripts
from sandbox_client._files.copy import Copy

from tests.fakeproxy.available_isolations import AVAILABLE_ISOLATIONS
from tests.integration.sandbox import BOX, Delivery, ReadySandbox, ready_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import httpx
    from sandbox_client._files.trees import Leaf, Tree

BIG = bytes(range(256)) * 12_000 + b"odd end"  # three megabytes: dozens of pieces, several blocks


class Watching:
    """A watcher that records the progress of a copy."""

    def __init__(self) -> None:
        self.finished_paths: list[str] = []
        self.skipped: list[str] = []
        self.bytes = 0
        self.total = 0

    def begin(self, tree: Tree) -> None:
        assert self.bytes == 0, "the total grows while the copy is under way"
        self.total += sum(each.size for each in tree.files)
        self.skipped += [f"{each.path}: {each.why}" for each in tree.skipped]

    def moved(self, leaf: Leaf, size: int) -> None:
        self.bytes += size

    def finished(self, leaf: Leaf) -> None:
        self.finished_paths.append(leaf.path)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncGenerator[ReadySandbox]:
    async with ready_sandbox(tmp_path / "sandboxes") as made:
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


async def up(box: ReadySandbox, source: Path | str, target: str, **how: Any) -> Watching:
    watching = Watching()
    await Copy(box.client.files, BOX, watching).up([str(source)], target, **how)
    return watching


async def down(box: ReadySandbox, source: str, target: Path | str, **how: Any) -> Watching:
    watching = Watching()
    await Copy(box.client.files, BOX, watching).down([source], str(target), **how)
    return watching


def contents(root: Path) -> dict[str, bytes | None]:
    """Return the bytes of each file below a directory, and None for each directory."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def fill(root: Path, files: dict[str, bytes]) -> None:
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)


def programs(root: Path) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and os.access(path, os.X_OK)
    }


def make_tree(root: Path) -> None:
    for name in ("a b/deep/er", "empty", "-dash"):
        (root / name).mkdir(parents=True)
    (root / "big.bin").write_bytes(BIG)
    (root / "nothing").touch()
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    for number, name in enumerate(("q\"u'ote", "new\nline", "-rf", "$HOME", "grün 😀", "*", "~")):
        (root / "a b/deep" / name).write_bytes(bytes([number, 0, 255]))


async def test_the_total_of_several_sources_is_known_before_the_first_byte_is_copied(
    box: ReadySandbox, here: Path
) -> None:
    fill(here / "tree", {"a": b"1" * 1000, "b": b"2" * 2000})
    (here / "file").write_bytes(b"3" * 4000)
    sources = [str(here / "tree"), str(here / "file")]
    copied_up, copied_down = Watching(), Watching()
    await Copy(box.client.files, BOX, copied_up).up(sources, "there")
    await Copy(box.client.files, BOX, copied_down).down(["there/tree", "there/file"], str(here))
    assert (copied_up.total, copied_up.bytes) == (7000, 7000)
    assert (copied_down.total, copied_down.bytes) == (7000, 7000)
    assert await box.leftovers() == []


async def test_a_tree_goes_there_and_back_and_is_the_same(box: ReadySandbox, here: Path) -> None:
    make_tree(here / "tree")
    there = await up(box, here / "tree", "new/place")
    assert contents(box.work / "new/place") == contents(here / "tree")
    assert programs(box.work / "new/place") == {"run.sh"}
    back = await down(box, "new/place", here / "back")
    assert contents(here / "back") == contents(here / "tree")
    assert programs(here / "back") == {"run.sh"}
    assert there.bytes == back.bytes == len(BIG) + 10 + 7 * 3
    assert sorted(there.finished_paths) == sorted(back.finished_paths)
    assert await box.leftovers() == []
    assert not any(".part-" in path for path in contents(here))


@pytest.mark.parametrize("isolation", AVAILABLE_ISOLATIONS)
async def test_it_is_the_same_however_commands_see_their_directories(
    tmp_path: Path, here: Path, isolation: str
) -> None:
    async with ready_sandbox(tmp_path / "sandboxes", isolation=isolation, as_deployed=True) as box:
        make_tree(here / "tree")
        for place in ("/sandbox/x", "/home/gem/x"):
            await up(box, here / "tree", place)
            back = here / place.replace("/", "-")
            await down(box, place, back)
            assert contents(back) == contents(here / "tree")
        assert await box.leftovers() == []


_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) <= 80)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_names, st.binary(max_size=2_000), min_size=1, max_size=4))
def test_any_bytes_under_any_names_go_there_and_back(files: dict[str, bytes]) -> None:
    anyio.run(functools.partial(_there_and_back, files))


async def _there_and_back(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder, "here")
        fill(here, files)
        async with ready_sandbox(Path(folder, "sandboxes"), as_deployed=True) as box:
            await up(box, here, "x")
            await down(box, "x", Path(folder, "back"))
        assert contents(Path(folder, "back")) == dict(files)


async def test_a_file_goes_to_a_name_or_into_a_directory(box: ReadySandbox, here: Path) -> None:
    source = here / "note"
    source.write_text("x")
    (box.work / "folder").mkdir()
    for target in ("renamed", "folder", "made/", "/sandbox/deep/er/name", ".", ""):
        await up(box, source, target)
    expected = ["renamed", "folder/note", "made/note", "deep/er/name", "note"]
    assert all((box.work / path).read_text() == "x" for path in expected)
    (here / "in").mkdir()
    for target in ("renamed", "in", "new/"):
        await down(box, "note", f"{here}/{target}")
    assert all((here / path).read_text() == "x" for path in ("renamed", "in/note", "new/note"))
    with pytest.raises(DiskFailed, match="No such file or directory"):
        await down(box, "note", here / "no/such/place")


async def test_a_directory_goes_into_one_that_is_there_and_its_dot_into_it(
    box: ReadySandbox, here: Path
) -> None:
    (here / "tree").mkdir()
    (here / "tree/f").write_text("x")
    (box.work / "there").mkdir()
    await up(box, here / "tree", "there")
    await up(box, f"{here}/tree/.", "there")
    assert set(contents(box.work / "there")) == {"f", "tree", "tree/f"}
    (here / "back").mkdir()
    await down(box, "there/tree", here / "back")
    await down(box, "there/tree/.", here / "back")
    assert set(contents(here / "back")) == {"f", "tree", "tree/f"}


async def test_a_copy_over_what_is_there_replaces_files_and_keeps_the_rest(
    box: ReadySandbox, here: Path
) -> None:
    (here / "tree").mkdir()
    (here / "tree/f").write_text("new")
    for root in (box.work / "x/tree", here / "y/tree"):
        root.mkdir(parents=True)
        (root / "f").write_text("old and longer")
        (root / "other").write_text("kept")
    await up(box, here / "tree", "x")
    await down(box, "x/tree", here / "y")
    for root in (box.work / "x/tree", here / "y/tree"):
        assert contents(root) == {"f": b"new", "other": b"kept"}


async def test_links_to_files_are_files_and_the_rest_is_skipped_and_said(
    box: ReadySandbox, here: Path
) -> None:
    for root in (here / "tree", box.work / "tree"):
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
    assert set((await up(box, here / "tree", "copy")).skipped) == skipped
    assert contents(box.work / "copy") == expected
    assert set((await down(box, "tree", here / "copy")).skipped) == skipped
    assert contents(here / "copy") == expected


async def test_many_files_go_in_few_commands(box: ReadySandbox, here: Path) -> None:
    (here / "tree").mkdir()
    for number in range(65):
        (here / "tree" / f"file {number}").write_text(str(number))
    await up(box, here / "tree", "x")
    await down(box, "x", here / "back")
    assert contents(here / "back") == contents(here / "tree")
    commands = [each for each in box.transport.sent if each.url.path.endswith("/v1/shell/exec")]
    assert len(commands) < 12
    assert all(len(json.loads(each.content)["command"]) < 4_096 for each in commands)


def _each_once(route: str, delivery: Delivery) -> Callable[[httpx.Request], Delivery]:
    """Give each piece to a route this delivery the first time it is sent."""
    seen: set[bytes] = set()

    def decide(request: httpx.Request) -> Delivery:
        if not request.url.path.endswith(route) or request.content in seen:
            return "delivered"
        seen.add(request.content)
        return delivery

    return decide


@pytest.mark.parametrize("delivery", ["answer lost", "request lost", "refused for now"])
async def test_no_piece_is_lost_or_doubled_where_each_first_answer_is(
    box: ReadySandbox, here: Path, delivery: Delivery
) -> None:
    data = os.urandom(400_000)  # no two pieces are the same
    (here / "f").write_bytes(data)
    box.transport.delivery = _each_once("/v1/file/write", delivery)
    await up(box, here / "f", "f")
    assert (box.work / "f").read_bytes() == data
    box.transport.delivery = _each_once("/v1/file/read", delivery)
    await down(box, "f", here / "back")
    assert (here / "back").read_bytes() == data
    assert await box.leftovers() == []


async def test_a_file_gets_its_name_once_where_that_answer_is_lost(
    box: ReadySandbox, here: Path
) -> None:
    (here / "f").write_text("x")
    box.transport.delivery = _each_once("/v1/shell/exec", "answer lost")
    await up(box, here / "f", "f")
    assert (box.work / "f").read_text() == "x"
    assert await box.leftovers() == []


def _after(number: int, route: str, delivery: Delivery) -> Callable[[httpx.Request], Delivery]:
    """Let so many requests to a route through, and none after them."""
    count = 0

    def decide(request: httpx.Request) -> Delivery:
        nonlocal count
        count += request.url.path.endswith(route)
        return delivery if count > number and request.url.path.endswith(route) else "delivered"

    return decide


@pytest.mark.parametrize("before", [None, b"what was there"])
async def test_a_line_that_breaks_in_the_middle_leaves_what_was_there(
    box: ReadySandbox, here: Path, before: bytes | None
) -> None:
    (here / "f").write_bytes(BIG)
    if before is not None:
        (box.work / "f").write_bytes(before)
        (here / "back").write_bytes(before)
    box.transport.delivery = _after(7, "/v1/file/write", "request lost")
    with pytest.raises(SandboxError):
        await up(box, here / "f", "f")
    assert contents(box.work) == ({} if before is None else {"f": before})
    (box.work / "source").write_bytes(BIG)
    box.transport.delivery = _after(3, "/v1/file/read", "request lost")
    with pytest.raises(SandboxError):
        await down(box, "source", here / "back")
    assert contents(here) == {"f": BIG} | ({} if before is None else {"back": before})
    assert await box.leftovers() == []


async def test_what_cannot_be_removed_is_named(box: ReadySandbox, here: Path) -> None:
    (here / "f").write_bytes(BIG)
    box.transport.delivery = _after(0, "", "request lost")
    with pytest.raises(SandboxError):
        await up(box, here / "f", "f")

    broken = False

    def breaks(request: httpx.Request) -> Delivery:
        nonlocal broken
        broken = broken or len(box.transport.of("write")) > 4
        return "request lost" if broken else "delivered"

    box.transport.sent.clear()
    box.transport.delivery = breaks
    with pytest.raises(SandboxError) as caught:
        await up(box, here / "f", "f")
    assert "What was sent may be left: /sandbox/.*.part-*" in caught.value.advice
    assert not (box.work / "f").exists()


async def test_a_part_that_somebody_changes_does_not_get_the_name(
    box: ReadySandbox, here: Path
) -> None:
    (here / "f").write_bytes(b"a" * 100_000)

    def spoil(request: httpx.Request) -> Delivery:
        if request.url.path.endswith("/exec"):
            for part in box.work.glob(".f.part-*"):
                part.write_bytes(b"b" * 100_000)  # the size is right
        return "delivered"

    box.transport.delivery = spoil
    with pytest.raises(FileChanged, match=r"What arrived for /sandbox/f .* is not what was sent"):
        await up(box, here / "f", "f")
    assert contents(box.work) == {}


async def test_a_file_here_that_changes_while_it_is_copied_is_not_taken(
    box: ReadySandbox, here: Path
) -> None:
    (here / "f").write_bytes(BIG)

    def grow(request: httpx.Request) -> Delivery:
        if len(box.transport.of("write")) == 3:
            with (here / "f").open("ab") as file:
                file.write(b"more")
        return "delivered"

    box.transport.delivery = grow
    with pytest.raises(FileChanged, match="was written to while it was copied"):
        await up(box, here / "f", "f")
    assert contents(box.work) == {}


async def test_a_file_there_that_changes_while_it_is_copied_is_not_taken(
    box: ReadySandbox, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "MAX_BLOCKS", 1)
    (box.work / "f").write_bytes(BIG)

    def change(request: httpx.Request) -> Delivery:
        if len(box.transport.of("read")) == 3:
            (box.work / "f").write_bytes(bytes(len(BIG)))
        return "delivered"

    box.transport.delivery = change
    with pytest.raises(FileChanged, match="is not what the sandbox has"):
        await down(box, "f", here / "f")
    assert contents(here) == {}
    assert await box.leftovers() == []


@pytest.mark.parametrize("number", [1, 4, 9])
async def test_a_cancelled_copy_leaves_nothing_half(
    box: ReadySandbox, here: Path, number: int
) -> None:
    (here / "tree").mkdir()
    (here / "tree/first").write_text("x")
    (here / "tree/second").write_bytes(BIG)
    (box.work / "there").mkdir()
    (box.work / "there/big").write_bytes(BIG)

    async def cancelled_at(route: str, work: Callable[[], Any]) -> None:
        box.transport.sent.clear()
        with anyio.CancelScope() as scope:

            def cancel(request: httpx.Request) -> Delivery:
                if len(box.transport.of(route)) == number:
                    scope.cancel()
                return "delivered"

            box.transport.delivery = cancel
            await work()
        assert scope.cancelled_caught
        box.transport.delivery = lambda _: "delivered"

    await cancelled_at("write", lambda: up(box, here / "tree", "x"))
    assert {path.name for path in (box.work / "x").glob("**/*") if path.is_file()} <= {"first"}
    (here / "back").mkdir()
    await cancelled_at("read", lambda: down(box, "there", here / "back"))
    assert not any(path.is_file() for path in (here / "back").rglob("*"))
    assert await box.leftovers() == []


async def test_what_was_whole_before_a_failure_stays(
    box: ReadySandbox, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "MAX_LINE", 1)
    (here / "tree").mkdir()
    for name in ("1", "2", "3"):
        (here / "tree" / name).write_text(name)
    (box.work / "x/2").mkdir(parents=True)
    with pytest.raises(FileRefused, match=r"/sandbox/x/2 .* was not written: it is a directory"):
        await up(box, f"{here}/tree/.", "x")
    assert contents(box.work / "x") == {"1": b"1", "2": None}
    assert await box.leftovers() == []


async def test_what_is_not_there_or_has_another_kind_is_said(box: ReadySandbox, here: Path) -> None:
    with pytest.raises(DiskFailed, match=r"no-such.* cannot be read: No such file"):
        await up(box, here / "no-such", "x")
    with pytest.raises(NoSuchFile, match="/sandbox/no-such"):
        await down(box, "no-such", here)
    for place in (box.work, here):
        os.mkfifo(place / "pipe")
    with pytest.raises(FileRefused, match="neither a file nor a directory"):
        await down(box, "pipe", here / "x")
    (here / "g").write_text("x")
    with pytest.raises(FileRefused, match="was not written: it is no file"):
        await up(box, here / "g", "pipe")
    (box.work / "f").write_text("x")
    (here / "f/g").mkdir(parents=True)
    with pytest.raises(DiskFailed, match="is a directory"):
        await down(box, "f", here)
    with pytest.raises(DiskFailed, match="pipe is no file"):
        await down(box, "f", here / "pipe")
    assert await box.leftovers() == []


async def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_copied(
    box: ReadySandbox, here: Path
) -> None:
    bad = os.fsdecode(b"bad\xff")
    for root in (here / "tree", box.work / "tree"):
        root.mkdir()
        (root / bad).touch()
        (root / "good").touch()
    with pytest.raises(DiskFailed, match=r"not UTF-8: 'bad\\udcff'"):
        await up(box, here / "tree", "x")
    with pytest.raises(FileRefused, match="A name in the sandbox is not UTF-8"):
        await down(box, "tree", here / "x")
    assert not (box.work / "x").exists()
    assert not (here / "x").exists()


def _without(monkeypatch: pytest.MonkeyPatch, *tools: str) -> None:
    for script in ("_SETTLE", "_PACK"):
        text = getattr(scripts, script)
        for tool in tools:
            text = text.replace(tool, f"no-{tool}")
        monkeypatch.setattr(scripts, script, text)


async def test_python_hashes_where_no_other_tool_does(
    box: ReadySandbox, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, "sha256sum", "shasum")
    (here / "f").write_bytes(BIG)
    await up(box, here / "f", "f")
    await down(box, "f", here / "back")
    assert (here / "back").read_bytes() == BIG


async def test_without_any_hash_nothing_is_taken_on_trust(
    box: ReadySandbox, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, "sha256sum", "shasum", "python3")
    (here / "f").write_text("x")
    with pytest.raises(FileRefused, match="cannot be verified"):
        await up(box, here / "f", "f")
    assert contents(box.work) == {}
    (box.work / "g").write_text("x")
    with pytest.raises(FileRefused, match="cannot be verified"):
        await down(box, "g", here / "g")
    assert set(contents(here)) == {"f"}


async def test_what_is_replaced_keeps_its_mode_and_its_links(box: ReadySandbox, here: Path) -> None:
    for root in (here, box.work):
        (root / "new").write_text("new")
        (root / "new").chmod(0o755)
        (root / "deep").mkdir()
        (root / "deep/private").write_text("old")
        (root / "deep/private").chmod(0o600)
        (root / "link").symlink_to("deep/private")
    await up(box, here / "new", "link")
    await down(box, "new", here / "link")
    for root in (here, box.work):
        assert (root / "link").is_symlink()
        assert (root / "deep/private").read_text() == "new"
        assert stat.S_IMODE((root / "deep/private").stat().st_mode) == 0o600
        assert set(contents(root)) == {"new", "deep", "deep/private", "link"}


async def test_what_a_killed_copy_has_left_packed_is_removed_after_an_hour(
    box: ReadySandbox, here: Path
) -> None:
    (box.work / "f").write_text("x")
    names = [f".remote-sandbox-{token}" for token in ("00000001", "00000002", "notes")]
    for name, age in zip(names, (3_500, 3_700, 3_700), strict=True):
        (box.home / name).mkdir()
        (box.home / name / "0.0").touch()
        then = time.time() - age
        os.utime(box.home / name, (then, then))
    await down(box, "f", here)
    assert (here / "f").read_text() == "x"
    assert {path.name for path in box.home.glob(".remote-*")} == {names[0], names[2]}
