"""Copies of many small files, compared with the copy of one file that holds the same bytes."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_client.client import Client
from sandbox_client.config import Config

from tools.bench.measurement import Row, Target
from tools.bench.servers import ServerFailed, fake

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tools.bench.effort import Effort

NAME = "box"
FILES = 400
SIZE = 1_024  # bytes of each file
TARGET = Target("≤", 10)


async def measure(effort: Effort, progress: Callable[[str], None]) -> list[Row]:
    """Copy a directory of small files, and one file of the same size, in and out."""
    return [
        row
        for as_deployed in (False, True)
        for row in await _measure(effort, progress, as_deployed=as_deployed)
    ]


async def _measure(
    effort: Effort, progress: Callable[[str], None], *, as_deployed: bool
) -> list[Row]:
    behavior = "as deployed" if as_deployed else "default"
    progress(f"copies of {FILES} files, {behavior}")
    times: dict[str, list[float]] = {key: [] for key in ("in", "out", "one in", "one out")}
    with tempfile.TemporaryDirectory() as folder:
        tree, one = Path(folder, "tree"), Path(folder, "one")
        _make_files(tree, one)
        async with fake(as_deployed=as_deployed) as proxy:
            config = Config(proxy_url=proxy.url, api_key=await proxy.new_sandbox(NAME))
            async with Client.connect(config) as client:
                await client.run(NAME, "true")
                for number in range(effort.copy_rounds):
                    back = f"{folder}/back{number}"
                    upload, download = client.upload, client.download
                    times["in"].append(await timed(upload(NAME, [str(tree)], f"t{number}")))
                    times["one in"].append(await timed(upload(NAME, [str(one)], f"o{number}")))
                    times["out"].append(await timed(download(NAME, [f"t{number}"], back)))
                    times["one out"].append(
                        await timed(download(NAME, [f"o{number}"], f"{back}-one"))
                    )
                    _check(Path(back))
    name = f"Copy {FILES} files, {behavior}"
    return [
        Row(f"{name}: in", "ms", times["in"], times["one in"], TARGET),
        Row("  out", "ms", times["out"], times["one out"], TARGET),
    ]


def _make_files(tree: Path, one: Path) -> None:
    tree.mkdir()
    with one.open("wb") as whole:
        for number in range(FILES):
            data = os.urandom(SIZE)
            (tree / f"{number:03}.txt").write_bytes(data)
            whole.write(data)


def _check(back: Path) -> None:
    copied = sum(path.stat().st_size == SIZE for path in back.iterdir())
    if copied != FILES:
        raise ServerFailed(f"{copied} files were copied instead of {FILES}")


async def timed(copy: Awaitable[object]) -> float:
    """Await a copy; return the milliseconds."""
    start = time.perf_counter()
    await copy
    return (time.perf_counter() - start) * 1e3
