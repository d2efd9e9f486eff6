"""What goes through the proxy to a sandbox's runtime: any method, any path below its name."""

import asyncio
import json
from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope

from ._clock import Clock
from ._controller import Controller
from ._errors import Refusal, vanished
from ._http import is_json, read_body
from ._records import Sandbox, User
from ._runtime import Runtime, RuntimeUnreachable
from ._upstream import ask

# What the fake holds in memory; far above the 100 KB that pass through the deployed proxy.
FORWARDED_LIMIT = 16 * 1024 * 1024
# The key is between the caller and the proxy, and no sandbox may see it; the others are between
# the two ends of one connection.
_KEPT_BACK = frozenset(
    b"authorization connection content-length host keep-alive proxy-authenticate"
    b" proxy-authorization te trailer transfer-encoding upgrade".split()
)


async def read_forwarded(request: Request) -> Request:
    """Read a request that is the runtime's to understand, as the runtime gets it."""
    body = await read_body(request, FORWARDED_LIMIT)
    # The runtime answers a trailing slash by a redirect that the deployed proxy follows.
    path = "/" + request.path_params["path"].removesuffix("/")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": request.scope["query_string"],
        "headers": _forwarded_headers(request, body),
        "client": None,
        "server": None,
        "state": {},
    }
    return Request(scope, _receiving(body))


class Forwarding:
    """The way from a caller to the runtime.

    The runtime is asked first, and then `upstream` for whatever path the runtime does not have.
    An answer may take `time_limit` seconds of the clock; the work goes on after that.
    """

    def __init__(
        self,
        clock: Clock,
        controller: Controller,
        runtime: Runtime,
        *,
        upstream: ASGIApp | None,
        time_limit: float,
    ) -> None:
        self._clock = clock
        self._controller = controller
        self._runtime = runtime
        self._upstream = upstream
        self._time_limit = timedelta(seconds=time_limit)
        self._under_way: set[asyncio.Future[Response]] = set()

    async def forward(self, user: User, sandbox: Sandbox, asked: Request) -> Response:
        """Pass a request on, if the sandbox is ready for it."""
        now = self._clock.now()
        if self._controller.has_vanished(sandbox, now):
            raise vanished(sandbox.name)
        if not self._controller.has_service(sandbox, now):
            raise Refusal(503, "Sandbox service not ready")
        if not self._controller.accepts_commands(sandbox, now):
            raise Refusal(503, "Sandbox not ready")
        asked.scope["server"] = (f"{sandbox.name}.{user.namespace}.svc.cluster.local", 8080)
        # No await between the checks and this, or a pause might pass by.
        answer = self._runtime.answer(sandbox.id, asked)
        return _checked(await self._within_time(self._or_upstream(answer, asked)))

    async def _or_upstream(self, answer: Awaitable[Response | None], asked: Request) -> Response:
        try:
            response = await answer
        except RuntimeUnreachable as exc:
            raise Refusal(502, str(exc)) from exc
        if response is None and self._upstream is not None:
            response = await ask(self._upstream, asked)
        return response or JSONResponse({"detail": "Not Found"}, 404)

    async def _within_time(self, work: Coroutine[Any, Any, Response]) -> Response:
        """Wait for an answer; neither the time's end nor the caller's leaving ends the work."""
        answering = asyncio.ensure_future(work)
        self._under_way.add(answering)
        answering.add_done_callback(self._forget)
        deadline = asyncio.ensure_future(
            self._clock.sleep_until(self._clock.now() + self._time_limit)
        )
        try:
            await asyncio.wait({answering, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
        if answering.done():
            return answering.result()
        seconds = self._time_limit.total_seconds()
        raise Refusal(
            504, f"The sandbox has not answered within {seconds:g} s; what it runs goes on"
        )

    def _forget(self, answering: asyncio.Future[Response]) -> None:
        self._under_way.discard(answering)
        if not answering.cancelled():
            answering.exception()  # nobody may be left to hear it


def _forwarded_headers(request: Request, body: bytes) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in request.headers.raw if name.lower() not in _KEPT_BACK]
    return [*kept, (b"content-length", str(len(body)).encode())]


def _receiving(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _checked(answer: Response) -> Response:
    """Let an answer pass that is what it says it is: JSON where it says nothing else."""
    says = answer.headers.get("content-type", "")
    if says and not is_json(says):
        return answer
    try:
        if isinstance(answer.body, bytes) and answer.body:
            json.loads(answer.body)
    except ValueError as exc:
        raise Refusal(502, "The sandbox has answered something that is not JSON") from exc
    return answer
