"""The interface of runtimes: for the proxy, an HTTP service per sandbox.

It runs commands really (`local`) or as a test scripts them (`scripted`); both have the AIO
runtime's API (`api`). Requests and replies are Starlette's.
"""

from collections.abc import Awaitable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response


class RuntimeUnreachable(Exception):
    """The runtime is gone, or went while it was asked."""


class Runtime(Protocol):
    """The machine that runs the sandboxes, as the proxy uses it.

    What `answer` does before it returns its awaitable happens in one step with the caller's check
    that the sandbox is ready; a `stop` after that step must not leave a command running.
    """

    def answer(self, sandbox_id: str, request: Request) -> Awaitable[Response | None]:
        """Answer a request below `/proxy/<name>`; None where the runtime has no such path.

        The request is whole: its body does not wait for the caller. It is answered to its end,
        also when the caller has left.

        Raises:
            RuntimeUnreachable: there is no answer to give.
        """
        ...

    async def stop(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes, and keep of its files those in /sandbox."""
        ...

    async def remove(self, sandbox_id: str) -> None:
        """Kill a sandbox's processes and remove its files."""
        ...

    async def close(self) -> None:
        """Kill every process and start no more."""
        ...
