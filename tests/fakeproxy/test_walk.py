"""Walks of directory trees that hostile commands change at the same time."""

import os
import resource
import stat
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy.runtime.local.limits import disk_usage
from sandbox_fakeproxy.runtime.local.modes import restore_modes
from sandbox_fakeproxy.runtime.walk import remove_tree, walk

from tests.fakeproxy.shell_api import CommandResult, ShellApi

SIZE = 5_000_000
ANOTHER_USER = 20_000 + os.getpid() % 40_000
MEMORY = Path("/dev/shm")  # noqa: S108  (a busy disk takes 15 s to remove 5,000 directories)
SEVERAL_PATHS = 5_000  # directories of two bytes each: more than a path can name


@pytest.fixture
def top() -> Generator[Path]:
    """Return a directory that no walk of Python's has to remove."""
    made = Path(tempfile.mkdtemp(prefix="walk-", dir=MEMORY if MEMORY.is_dir() else None))
    yield made
    subprocess.run(["rm", "-rf", made], check=True)


def nest(top: Path, depth: int, size: int = 0) -> None:
    """Make directories in each other, and a file in the lowest that others may not read."""
    top.mkdir(exist_ok=True)
    directory = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    file = os.open("file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=directory)
    os.write(file, bytes(size))
    os.close(file)
    os.close(directory)


def modes_of_files(top: Path) -> set[int]:
    found = subprocess.run(
        ["find", top, "-type", "f", "-printf", "%m\n"], capture_output=True, text=True, check=True
    )
    return {int(mode, 8) for mode in found.stdout.split()}


@contextmanager
def few_descriptors() -> Generator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    newest = os.open("/", os.O_RDONLY)
    os.close(newest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (newest + 100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_tree_may_be_deeper_than_paths_descriptors_and_recursion_reach(top: Path) -> None:
    nest(top, SEVERAL_PATHS, SIZE)
    nest(top / "side", 100)
    with few_descriptors():
        assert disk_usage([top]) >= SIZE
        restore_modes(top)
        assert modes_of_files(top) == {0o666}
        remove_tree(top)
    assert not top.exists()
    top.mkdir()  # as the fixture expects it


@pytest.fixture
def outside(top: Path) -> Path:
    made = top / "outside"
    made.mkdir(mode=0o755)
    (made / "precious").write_bytes(bytes(SIZE))
    (made / "precious").chmod(0o600)
    return made


class SwappingScan:
    """A scan of a directory, at the end of which an entry is replaced by a link."""

    def __init__(self, scanned: Iterator[os.DirEntry[str]], swap: Callable[[], None]) -> None:
        self._entries = list(scanned)
        self._swap = swap

    def __enter__(self) -> Iterator[os.DirEntry[str]]:
        return self.__iter__()

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        yield from self._entries
        self._swap()

    def __exit__(self, *_exc: object) -> None:
        pass


def swap_after_scan(monkeypatch: pytest.MonkeyPatch, name: Path, target: Path) -> None:
    """Replace a directory by a link, between the scan that finds it and its use."""
    scandir = os.scandir

    def swap() -> None:
        if name.is_dir() and not name.is_symlink():
            name.rename(name.with_name("moved"))
            name.symlink_to(target)

    def scan(at: int | str) -> SwappingScan:
        with scandir(at) as scanned:
            return SwappingScan(iter(list(scanned)), swap)

    monkeypatch.setattr(os, "scandir", scan)


def count(tree: Path) -> int:
    return disk_usage([tree])


@pytest.mark.parametrize("act", [remove_tree, restore_modes, count])
def test_a_folder_that_becomes_a_link_is_not_followed(
    top: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], object]
) -> None:
    tree = top / "tree"
    (tree / "d").mkdir(parents=True)
    with monkeypatch.context() as patched:
        swap_after_scan(patched, tree / "d", outside)
        result = act(tree)
    assert result is None or result == count(tree)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert stat.S_IMODE((outside / "precious").stat().st_mode) == 0o600
    assert (outside / "precious").stat().st_size == SIZE


def test_a_folder_that_becomes_a_link_to_a_pipe_is_not_opened(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open it would block, and to open a device could do anything."""
    tree = top / "tree"
    (tree / "d").mkdir(parents=True)
    os.mkfifo(top / "pipe")
    with monkeypatch.context() as patched:
        swap_after_scan(patched, tree / "d", top / "pipe")
        restore_modes(tree)
    assert (tree / "d").is_symlink()


def test_a_walk_stays_in_the_tree_when_a_folder_is_moved_out_under_it(top: Path) -> None:
    nest(top / "tree", 80)
    above, outside = top / "tree/d", top / "outside"
    for number in range(20):  # most of them are still to be entered when the walk comes back
        (outside / f"{number}" / "precious").mkdir(parents=True)
        (above / f"{number}" / "own").mkdir(parents=True)
    found: list[str] = []
    depth = 0
    for _, entries in walk(top / "tree"):
        names = [each.name for each in entries]
        found += names
        depth += "d" in names
        if depth == 70 and not (outside / "moved").exists():  # `above` is closed by now
            (above / "d").rename(outside / "moved")
    assert (outside / "moved").is_dir()
    assert found.count("own") == 20
    assert "precious" not in found


def test_names_of_one_file_are_counted_once(top: Path) -> None:
    (top / "file").write_bytes(bytes(SIZE))
    for each in ("a", "b"):
        (top / each).mkdir()
        for number in range(5):
            os.link(top / "file", top / each / str(number))
    assert SIZE <= disk_usage([top / "a", top / "b"]) < 2 * SIZE


@pytest.fixture
def own(top: Path) -> Generator[Path]:
    """Return a directory of an unprivileged user, as which this process runs meanwhile."""
    if os.geteuid() != 0:
        yield top
        return
    os.chown(top, ANOTHER_USER, ANOTHER_USER)
    os.seteuid(ANOTHER_USER)
    try:
        yield top
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("mode", [0, 0o300, 0o600])
def test_a_directory_that_its_owner_may_not_read_is_counted_and_keeps_its_mode(
    own: Path, mode: int
) -> None:
    directory = own / "tree" / "closed"
    directory.mkdir(parents=True)
    (directory / "file").write_bytes(bytes(SIZE))
    directory.chmod(mode)
    assert disk_usage([own / "tree"]) >= SIZE
    assert stat.S_IMODE(directory.stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0, 0o077, 0o277, 0o300, 0o555, 0o600])
def test_a_directory_with_any_mode_is_restored_and_removed(own: Path, mode: int) -> None:
    closed = own / "tree" / "closed"
    (closed / "below").mkdir(parents=True)
    (closed / "file").touch(mode=0o600)
    for each in (closed / "below", closed, closed.parent):
        each.chmod(mode)
    restore_modes(own / "tree")
    for each in (closed.parent, closed, closed / "below"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o777
    assert stat.S_IMODE((closed / "file").stat().st_mode) == 0o666
    for each in (closed / "below", closed, closed.parent):
        each.chmod(mode)
    remove_tree(own / "tree")
    assert not (own / "tree").exists()


def test_a_restoration_of_modes_ends_also_in_a_tree_without_end(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.local.modes._TIME_LIMIT", 0.0)
    (top / "file").touch(mode=0o600)
    restore_modes(top)
    assert modes_of_files(top) == {0o600}


async def test_commands_run_also_when_the_modes_cannot_be_restored(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_folder: Path) -> None:
        raise RecursionError

    monkeypatch.setattr("sandbox_fakeproxy.runtime.local.runtime.restore_modes", fail)
    runtime = LocalRuntime(top, isolation="none", as_deployed=True)
    shell = ShellApi(runtime)
    for _ in range(2):
        assert await shell.run("echo ran") == CommandResult("ran\n")
    await runtime.close()
