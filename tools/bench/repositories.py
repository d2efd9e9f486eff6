"""A repository that goes to a sandbox and comes back, compared with one file of the same bytes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_client.client import Client
from sandbox_client.config import Config

from tools.bench.file_copies import timed
from tools.bench.measurement import Row, Target
from tools.bench.servers import ServerFailed, fake

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.bench.effort import Effort

NAME = "box"
TARGET = Target("≤", 5)
# Each file gets other bytes, so that all of them come back.
_WORK = "for file in *; do head -c {size} /dev/urandom >$file; done; git commit -qam Work"


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Push and pull a repository of random bytes; upload and download them as one file."""
    files, size = effort.repository_files, effort.repository_bytes // effort.repository_files
    progress(f"a repository of {files:,} files")
    times: dict[str, list[float]] = {key: [] for key in ("push", "pull", "in", "out")}
    with tempfile.TemporaryDirectory() as folder:
        async with fake(as_deployed=True) as proxy:
            config = Config(proxy_url=proxy.url, api_key=await proxy.new_sandbox(NAME))
            async with Client.connect(config) as client:
                for number in range(effort.repository_rounds):
                    top, one = Path(folder, f"project{number}"), Path(folder, f"one{number}")
                    _make_repository(top, one, files, size)
                    times["push"].append(await timed(client.push(NAME, str(top))))
                    times["in"].append(await timed(client.upload(NAME, [str(one)], one.name)))
                    await client.run(
                        NAME, _WORK.format(size=size), directory=f"/sandbox/{top.name}"
                    )
                    times["pull"].append(await timed(client.pull(NAME, str(top))))
                    back = f"{folder}/back{number}"
                    times["out"].append(await timed(client.download(NAME, [one.name], back)))
                    _check(top, files)
    return [
        Row("Push a repository", "ms", times["push"], times["in"], TARGET),
        Row("  pull", "ms", times["pull"], times["out"], TARGET),
    ]


def _make_repository(top: Path, one: Path, files: int, size: int) -> None:
    top.mkdir()
    with one.open("wb") as whole:
        for number in range(files):
            data = os.urandom(size)
            (top / f"{number:04}").write_bytes(data)
            whole.write(data)
    _git(top, "init", "--quiet")
    _git(top, "add", ".")
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    _git(top, *identity, "-c", "commit.gpgSign=false", "commit", "--quiet", "--message=All")


def _check(top: Path, files: int) -> None:
    changed = _git(top, "diff", "--name-only", "HEAD", f"sandbox/{NAME}").count(b"\n")
    if changed != files:
        raise ServerFailed(f"{changed} files came back instead of {files}")


def _git(top: Path, *words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=top, capture_output=True, check=True).stdout  # noqa: S607
