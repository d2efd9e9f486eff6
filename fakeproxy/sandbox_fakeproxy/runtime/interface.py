"""The interface of runtimes: to the proxy, a runtime is one HTTP service per sandbox.

Two runtimes implement it: `local` runs commands as processes, `scripted` plays a test's script.
Both serve the AIO runtime's API (`api`). Requests and responses are Starlette's.
"""

from collections.abc import Awaitable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response


class RuntimeUnreachable(Exception):
    """The runtime has stopped, or stopped before it could respond."""


class Runtime(Protocol):
    """The machine that runs the sandboxes, as the proxy uses it.

    `answer` is a plain function that returns an awaitable. Its part before the return runs in one
    step with the caller's check that the sandbox is ready; after a `stop` that follows this step,
    no command of the request may be left running.
    """

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Return the response to a request below `/proxy/<name>`; None if no route matches.

        The body of the request has been received in full. The request is handled to its end, also
        if the client disconnects.

        Raises:
            RuntimeUnreachable: the runtime cannot respond.
        """
        ...

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes, and remove its files except those in /sandbox."""
        ...

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""
        ...

    async def close(self) -> None:
        """Kill all processes and start no more."""
        ...
