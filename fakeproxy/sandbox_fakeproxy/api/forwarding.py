"""Requests below `/proxy/<name>`: to the sandbox's runtime, and the answers back."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Scope, Send

from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import is_json, read_body, reject_constant, replayed
from sandbox_fakeproxy.model import Sandbox, User
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.service import Service

# What the fake holds in memory; far above the 100 KB that pass through the deployed proxy.
FORWARDED_LIMIT = 16 * 1024 * 1024
# The key is between the caller and the proxy, and no sandbox may see it; the others are between
# the two ends of one connection.
_KEPT_BACK = frozenset(
    b"authorization connection content-length host keep-alive proxy-authenticate"
    b" proxy-authorization te trailer transfer-encoding upgrade".split()
)


class Outbound(Request):
    """A request on its way to a runtime; its body is at hand, however often it is sent."""

    def __init__(self, scope: Scope, content: bytes) -> None:
        super().__init__(scope, replayed(content, _stay))
        self.content = content


Ask = Callable[[Outbound], Awaitable[Response]]


def request_of(
    method: str, path: str, *, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> Outbound:
    """Make a request as a runtime gets it. `path` is percent-encoded."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [*headers, (b"content-length", str(len(body)).encode())],
        "client": None,
        "server": None,
        "state": {},
    }
    return Outbound(scope, body)


def body_of(answer: Response) -> bytes:
    """Return the body, where it is not a stream."""
    body = getattr(answer, "body", b"")
    return body if isinstance(body, bytes) else bytes(body)


def parsed(answer: Response) -> object:
    """Return the JSON that an answer holds.

    Raises:
        APIError: 502, it holds none.
    """
    try:
        return json.loads(body_of(answer), parse_constant=reject_constant)
    except (ValueError, RecursionError) as exc:
        message = "The sandbox has answered something that is not JSON"
        raise APIError(502, message, Quirk.NO_JSON) from exc


async def _stay() -> Message:
    """Never leave: whether the caller has left is nothing that a runtime is told."""
    await asyncio.get_running_loop().create_future()
    return {"type": "http.disconnect"}


# The event loop holds tasks weakly, and these have no other owner once they have answered.
_RUNNING = set[asyncio.Task[None] | None]()
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})


async def ask(app: ASGIApp, request: Request) -> Response:
    """Return the whole answer of an app, which may go on after that.

    An app that raises or ends without an answer is a service that resets the connection.

    Raises:
        RuntimeUnreachable: no answer came.
    """
    started: Message = {}
    body = bytearray()
    whole = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                whole.set()

    running = asyncio.ensure_future(_run(app, request, send))
    waiting = asyncio.ensure_future(whole.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not whole.is_set():
        why = "broke off" if running.exception() else "ended"
        raise RuntimeUnreachable(f"The sandbox's service {why} without an answer") from (
            running.exception()
        )
    response = Response(bytes(body), started["status"])
    # The Content-Length of a response to HEAD is that of the body left out.
    dropped = _HOP_BY_HOP if request.method == "HEAD" else _HOP_BY_HOP | {b"content-length"}
    response.raw_headers = [pair for pair in started["headers"] if pair[0].lower() not in dropped]
    if request.method != "HEAD":
        response.headers["content-length"] = str(len(body))
    return response


async def _run(app: ASGIApp, request: Request, send: Send) -> None:
    _RUNNING.add(task := asyncio.current_task())
    try:
        await app(request.scope, request.receive, send)
    finally:
        _RUNNING.discard(task)


class Forwarding:
    """The way from a caller to the runtime.

    The runtime is asked first, and then `upstream` for a path that the runtime does not have.
    An answer may take `time_limit` seconds of the clock; the work goes on after that.
    """

    def __init__(
        self,
        service: Service,
        *,
        upstream: ASGIApp | None,
        time_limit: float,
    ) -> None:
        self._service = service
        self._upstream = upstream
        self._time_limit = timedelta(seconds=time_limit)
        self._under_way: set[asyncio.Future[Response]] = set()

    async def read(self, request: Request) -> Outbound:
        """Read a request, to be sent on as it is but for the key.

        Raises:
            APIError: 413.
        """
        # The runtime answers a trailing slash by a redirect that the deployed proxy follows.
        path = "/" + request.path_params["path"].removesuffix("/")
        return request_of(
            request.method,
            path,
            query=request.scope["query_string"],
            headers=[pair for pair in request.headers.raw if pair[0].lower() not in _KEPT_BACK],
            body=await read_body(request, FORWARDED_LIMIT),
        )

    async def deliver(self, answer: Response, sent: Outbound, again: Ask) -> Response:  # noqa: ARG002  (for subclasses)
        """Pass an answer on, if it is JSON or says that it is something else.

        `again` sends one more request to the same sandbox.

        Raises:
            APIError: 502, it is not.
        """
        says = answer.headers.get("content-type", "")
        is_plain = answer.headers.get("content-encoding", "identity") == "identity"
        if is_plain and (not says or is_json(says)) and body_of(answer):
            parsed(answer)
        return answer

    async def forward(self, user: User, sandbox: Sandbox, asked: Outbound) -> Response:
        """Pass a request on, if the sandbox is ready for it."""
        sandbox = await self._service.after_changes(sandbox)
        answer = self._admitted(user, sandbox, asked)

        async def again(request: Outbound) -> Response:
            current = self._service.current(sandbox)
            if current is None:
                raise RuntimeUnreachable("The sandbox was deleted while it was asked")
            return await self._admitted(user, current, request)

        return await self._within_time(self._delivered(answer, asked, again))

    def _admitted(
        self, user: User, sandbox: Sandbox, asked: Outbound
    ) -> Coroutine[Any, Any, Response]:
        """Check that the sandbox is ready, and ask it in the same step: no pause comes between."""
        self._service.require_ready(sandbox)
        asked.scope["server"] = (f"{sandbox.name}.{user.namespace}.svc.cluster.local", 8080)
        return self._or_upstream(self._service.runtime.answer(sandbox.id, asked), asked)

    async def _or_upstream(self, answer: Awaitable[Response | None], asked: Outbound) -> Response:
        return await answer or await self._ask_upstream(asked)

    async def _delivered(self, answer: Awaitable[Response], sent: Outbound, again: Ask) -> Response:
        try:
            return await self.deliver(await answer, sent, again)
        except RuntimeUnreachable as exc:
            raise APIError(502, str(exc), Quirk.UNREACHABLE) from exc

    async def _ask_upstream(self, request: Outbound) -> Response:
        if self._upstream is None:
            return JSONResponse({"detail": "Not Found"}, 404)
        return await ask(self._upstream, request)

    async def _within_time(self, work: Coroutine[Any, Any, Response]) -> Response:
        """Wait for an answer; neither the time's end nor the caller's leaving ends the work."""
        answering = asyncio.ensure_future(work)
        self._under_way.add(answering)
        answering.add_done_callback(self._forget)
        clock = self._service.clock
        deadline = asyncio.ensure_future(clock.sleep_until(clock.now() + self._time_limit))
        try:
            await asyncio.wait({answering, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
        if answering.done():
            return answering.result()
        seconds = self._time_limit.total_seconds()
        raise APIError(
            504,
            f"The sandbox has not answered within {seconds:g} s; what it runs goes on",
            Quirk.TIME_LIMIT,
        )

    def _forget(self, answering: asyncio.Future[Response]) -> None:
        self._under_way.discard(answering)
        if not answering.cancelled():
            answering.exception()  # its caller may be gone
