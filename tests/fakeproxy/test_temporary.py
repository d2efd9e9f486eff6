"""Temporary directories of fakes that are gone."""

import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_fakeproxy.runtime.cleanup.guardian import Guardian
from sandbox_fakeproxy.runtime.cleanup.temporary import PREFIX, TemporaryDirectory, sweep

from tests.fakeproxy.processes import TIMEOUT


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
    made.guard()

    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        [new.name, other.name, made.path.name]
    )
    made.remove()
    assert not made.path.exists()


def test_a_finalizer_that_runs_while_the_guardian_is_told_something_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, forgotten = tmp_path / "watched", tmp_path / "forgotten"
    for folder in (watched, forgotten):
        folder.mkdir()
    guardian, dumps = Guardian(), json.dumps
    guardian.watch(forgotten, is_temporary=True)

    def collect_garbage_and_dump(told: object) -> str:
        guardian.forget(forgotten)
        return dumps(told)

    monkeypatch.setattr(json, "dumps", collect_garbage_and_dump)
    settings = {"is_temporary": True}
    watching = threading.Thread(target=guardian.watch, args=[watched], kwargs=settings, daemon=True)
    watching.start()
    watching.join(TIMEOUT)
    assert not watching.is_alive()
    guardian.end()
    assert [each.name for each in tmp_path.iterdir()] == ["forgotten"]


def test_a_sweep_leaves_the_directory_of_a_fake_that_lives(tmp_path: Path) -> None:
    made = TemporaryDirectory()
    made.guard()
    sweep.cache_clear()
    sweep()
    assert made.path.is_dir()
    made.remove()


def test_a_sweep_before_a_directory_is_locked_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock

    def sweep_and_lock(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        sweep.cache_clear()
        sweep()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_and_lock)
    made = TemporaryDirectory()
    assert made.path.is_dir()
    made.remove()
