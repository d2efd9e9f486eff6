"""The project's programs as processes, started and ended by the tests."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import psutil

from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

DEADLINE = 30.0  # seconds: far more than any step takes, so that only a hang meets it
ADMIN_KEY = "an-admin-key-for-tests"


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment with nothing of the machine's but the path."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **variables}


@dataclass
class FakeProcess:
    """A running fake proxy, and users of it."""

    url: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_key(self) -> str:
        """Make a user of its own and return a key."""
        with httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, trust_env=False
        ) as admin:
            made = admin.post("/api/admin/users", json={"username": f"user-{next(self._numbers)}"})
            path = f"/api/admin/users/{made.json()['user']['id']}/apikeys"
            key: str = admin.post(path).json()["api_key"]
            return key

    def write_config(self, home: Path) -> str:
        """Write a new user's configuration where the client looks for it, and return the key."""
        folder = home / ".config" / "gemini-remote-sandbox"
        folder.mkdir(parents=True)
        file = folder / "config.json"
        file.touch(mode=0o600)
        key = self.new_key()
        file.write_text(json.dumps({"proxyUrl": self.url, "apiKey": key}))
        return key


@contextlib.contextmanager
def a_fake_process(home: Path) -> Generator[FakeProcess]:
    """Serve a fake that becomes ready at once; end it with Ctrl-C."""
    process = subprocess.Popen(
        f"{sys.executable} -m sandbox_fakeproxy serve --ephemeral --port 0"
        " --ready-after 0.2 --reconcile-delay 0".split(),
        env=clean_environment(home, ADMIN_API_KEY=ADMIN_KEY),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None, process.stdout.read()
        yield FakeProcess(found[0])
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=DEADLINE)
        finally:
            process.kill()


def start_module(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start one of the clone's programs, with a HOME and a temporary directory of its own."""
    temporary = home / "tmp"
    temporary.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=clean_environment(home, TMPDIR=str(temporary), PYTHONUNBUFFERED="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def assert_nothing_is_left(home: Path) -> None:
    """Check that a program that `start_module` started has left no file and no process."""
    assert [path.name for path in home.rglob("*")] == ["tmp"]
    assert processes_at_home(home) == []


def processes_at_home(home: Path) -> list[str]:
    """Return the command lines of all processes whose HOME is `home`."""
    found: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("HOME") == str(home):
                found.append(" ".join(process.cmdline()))
    return found
