"""A runtime in an event loop of its own, so that commands may outlive the caller's loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from sandbox_fakeproxy.clock import SteadyEventLoop
from sandbox_fakeproxy.runtime.interface import Runtime

_T = TypeVar("_T")


class OwnLoop:
    """Run a runtime in another thread, from the first call until `end`.

    A test's loop ends with the test, and nothing would read the output of a running command.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._is_starting = threading.Lock()
        self._has_started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-proxy-runtime", daemon=True)

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer as the runtime does; calls are begun in their order."""
        return self._there(lambda: self._runtime.answer(sandbox_id, request))

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes, and keep of its files those in /sandbox."""
        await self._there(lambda: self._runtime.stop(sandbox_id))

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""
        await self._there(lambda: self._runtime.remove(sandbox_id))

    async def close(self) -> None:
        """Kill every process and start no more."""
        if self._thread.is_alive():
            await self._there(self._runtime.close)

    def end(self) -> None:
        """Close the runtime, and end its loop."""
        self._start()
        asyncio.run_coroutine_threadsafe(self._runtime.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()

    def _there(self, asking: Callable[[], Awaitable[_T]]) -> Awaitable[_T]:
        """Ask in the runtime's loop, in the order of the calls, and wait in the caller's."""

        async def asked() -> _T:
            return await asking()

        self._start()
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked(), self._loop))

    def _start(self) -> None:
        with self._is_starting:
            if not self._has_started.is_set():
                self._thread.start()
                self._has_started.wait()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=SteadyEventLoop) as runner:
            runner.run(self._until_the_end())

    async def _until_the_end(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_over = asyncio.Event()
        self._has_started.set()
        await self._is_over.wait()
