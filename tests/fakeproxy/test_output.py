"""A command's output: what is kept of it, and where."""

from pathlib import Path

import pytest
from sandbox_fakeproxy.runtime.shell.output import Output, Snapshot

LIMIT = 1000  # characters: 500 of head, and of the tail 400, as the rest is for the marker
LETTERS = "aé€😀\0\r\n" * 1000
FILES = Path("/proc/self/fd")

needs_proc = pytest.mark.skipif(not FILES.is_dir(), reason="only Linux lists files without names")


@pytest.fixture(params=["in memory", "on disk"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path | None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.spool._BUFFER_SIZE", 300)
    return tmp_path if request.param == "on disk" else None


def written(text: str, output: Output, size: int) -> Snapshot:
    """Write a text in pieces of some size; return what is kept."""
    for start in range(0, len(text), size):
        output.feed(text[start : start + size])
    return output.snapshot()


def sizes_on_disk(folder: Path) -> list[int]:
    """Return the sizes of the files in a folder that this process has open."""
    files = [each for each in FILES.iterdir() if each.is_file()]
    return [each.stat().st_size for each in files if each.readlink().is_relative_to(folder)]


@pytest.mark.parametrize(("size", "piece"), [(0, 1), (501, 7), (1000, 499), (1000, 1000)])
def test_a_text_within_the_limit_is_whole(folder: Path | None, size: int, piece: int) -> None:
    assert written(LETTERS[:size], Output(LIMIT, folder), piece).text() == LETTERS[:size]


@pytest.mark.parametrize(
    ("size", "piece"), [(1001, 1), (1001, 1001), (1500, 7), (1501, 499), (6999, 7), (6999, 6999)]
)
def test_of_a_longer_text_the_marker_says_how_much_is_gone(
    folder: Path | None, size: int, piece: int
) -> None:
    text = LETTERS[:size]
    kept = written(text, Output(LIMIT, folder), piece).text()
    marker = f"\n[... {size - 900} characters left out ...]\n"
    assert kept == text[:500] + marker + text[-400:]


def test_a_snapshot_stays_as_it_was(folder: Path | None) -> None:
    output = Output(LIMIT, folder)
    before = written(LETTERS[:900], output, 100)
    written(LETTERS, output, 100)
    assert before.text() == LETTERS[:900]


@needs_proc
def test_files_have_no_names_and_go_with_the_output_and_its_snapshots(tmp_path: Path) -> None:
    output = Output(4_000_000, tmp_path)
    snapshot = written("x" * 3_000_000, output, 4096)
    assert not list(tmp_path.iterdir())
    assert sum(sizes_on_disk(tmp_path)) > 2_800_000
    del output
    assert snapshot.text() == "x" * 3_000_000
    del snapshot
    assert not sizes_on_disk(tmp_path)


@needs_proc
def test_output_without_end_takes_a_bounded_part_of_the_disk(tmp_path: Path) -> None:
    output = Output(1_000_000, tmp_path)
    written("é" * 9_000_000, output, 50_000)
    assert 1_500_000 < sum(sizes_on_disk(tmp_path)) <= 3_000_000


@needs_proc
def test_small_output_makes_no_file(tmp_path: Path) -> None:
    snapshot = written("x" * 60_000, Output(4_000_000, tmp_path), 1000)
    assert snapshot.size == 60_000
    assert not sizes_on_disk(tmp_path)


@pytest.mark.parametrize("fails_from", [0, 150_000, 700_000, 3_000_000])
def test_a_disk_that_fails_leaves_head_and_tail_and_a_true_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_from: int
) -> None:
    text = "".join(f"{number}\n" for number in range(500_000))
    output = Output(1_000_000, tmp_path)
    written(text[:fails_from], output, 4096)

    def fail(*_: object, **__: object) -> int:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.pwrite", fail)
    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    kept = written(text[fails_from:], output, 4096).text()
    head, _, rest = kept.partition("\n[... ")
    count, _, tail = rest.partition(" characters left out ...]\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) >= min(fails_from, 500_000)
    assert len(tail) == 14_900
    assert len(head) + int(count) + len(tail) == len(text)
