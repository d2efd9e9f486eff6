"""A runtime in an event loop of its own, so that commands can outlive the caller's loop."""

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

    A test's event loop ends with the test; without a loop of its own, the runtime would no longer
    read the output of commands that still run. `wrapped` is the runtime itself.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.wrapped = runtime
        self._start_lock = threading.Lock()
        self._has_started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-proxy-runtime", daemon=True)

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Return the runtime's response; requests are begun in the order of the calls."""
        return self._submit(lambda: self.wrapped.answer(sandbox_id, request))

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes, and remove its files except those in /sandbox."""
        await self._submit(lambda: self.wrapped.stop(sandbox_id))

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""
        await self._submit(lambda: self.wrapped.remove(sandbox_id))

    async def close(self) -> None:
        """Kill all processes and start no more."""
        if self._thread.is_alive():
            await self._submit(self.wrapped.close)

    def end(self) -> None:
        """Close the runtime, then stop its loop and join its thread."""
        self._start()
        asyncio.run_coroutine_threadsafe(self.wrapped.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _submit(self, call: Callable[[], Awaitable[_T]]) -> Awaitable[_T]:
        """Make a call in the runtime's loop; the caller's loop awaits its result."""

        async def make_call() -> _T:
            return await call()

        self._start()
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(make_call(), self._loop))

    def _start(self) -> None:
        with self._start_lock:
            if not self._has_started.is_set():
                self._thread.start()
                self._has_started.wait()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=SteadyEventLoop) as runner:
            runner.run(self._run_until_end())

    async def _run_until_end(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._has_started.set()
        await self._stopping.wait()
