"""The files of one sandbox over its life: made when first asked for, at rest when it is stopped."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from sandbox_fakeproxy.runtime.api import Handler
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.runtime.paths import HOME, WORK, Place

from .about import about
from .api import file_routes
from .volume import Volume

_AT_ONCE = 4  # calls on one sandbox's files


class Files:
    """The files in /sandbox and /home/gem, which are made on first use."""

    def __init__(self, place: Place) -> None:
        self._volume = Volume({WORK: place.work, HOME: place.home}, owner=place.owner)
        # Its own: slow searches do not hold up other sandboxes.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="files")
        self._halts = 0
        self._running: set[asyncio.Future[Any]] = set()

    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return the routes for one request: they work until the next `halt`."""
        run = partial(self._run, self._halts)
        return {"/v1/sandbox": {"GET": about}, **file_routes(self._volume, run)}

    async def halt(self) -> None:
        """Start no call that was allowed before, and wait for those that have started."""
        self._halts += 1
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, halts: int, call: Callable[[], Any]) -> Any:
        self._check(halts)
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._threads, self._made, halts, call)
        self._running.add(working)
        working.add_done_callback(self._forget)
        return await asyncio.shield(working)

    def _forget(self, working: asyncio.Future[Any]) -> None:
        self._running.discard(working)
        if not working.cancelled():
            working.exception()  # its caller may be gone

    def _made(self, halts: int, call: Callable[[], Any]) -> Any:
        self._check(halts)  # again, as it may have waited for a thread
        self._volume.make()
        return call()

    def _check(self, halts: int) -> None:
        if halts != self._halts:
            raise RuntimeUnreachable("The sandbox was stopped before its files could be reached")
