"""What starting a command needs, with either API: the machine, the paths, and the preparations."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from sandbox_fakeproxy.runtime.paths import SandboxPaths

from .machine import Machine

LOG = logging.getLogger("sandbox_fakeproxy.sandboxes")


class Launcher:
    """Prepare a sandbox for its commands, and limit how many processes start at the same time.

    `start_limiter` is shared by all sandboxes. `prepare` is called in a thread before each command.
    """

    def __init__(
        self,
        paths: SandboxPaths,
        machine: Machine,
        start_limiter: asyncio.Semaphore,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.paths = paths
        self.machine = machine
        self._start_limiter = start_limiter
        self._prepare = prepare

    @asynccontextmanager
    async def starting(self) -> AsyncGenerator[None]:
        """Create the sandbox's directories, and wait until one more process may start."""
        await asyncio.to_thread(self.paths.create)
        async with self._start_limiter:
            yield

    async def prepare_command(self) -> None:
        """Prepare the sandbox's files for a command, which runs also if that fails."""
        if self._prepare is not None:
            try:
                await asyncio.to_thread(self._prepare)
            except Exception:
                LOG.exception("A sandbox could not be prepared for a command")
