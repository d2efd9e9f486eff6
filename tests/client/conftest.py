"""A clean environment for each test: nobody's HOME, variables, proxies or terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.client.doubles import Clock, Reports

if TYPE_CHECKING:
    from pathlib import Path

_TERMINAL = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """None of the variables that the client or a terminal reads, and a HOME without a file."""
    for name in os.environ:
        if (
            name.startswith(("REMOTE_SANDBOX_", "SSL_CERT_", "XDG_"))
            or name in _TERMINAL
            or name.lower().endswith("_proxy")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "nobody"))
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def home(clean_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A HOME that the test may fill."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports() -> Reports:
    return Reports()
