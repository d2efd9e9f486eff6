"""Fixtures of all client tests: a clean environment, a home, a clock and a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.client.stubs import KEY, URL, FakeClock, RecordedProgress
from tests.client.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

_TERMINAL = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Unset the variables that the client and a terminal read; set HOME to a missing folder."""
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
    """Return an empty folder that HOME names."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture
def terminal(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """Return a terminal with a URL and a key in its environment."""
    monkeypatch.setenv("REMOTE_SANDBOX_PROXY_URL", URL)
    monkeypatch.setenv("REMOTE_SANDBOX_API_KEY", KEY)
    return Terminal(monkeypatch, capsys)
