"""Start the project's programs as processes and check that they leave nothing behind."""

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

DEADLINE = 30.0  # seconds; every step takes far less, so only a hang reaches it
ADMIN_KEY = "an-admin-key-for-tests"


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment that inherits only PATH from this process."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **variables}


def config_path(home: Path) -> Path:
    """Return the path of the client's configuration below a home directory."""
    return home / ".config" / "gemini-remote-sandbox" / "config.json"


def write_config(home: Path, url: str, key: str) -> None:
    """Write the client's configuration with a proxy's URL and an API key."""
    file = config_path(home)
    file.parent.mkdir(parents=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps({"proxyUrl": url, "apiKey": key}))


def run_remote_sandbox(
    home: Path, *arguments: str, cwd: Path | None = None, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `remote-sandbox` without a terminal and return its exit code and output."""
    return subprocess.run(
        [sys.executable, "-m", "sandbox_client", *arguments],
        cwd=cwd,
        env=clean_environment(home, **variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@dataclass
class FakeProcess:
    """A fake proxy that runs as a process."""

    url: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_key(self) -> str:
        """Create a user with an API key and return the key."""
        with httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, trust_env=False
        ) as admin:
            made = admin.post("/api/admin/users", json={"username": f"user-{next(self._numbers)}"})
            path = f"/api/admin/users/{made.json()['user']['id']}/apikeys"
            key: str = admin.post(path).json()["api_key"]
            return key

    def write_config(self, home: Path) -> str:
        """Write a configuration with the key of a new user, and return the key."""
        key = self.new_key()
        write_config(home, self.url, key)
        return key


@contextlib.contextmanager
def fake_process(home: Path) -> Generator[FakeProcess]:
    """Serve a fake proxy with sandboxes ready after 0.2 s; end it with Ctrl-C."""
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
    """Start `python -m` in the clone, with its own HOME and temporary directory."""
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


def assert_nothing_left(home: Path) -> None:
    """Check that a program started by `start_module` left no file and no process behind."""
    left = [str(path.relative_to(home)) for path in home.rglob("*")]
    assert left == ["tmp"], left
    processes = processes_with_home(home)
    assert processes == [], processes


def processes_with_home(home: Path) -> list[str]:
    """Return the command lines of all processes with `home` as HOME."""
    found: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("HOME") == str(home):
                found.append(" ".join(process.cmdline()))
    return found
