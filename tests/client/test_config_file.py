"""Updating the configuration file: atomic, private, and without changes to other members."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import ConfigError
from sandbox_client.config_file import check_writable, read_config_file, update_config_file

from tests.client.secrecy import chained_text
from tests.client.strategies import any_json, some_examples
from tests.client.stubs import KEY

NEW = {"proxyUrl": "http://127.0.0.1:8080", "apiKey": KEY}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_and_its_directories_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "config.json"
    previous = os.umask(0)  # lets any permission through
    try:
        update_config_file(path, NEW)
    finally:
        os.umask(previous)

    assert json.loads(path.read_text()) == NEW
    assert [mode_of(each) for each in (path, path.parent, path.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]


def test_the_key_is_never_in_a_public_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("{}")
    path.chmod(0o644)
    modes: list[int] = []
    replace = Path.replace

    def record_mode(temporary: Path, target: Path) -> Path:
        modes.append(mode_of(temporary))
        assert KEY in temporary.read_text()
        return replace(temporary, target)

    monkeypatch.setattr(Path, "replace", record_mode)
    update_config_file(path, NEW)

    assert [*modes, mode_of(path)] == [0o600, 0o600]


def test_other_members_are_kept_in_order(path: Path) -> None:
    path.write_text(
        '{"note": "ä", "apiKey": "old", "defaultPort": 9000, "proxyUrl": "x", "z": [1]}'
    )

    update_config_file(path, NEW)

    kept = json.loads(path.read_text())
    assert list(kept) == ["note", "apiKey", "defaultPort", "proxyUrl", "z"]
    assert kept == {"note": "ä", "defaultPort": 9000, "z": [1], **NEW}
    assert "ä" in path.read_text()


@some_examples
@given(content=st.dictionaries(st.text(max_size=5), any_json, max_size=5))
def test_any_other_members_are_unchanged(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("config") / "any.json"
    path.write_text(json.dumps(content))

    update_config_file(path, NEW)

    expected = json.dumps({**json.loads(json.dumps(content)), **NEW})
    assert json.dumps(json.loads(path.read_bytes())) == expected
    assert read_config_file(path, optional=False).content["apiKey"] == KEY


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '"x"'])
def test_a_file_that_is_not_a_json_object_is_not_overwritten(path: Path, content: str) -> None:
    path.write_text(content)

    with pytest.raises(ConfigError) as caught:
        update_config_file(path, NEW)

    assert path.read_text() == content
    assert "move it away" in caught.value.advice
    assert KEY not in chained_text(caught.value)


def test_a_link_is_kept_and_its_target_is_written(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "config.json"
    link = tmp_path / "config.json"
    link.symlink_to(target)

    update_config_file(link, NEW)

    assert link.is_symlink()
    assert json.loads(target.read_text()) == NEW


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_update_keeps_the_file_and_removes_the_temporary_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, fault: BaseException
) -> None:
    path.write_text('{"apiKey": "old"}')

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], fail)
    with pytest.raises((ConfigError, KeyboardInterrupt)) as caught:
        update_config_file(path, NEW)

    assert path.read_text() == '{"apiKey": "old"}'
    assert list(path.parent.iterdir()) == [path]
    if isinstance(caught.value, ConfigError):
        assert caught.value.message == f"{path} cannot be written: No space left on device"
        assert KEY not in chained_text(caught.value)


def test_a_path_below_a_file_is_not_writable(path: Path) -> None:
    path.write_text("")

    with pytest.raises(ConfigError, match="is not a directory"):
        check_writable(path / "a" / "config.json")


def test_a_directory_without_permission_is_not_writable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:  # root may write everywhere, and tests may run as root
        return False

    monkeypatch.setattr(os, "access", refuse)

    with pytest.raises(ConfigError, match="no write permission in"):
        check_writable(path)


def test_a_path_with_missing_directories_is_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "config.json")

    assert list(tmp_path.iterdir()) == []
