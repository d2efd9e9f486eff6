"""One command as processes: a shell in a group of its own, and the pipe that they write to."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from ._output import Output
from ._processes import kill_group

_CHUNK = 65_536
# More than a pipe holds: what the shell wrote is in it when the shell ends, and a background job
# that goes on writing cannot hold up the reply.
_FINAL_CHUNKS = 32


class Execution:
    """A shell command under way.

    stdout and stderr are one pipe, which keeps their order. Background jobs may hold it open after
    the shell has ended: it is read on, so that they do not die of SIGPIPE, and thrown away.
    """

    def __init__(self, process: Process, pipe: int, output: Output) -> None:
        self._process = process
        self._output: Output | None = output
        self._pipe: int | None = pipe
        self.stopped = False
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_reader(pipe, self._read)

    @classmethod
    async def start(
        cls, argv: Sequence[str], cwd: Path, environment: Mapping[str, str], output: Output
    ) -> Self:
        """Start a command.

        Raises:
            OSError: it cannot be started.
        """
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return cls(process, reading, output)

    @property
    def group(self) -> int:
        """Return the process group's number, which is the shell's."""
        return self._process.pid

    @property
    def has_finished(self) -> bool:
        """Tell whether the shell has ended and its output was taken."""
        return self._output is None

    @property
    def is_draining(self) -> bool:
        """Tell whether something still holds the pipe."""
        return self._pipe is not None

    async def finish(self) -> tuple[str, int]:
        """Wait until the shell itself ends; return the output until then, and the exit code."""
        code = await self._process.wait()
        for _ in range(_FINAL_CHUNKS):
            if not self._read():
                break
        assert self._output is not None, "a command finishes once"  # noqa: S101  (for the types)
        text, self._output = self._output.text(), None
        return text, 128 - code if code < 0 else code

    def kill(self) -> bool:
        """Kill the shell and its group; tell whether the shell was still running."""
        if self._process.returncode is not None:
            return False
        kill_group(self.group)
        return True

    def stop(self) -> None:
        """Kill because the sandbox stops: then a command that was running has no outcome."""
        self.stopped = self.kill() or self.stopped

    def release(self) -> None:
        """Stop reading."""
        if self._pipe is not None:
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = None

    def _read(self) -> bool:
        """Read a chunk; tell whether there may be more just now."""
        if self._pipe is None:
            return False
        try:
            chunk = os.read(self._pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self.release()
            return False
        if self._output is not None:
            self._output.feed(chunk)
        return True
