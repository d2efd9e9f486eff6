"""Sources without a known size: they are stored before a copy."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import anyio
import pytest
from sandbox_client.errors import LocalFileError
from sandbox_client.files import streams


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


async def test_a_pipe_is_read_to_its_end_under_its_name(tmp_path: Path) -> None:
    pipe, data = tmp_path / "pipe", os.urandom(300_000)
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()

    async with streams.stored([str(pipe)]) as (path,):
        assert Path(path).name == "pipe"
        assert read(path) == data
    writer.join()
    with pytest.raises(FileNotFoundError):
        read(path)


async def test_a_pipe_without_a_writer_can_be_cancelled(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with anyio.move_on_after(0.05) as scope:
        async with streams.stored([str(tmp_path / "pipe")]):
            pytest.fail("the pipe has no writer")
    assert scope.cancelled_caught


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="needs /proc")  # noqa: PTH110
async def test_a_file_of_proc_is_read_to_its_end() -> None:
    async with streams.stored(["/proc/version"]) as (path,):
        assert read(path) == read("/proc/version") != b""


@pytest.mark.skipif(not os.path.exists("/proc/self/pagemap"), reason="needs /proc")  # noqa: PTH110
async def test_a_file_of_proc_without_an_end_is_refused() -> None:
    with pytest.raises(LocalFileError, match=r"pagemap is not copied: .* more than 64 MB"):
        async with streams.stored(["/proc/self/pagemap"]):
            pytest.fail("it has no end")


async def test_other_sources_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "empty").touch()
    (tmp_path / "empty").chmod(0o750)
    sources = [str(tmp_path / "f"), f"{tmp_path}/.", str(tmp_path / "empty")]

    async with streams.stored(sources) as paths:
        assert paths[:2] == sources[:2]
        assert mode(paths[2]) == 0o750


async def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="none cannot be read: No such file or directory"):
        async with streams.stored([str(tmp_path / "none")]):
            pytest.fail("it does not exist")
