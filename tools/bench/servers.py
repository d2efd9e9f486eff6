"""The servers that are measured, each a process of its own, and what memory they take."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import psutil

from tools.manifest import ROOT

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Iterator

ADMIN_KEY = "an-admin-key-for-the-bench"
START_DEADLINE = 60.0  # seconds
STOP_DEADLINE = 10.0


class ServerFailed(Exception):
    """A server did not start."""


@dataclass
class Server:
    """A running server."""

    url: str
    pid: int

    def peak_memory(self) -> float:
        """Return the most megabytes it ever had in memory; where nobody counts that, those now."""
        status = Path(f"/proc/{self.pid}/status")
        if status.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
            return int(peak[1]) * 1024 / 1e6
        return psutil.Process(self.pid).memory_info().rss / 1e6


@dataclass
class Fake(Server):
    """A running fake proxy, and users of it."""

    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def new_key(self) -> str:
        """Make a user of its own and return a key."""
        async with self.client(ADMIN_KEY) as admin:
            made = await admin.post(
                "/api/admin/users", json={"username": f"u{next(self._numbers)}"}
            )
            path = f"/api/admin/users/{made.json()['user']['id']}/apikeys"
            key: str = (await admin.post(path)).json()["api_key"]
            return key

    async def new_sandbox(self, name: str) -> str:
        """Make a user with a sandbox, and return the key of it."""
        key = await self.new_key()
        async with self.client(key) as user:
            (await user.post("/api/sandboxes", json={"name": name})).raise_for_status()
        return key

    def client(self, key: str) -> httpx.AsyncClient:
        """Return a client with a key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False)


@asynccontextmanager
async def fake(data: Path | None = None) -> AsyncGenerator[Fake]:
    """Serve a fake whose sandboxes are ready at once, in memory or from a data directory."""
    state = ["--ephemeral"] if data is None else ["--data", str(data)]
    times = ["--ready-after", "0", "--reconcile-delay", "0"]
    async with _serving("sandbox_fakeproxy", "serve", "--port", "0", *state, *times) as started:
        yield Fake(*started)


@asynccontextmanager
async def bare_route(content: str) -> AsyncGenerator[Server]:
    """Serve the least that answers with a JSON: see `tools.bench.baseline`."""
    async with _serving("tools.bench.baseline", content) as started:
        yield Server(*started)


@asynccontextmanager
async def _serving(module: str, *arguments: str) -> AsyncGenerator[tuple[str, int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=ROOT,
        env={**os.environ, "ADMIN_API_KEY": ADMIN_KEY, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal is the bench's to pass on
    )
    try:
        yield await _announced_url(process), process.pid
    finally:
        await stop(process)


async def _announced_url(process: Process) -> str:
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(START_DEADLINE):
            while line := (await process.stdout.readline()).decode():
                said += line
                if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                    return match[0]
    except TimeoutError:
        pass
    raise ServerFailed(f"A server did not start; it said:\n{said}")


async def stop(process: Process) -> None:
    """End a process with Ctrl-C, and with force when that does not help."""
    with anyio.CancelScope(shield=True):
        for way in (signal.SIGINT, signal.SIGKILL):
            if process.returncode is None:
                process.send_signal(way)
            with anyio.move_on_after(STOP_DEADLINE):
                await process.wait()
                return
