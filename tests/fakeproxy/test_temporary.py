"""Temporary directories of fakes that are gone."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_fakeproxy._cleanup.temporary import PREFIX, TemporaryDirectory, sweep


@pytest.fixture(autouse=True)
def fresh_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this process sweep a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sweep.cache_clear()
    yield
    sweep.cache_clear()


def test_a_start_removes_directories_without_an_owner(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}left"
    (left / "sandbox").mkdir(parents=True)
    (left / "lock").touch()
    old = tmp_path / f"{PREFIX}old"
    old.mkdir()
    os.utime(old, (0, 0))
    new = tmp_path / f"{PREFIX}new"  # its fake is just about to lock it
    new.mkdir()
    other = tmp_path / "other"
    other.mkdir()

    made = TemporaryDirectory()

    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        [new.name, other.name, made.path.name]
    )
    made.remove()
    assert not made.path.exists()


def test_a_sweep_leaves_the_directory_of_a_fake_that_lives(tmp_path: Path) -> None:
    made = TemporaryDirectory()
    sweep.cache_clear()
    sweep()
    assert made.path.is_dir()
    made.remove()
