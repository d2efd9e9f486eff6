"""Start the measured HTTP servers as processes, and read their memory use."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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
    """A server did not start, or did not respond as expected."""


@dataclass
class Server:
    """A running server."""

    url: str
    pid: int

    def peak_memory(self) -> float:
        """Return the peak resident memory in megabytes; outside Linux, the current one."""
        status = Path(f"/proc/{self.pid}/status")
        if status.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
            return int(peak[1]) * 1024 / 1e6
        return psutil.Process(self.pid).memory_info().rss / 1e6


@dataclass
class Fake(Server):
    """A running fake proxy."""

    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def new_key(self) -> str:
        """Create a user with an API key and return the key."""
        async with self.client(ADMIN_KEY) as admin:
            made = await admin.post(
                "/api/admin/users", json={"username": f"u{next(self._numbers)}"}
            )
            path = f"/api/admin/users/{made.json()['user']['id']}/apikeys"
            key: str = (await admin.post(path)).json()["api_key"]
            return key

    async def new_sandbox(self, name: str) -> str:
        """Create a user with a sandbox and return the user's API key."""
        key = await self.new_key()
        async with self.client(key) as user:
            (await user.post("/api/sandboxes", json={"name": name})).raise_for_status()
        return key

    def client(self, key: str) -> httpx.AsyncClient:
        """Return an HTTP client that sends a key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False)


@asynccontextmanager
async def fake(
    data: Path | None = None,
    *,
    module: str = "sandbox_fakeproxy",
    isolation: str = "auto",
    runtime_api: str = "1.9",
    as_deployed: bool = False,
) -> AsyncGenerator[Fake]:
    """Serve a fake proxy with sandboxes ready at once, in memory or from a data directory."""
    state = ["--ephemeral"] if data is None else ["--data", str(data)]
    options = ["--ready-after", "0", "--reconcile-delay", "0"]
    options += ["--isolation", isolation, "--runtime-api", runtime_api]
    options += ["--as-deployed"] if as_deployed else []
    async with _serving(module, "serve", "--port", "0", *state, *options) as started:
        yield Fake(*started)


async def has_jails() -> bool:
    """Tell whether sandboxes can be jails on this machine."""
    check = (sys.executable, "-m", "sandbox_fakeproxy", "check")
    return (await anyio.run_process(check, check=False)).returncode == 0


def fake_without_faults() -> AbstractAsyncContextManager[Fake]:
    """Serve a fake proxy that cannot inject faults: see `tools.bench.without_faults`."""
    return fake(module="tools.bench.without_faults")


@asynccontextmanager
async def bare_route(content: str) -> AsyncGenerator[Server]:
    """Serve a JSON text on every path: see `tools.bench.bare_route`."""
    async with _serving("tools.bench.bare_route", content) as started:
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
        start_new_session=True,  # Ctrl-C reaches only the benchmark, which stops it
    )
    try:
        yield await _announced_url(process), process.pid
    finally:
        await stop(process)


async def _announced_url(process: Process) -> str:
    assert process.stdout is not None
    output = ""
    try:
        async with asyncio.timeout(START_DEADLINE):
            while line := (await process.stdout.readline()).decode():
                output += line
                if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                    return match[0]
    except TimeoutError:
        pass
    raise ServerFailed(f"A server did not start; its output:\n{output}")


async def stop(process: Process) -> None:
    """Stop a process with SIGINT, or with SIGKILL if it still runs after STOP_DEADLINE."""
    with anyio.CancelScope(shield=True):
        for number in (signal.SIGINT, signal.SIGKILL):
            if process.returncode is None:
                process.send_signal(number)
            with anyio.move_on_after(STOP_DEADLINE):
                await process.wait()
                return
