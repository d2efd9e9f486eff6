"""The base of the local and the scripted runtime: the pods of sandboxes, from start to stop.

The two runtimes differ only in the shells and processes of a pod.
"""

import asyncio
import platform
import shutil
import weakref
from collections.abc import Awaitable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox_fakeproxy.ids import SessionIds

from .api import Routes, route
from .cleanup.temporary import TemporaryDirectory
from .files.api import FileAPI
from .interface import RuntimeUnreachable
from .paths import HOME, WORK, SandboxPaths
from .pipe.api import pipe_routes
from .pipe.sessions import PipeSessions
from .shell.api import shell_routes
from .shell.sessions import Sessions
from .walk import remove_tree

_T = TypeVar("_T")


class Pod:
    """One sandbox between a start and the next stop: the sessions of both APIs, and its file API.

    `routes` are those of the runtime's API; they work until the pod is stopped.
    """

    def __init__(self, sessions: Sessions, pipes: PipeSessions, paths: SandboxPaths) -> None:
        self.sessions = sessions
        self.pipes = pipes
        self._files = FileAPI(paths)
        self.routes: Routes = {
            **shell_routes(sessions),
            **pipe_routes(pipes),
            **self._files.routes(),
            "/v1/sandbox": {"GET": describe_sandbox},
        }

    async def stop(self) -> None:
        """End all sessions, then what they left running, then file operations; start no more."""
        self.pipes.stop()
        await self.sessions.stop()
        await self.end_processes()
        await self._files.stop()

    async def end_processes(self) -> None:
        """Kill the processes that sessions have left behind; by default there are none."""


class PodRuntime:
    """Serve requests to sandboxes; `new_pod` creates a pod at the first request to each.

    Each sandbox has a directory in `root`. Without `root`, that is a temporary directory, which is
    created when it is first needed and removed with this object. With a `seed`, the same requests
    create sessions with the same ids.
    """

    def __init__(self, *, root: Path | None = None, seed: str | None = None) -> None:
        self.closed = False
        # Resolved, as it is compared with working directories of processes: macOS links /tmp.
        self._given_root = None if root is None else root.resolve()
        self._remove_root: weakref.finalize[..., Any] | None = None
        self._session_ids = SessionIds(seed)
        self._pods: dict[str, Pod] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}  # in progress
        self._tasks: set[asyncio.Task[Any]] = set()
        # Starts processes in a thread, so that this does not block the event loop.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox-starter")

    def new_pod(self, sandbox_id: str) -> Pod:
        """Create a pod of a sandbox."""
        raise NotImplementedError

    def paths(self, sandbox_id: str) -> SandboxPaths:
        """Return the directories of a sandbox."""
        return SandboxPaths(self._root / sandbox_id)

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Return the response of the AIO runtime, once a stop in progress has finished."""
        if self.closed:
            return _refuse()
        if sandbox_id not in self._pods:
            self._pods[sandbox_id] = self.new_pod(sandbox_id)
        routes = self._pods[sandbox_id].routes
        return self._complete(_route_after(self._stops.get(sandbox_id), request, routes))

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes, and remove its files except those in /sandbox."""
        await self._stop_pod(sandbox_id)

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""

        async def remove() -> None:
            self._session_ids.forget(sandbox_id)
            await self._stop_pod(sandbox_id)
            if self._has_root:
                await asyncio.to_thread(remove_tree, self._root / sandbox_id)

        await self._complete(remove())

    async def close(self) -> None:
        """Kill all processes and start no more."""
        self.closed = True
        pods = list(self._pods.values())
        self._pods.clear()
        await self._complete(_stop_all(pods))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._starter.shutdown)
        if self._remove_root is not None:
            await asyncio.to_thread(self._remove_root)

    @cached_property
    def _root(self) -> Path:
        """The directory that contains one for each sandbox."""
        if self._given_root is not None:
            return self._given_root
        temporary = TemporaryDirectory()
        self._remove_root = weakref.finalize(self, temporary.remove)  # if it is never closed
        self._starter.submit(temporary.guard)  # in order: runs before the first shell starts
        return temporary.path

    @property
    def _has_root(self) -> bool:
        """Whether the root may exist, and sandboxes may have files."""
        return self._given_root is not None or self._remove_root is not None

    async def _stop_pod(self, sandbox_id: str) -> None:
        pod, earlier_stop = self._pods.pop(sandbox_id, None), self._stops.get(sandbox_id)

        async def stop() -> None:
            try:
                if pod is not None:
                    await pod.stop()
                if earlier_stop is not None:
                    await asyncio.wait({earlier_stop})
                if self._has_root:
                    await asyncio.to_thread(_remove_files_of_pod, self.paths(sandbox_id))
            finally:
                if self._stops[sandbox_id] is task:
                    del self._stops[sandbox_id]

        self._stops[sandbox_id] = task = asyncio.ensure_future(stop())
        await self._complete(task)

    async def _complete(self, work: "Coroutine[Any, Any, _T] | asyncio.Task[_T]") -> _T:
        """Run work in a task of its own, which finishes also if the caller is cancelled."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._discard)
        return await asyncio.shield(task)

    def _discard(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: the caller may be gone


async def _route_after(
    stop: "asyncio.Task[None] | None", request: Request, routes: Routes
) -> Response | None:
    """Route a request once the sandbox's previous pod has stopped, which removes files."""
    if stop is not None:
        await asyncio.wait({stop})
    return await route(request, routes)


async def _stop_all(pods: Collection[Pod]) -> None:
    await asyncio.gather(*(pod.stop() for pod in pods))


async def _refuse() -> Response:
    raise RuntimeUnreachable("The fake proxy is stopping")


def _remove_files_of_pod(paths: SandboxPaths) -> None:
    """Remove the files that a sandbox loses when it stops: its home and its /tmp."""
    for directory in (paths.home, paths.scratch):
        remove_tree(directory)


async def describe_sandbox(_request: Request) -> Response:
    """Return the response to `GET /v1/sandbox`, which has no `data`, unlike the rest of the API."""
    system: dict[str, Any] = {
        "os": platform.system(),
        "os_version": platform.release(),
        "arch": platform.machine(),
        "user": "gem",
        "home_dir": HOME,
        "workspace": WORK,
        "timezone": datetime.now().astimezone().tzname(),
        "occupied_ports": [],
    }
    languages = {"python": _find_program("python3"), "nodejs": _find_program("node")}
    return JSONResponse(
        {
            "success": True,
            "message": "A sandbox of the fake proxy: it runs on the fake's own machine",
            "home_dir": HOME,
            "version": f"fakeproxy-{version('async-remote-agent')}",
            "detail": {"system": system, "runtime": languages, "utils": []},
        }
    )


def _find_program(name: str) -> list[dict[str, Any]]:
    path = shutil.which(name)
    return [] if path is None else [{"ver": None, "bin": path, "alias": [name]}]
