"""Sources of a copy without a size that is known in advance: pipes, and files of `/proc`.

They are read into a temporary file, so that the copy has a total, and may repeat a piece.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sandbox_client.errors import LocalFileError

from .local import local_errors, measure
from .model import MAX_UNSIZED, UNSIZED, printable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

CHUNK = 64 * 1024  # bytes, as much as a pipe holds


@contextlib.asynccontextmanager
async def stored(sources: Sequence[str]) -> AsyncGenerator[list[str]]:
    """Yield the sources, with the path of a temporary file of the same name for each stream.

    Raises:
        LocalFileError: a source does not exist, or a stream cannot be read.
    """
    with contextlib.ExitStack() as stack:
        paths: list[str] = []
        for source in sources:
            with local_errors(source, "read"):
                status = os.stat(source)  # noqa: PTH116  # Path drops a slash or a dot at the end
                is_stream = stat.S_ISFIFO(status.st_mode)
                has_no_size = stat.S_ISREG(status.st_mode) and status.st_size == 0
                if has_no_size and measure(source) > MAX_UNSIZED:
                    raise LocalFileError(f"{printable(source)} is not copied: {UNSIZED}")
                if is_stream or has_no_size:
                    folder = stack.enter_context(tempfile.TemporaryDirectory())
                    copy = Path(folder, Path(source).name)
                    mode = status.st_mode & 0o777 | 0o400
                    await _store(source, copy, is_pipe=is_stream, mode=mode)
                    paths.append(str(copy))
                else:
                    paths.append(source)
        yield paths


async def _store(source: str, copy: Path, *, is_pipe: bool, mode: int) -> None:
    """Read a stream to its end; a pipe may wait for its writer, and a cancellation ends that."""
    with contextlib.ExitStack() as stack:
        stream = os.open(source, os.O_RDONLY | (os.O_NONBLOCK if is_pipe else 0))
        stack.callback(os.close, stream)
        file = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        stack.callback(os.close, file)
        while True:
            if is_pipe:
                await anyio.wait_readable(stream)
            with contextlib.suppress(BlockingIOError):  # another process has read it
                chunk = os.read(stream, CHUNK)
                if not chunk:
                    break
                while chunk:
                    chunk = chunk[os.write(file, chunk) :]
        if not is_pipe:
            os.fchmod(file, mode)
