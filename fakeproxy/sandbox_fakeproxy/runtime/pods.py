"""The pods of a runtime on this machine: their start, their requests, their files and their end.

The local and the scripted runtime differ in the shells of a pod only.
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
from .shell.api import shell_routes
from .shell.sessions import Sessions
from .walk import remove_tree

_T = TypeVar("_T")


class Pod:
    """One sandbox from a start of it to its stop."""

    def __init__(self, sessions: Sessions, paths: SandboxPaths) -> None:
        self.sessions = sessions
        self._files = FileAPI(paths)

    def routes(self) -> Routes:
        """Return the routes for one request; they work until the pod is stopped."""
        return {
            **shell_routes(self.sessions),
            **self._files.routes(),
            "/v1/sandbox": {"GET": describe_sandbox},
        }

    async def stop(self) -> None:
        """End everything in it; from the call on, nothing is started."""
        await self.sessions.stop()
        await self.end_processes()
        await self._files.stop()

    async def end_processes(self) -> None:
        """End the processes that its sessions have left; here there are none."""


class PodRuntime:
    """Answer requests to sandboxes by pods, which `new_pod` makes for the first request to each.

    Each sandbox has a directory in `root`, or in a temporary directory, which is made when it is
    first needed and removed with this object. With a `seed`, the same requests make sessions of the
    same ids.
    """

    def __init__(self, *, root: Path | None = None, seed: str | None = None) -> None:
        self.closed = False
        # The real path, as a process's working directory is compared with it (macOS links /tmp).
        self._given_root = None if root is None else root.resolve()
        self._remove_root: weakref.finalize[..., Any] | None = None
        self._session_ids = SessionIds(seed)
        self._pods: dict[str, Pod] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}  # under way
        self._tasks: set[asyncio.Task[Any]] = set()
        # Starts processes: the event loop does not wait for that.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox-starter")

    def new_pod(self, sandbox_id: str) -> Pod:
        """Return a new pod of a sandbox."""
        raise NotImplementedError

    def paths(self, sandbox_id: str) -> SandboxPaths:
        """Return the directories of a sandbox."""
        return SandboxPaths(self._root / sandbox_id)

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer as the AIO runtime does, once a stop under way is over."""
        if self.closed:
            return _refuse()
        if sandbox_id not in self._pods:
            self._pods[sandbox_id] = self.new_pod(sandbox_id)
        routes = self._pods[sandbox_id].routes()
        return self._finish(_answer(request, routes, after=self._stops.get(sandbox_id)))

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes, and keep of its files those in /sandbox."""
        await self._stop_pod(sandbox_id)

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""

        async def remove() -> None:
            self._session_ids.forget(sandbox_id)
            await self._stop_pod(sandbox_id)
            if self._has_root:
                await asyncio.to_thread(remove_tree, self._root / sandbox_id)

        await self._finish(remove())

    async def close(self) -> None:
        """Kill every process and start no more."""
        self.closed = True
        pods = list(self._pods.values())
        self._pods.clear()
        await self._finish(_stop_all(pods))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._starter.shutdown)
        if self._remove_root is not None:
            await asyncio.to_thread(self._remove_root)

    @cached_property
    def _root(self) -> Path:
        """The directory with one for each sandbox."""
        if self._given_root is not None:
            return self._given_root
        temporary = TemporaryDirectory()
        self._remove_root = weakref.finalize(self, temporary.remove)  # if it is never closed
        self._starter.submit(temporary.guard)  # before the first shell
        return temporary.path

    @property
    def _has_root(self) -> bool:
        """Tell whether there may be files."""
        return self._given_root is not None or self._remove_root is not None

    async def _stop_pod(self, sandbox_id: str) -> None:
        pod, earlier = self._pods.pop(sandbox_id, None), self._stops.get(sandbox_id)

        async def stop() -> None:
            try:
                if pod is not None:
                    await pod.stop()
                if earlier is not None:
                    await asyncio.wait({earlier})
                if self._has_root:
                    await asyncio.to_thread(_remove_files_of_pod, self.paths(sandbox_id))
            finally:
                if self._stops[sandbox_id] is task:
                    del self._stops[sandbox_id]

        self._stops[sandbox_id] = task = asyncio.ensure_future(stop())
        await self._finish(task)

    async def _finish(self, work: "Coroutine[Any, Any, _T] | asyncio.Task[_T]") -> _T:
        """Do work to its end, also if this task is cancelled."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone


async def _answer(
    request: Request, routes: Routes, *, after: "asyncio.Task[None] | None"
) -> Response | None:
    """Answer a request once the sandbox's pod before has stopped, which removes files."""
    if after is not None:
        await asyncio.wait({after})
    return await route(request, routes)


async def _stop_all(pods: Collection[Pod]) -> None:
    await asyncio.gather(*(pod.stop() for pod in pods))


async def _refuse() -> Response:
    raise RuntimeUnreachable("The fake proxy is stopping")


def _remove_files_of_pod(paths: SandboxPaths) -> None:
    """Remove the files that a sandbox loses with its pod: those in its home and its /tmp."""
    for directory in (paths.home, paths.scratch):
        remove_tree(directory)


async def describe_sandbox(_request: Request) -> Response:
    """Answer `GET /v1/sandbox`, flat, unlike the rest of the API."""
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
    languages = {"python": _programs("python3"), "nodejs": _programs("node")}
    return JSONResponse(
        {
            "success": True,
            "message": "A sandbox of the fake proxy: it runs on the fake's own machine",
            "home_dir": HOME,
            "version": f"fakeproxy-{version('async-remote-agent')}",
            "detail": {"system": system, "runtime": languages, "utils": []},
        }
    )


def _programs(name: str) -> list[dict[str, Any]]:
    found = shutil.which(name)
    return [] if found is None else [{"ver": None, "bin": found, "alias": [name]}]
