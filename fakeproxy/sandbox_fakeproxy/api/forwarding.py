"""Forward requests below `/proxy/<name>` to the sandbox's runtime, and return its responses."""

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
from sandbox_fakeproxy.runtime.versions import has_path
from sandbox_fakeproxy.service import Service

# Bytes of a body, which is kept in memory; the deployed proxy forwards no more than 100 KB.
FORWARDED_LIMIT = 16 * 1024 * 1024
# The API key must not reach a sandbox. The other headers concern one connection only.
_WITHHELD_HEADERS = frozenset(
    b"authorization connection content-length host keep-alive proxy-authenticate"
    b" proxy-authorization te trailer transfer-encoding upgrade".split()
)
_HOP_BY_HOP_HEADERS = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})


class RuntimeRequest(Request):
    """A request to a runtime. Its body is in memory, so that it can be sent more than once."""

    def __init__(self, scope: Scope, content: bytes) -> None:
        super().__init__(scope, replayed(content, _wait_forever))
        self.content = content


SendRequest = Callable[[RuntimeRequest], Awaitable[Response]]


def build_request(
    method: str, path: str, *, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> RuntimeRequest:
    """Build a request to a runtime from a percent-encoded `path` and the other parts."""
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
    return RuntimeRequest(scope, body)


def body_of(response: Response) -> bytes:
    """Return the body of a response; empty if it is a stream."""
    body = getattr(response, "body", b"")
    return body if isinstance(body, bytes) else bytes(body)


def parse_json(response: Response) -> object:
    """Parse the body of a response as JSON.

    Raises:
        APIError: 502, the body is not JSON.
    """
    try:
        return json.loads(body_of(response), parse_constant=reject_constant)
    except (ValueError, RecursionError) as exc:
        message = "The sandbox's response is not JSON"
        raise APIError(502, message, Quirk.NO_JSON) from exc


async def _wait_forever() -> Message:
    """Never return `http.disconnect`: a runtime does not learn that the client has disconnected."""
    await asyncio.get_running_loop().create_future()
    return {"type": "http.disconnect"}


# The event loop has weak references only; after its response, nothing else refers to such a task.
_RUNNING_APPS = set[asyncio.Task[None] | None]()


async def call_app(app: ASGIApp, request: Request) -> Response:
    """Return the complete response of an ASGI app; the app may keep running after it.

    Raises:
        RuntimeUnreachable: the app raised or ended before its response was complete, as when a
            service resets the connection.
    """
    start: Message = {}
    body = bytearray()
    completed = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                completed.set()

    app_task = asyncio.ensure_future(_run_app(app, request, send))
    completion = asyncio.ensure_future(completed.wait())
    await asyncio.wait({app_task, completion}, return_when=asyncio.FIRST_COMPLETED)
    completion.cancel()
    if not completed.is_set():
        ending = "failed" if app_task.exception() else "ended"
        raise RuntimeUnreachable(f"The sandbox's service {ending} without a response") from (
            app_task.exception()
        )
    return _build_response(request.method, start, bytes(body))


async def _run_app(app: ASGIApp, request: Request, send: Send) -> None:
    _RUNNING_APPS.add(task := asyncio.current_task())
    try:
        await app(request.scope, request.receive, send)
    finally:
        _RUNNING_APPS.discard(task)


def _build_response(method: str, start: Message, body: bytes) -> Response:
    response = Response(body, start["status"])
    # The Content-Length of a response to HEAD is that of the omitted body.
    is_head = method == "HEAD"
    dropped = _HOP_BY_HOP_HEADERS if is_head else _HOP_BY_HOP_HEADERS | {b"content-length"}
    response.raw_headers = [pair for pair in start["headers"] if pair[0].lower() not in dropped]
    if not is_head:
        response.headers["content-length"] = str(len(body))
    return response


class Forwarding:
    """Forward requests to a sandbox's runtime, which has the paths of the version `runtime_api`.

    A path that the runtime does not have goes to the ASGI app `upstream`. After `time_limit`
    seconds of the clock, the client gets a 504; the work in the sandbox continues.
    """

    def __init__(
        self,
        service: Service,
        *,
        upstream: ASGIApp | None,
        runtime_api: str,
        time_limit: float,
    ) -> None:
        self._service = service
        self._runtime_api = runtime_api
        self._upstream = upstream
        self._time_limit = timedelta(seconds=time_limit)
        self._pending: set[asyncio.Future[Response]] = set()

    async def read(self, request: Request) -> RuntimeRequest:
        """Copy a client's request for the runtime, without the API key.

        Raises:
            APIError: 413, the body exceeds `FORWARDED_LIMIT`.
        """
        # The runtime redirects a path with a trailing slash, and the deployed proxy follows.
        path = "/" + request.path_params["path"].removesuffix("/")
        return build_request(
            request.method,
            path,
            query=request.scope["query_string"],
            headers=[
                pair for pair in request.headers.raw if pair[0].lower() not in _WITHHELD_HEADERS
            ],
            body=await read_body(request, FORWARDED_LIMIT),
        )

    async def process_response(
        self,
        response: Response,
        request: RuntimeRequest,  # noqa: ARG002  (for subclasses)
        send_again: SendRequest,  # noqa: ARG002  (for subclasses)
    ) -> Response:
        """Return the response for the client. Subclasses may send further requests to the sandbox.

        Args:
            response: the runtime's response to `request`.
            request: the request that was sent.
            send_again: sends another request to the same sandbox.

        Raises:
            APIError: 502, the body is not JSON although its content type is JSON or missing.
        """
        content_type = response.headers.get("content-type", "")
        is_plain = response.headers.get("content-encoding", "identity") == "identity"
        claims_json = not content_type or is_json(content_type)
        if is_plain and claims_json and body_of(response):
            parse_json(response)
        return response

    async def forward(self, user: User, sandbox: Sandbox, request: RuntimeRequest) -> Response:
        """Send a request to a sandbox, and return its response.

        Raises:
            APIError: the sandbox is not ready or not reachable, or does not respond in time.
        """
        sandbox = await self._service.after_changes(sandbox)
        pending = self._start_if_ready(user, sandbox, request)

        async def send_again(next_request: RuntimeRequest) -> Response:
            current = self._service.current(sandbox)
            if current is None:
                raise RuntimeUnreachable("The sandbox was deleted during the request")
            return await self._start_if_ready(user, current, next_request)

        return await self._wait_with_limit(self._process(pending, request, send_again))

    def _start_if_ready(
        self, user: User, sandbox: Sandbox, request: RuntimeRequest
    ) -> Coroutine[Any, Any, Response]:
        """Check that the sandbox is ready and call its runtime.

        Both happen without an `await` in between, in which the sandbox could be paused.
        """
        self._service.require_ready(sandbox)
        request.scope["server"] = (f"{sandbox.name}.{user.namespace}.svc.cluster.local", 8080)
        if not has_path(self._runtime_api, request.scope["path"]):
            return self._call_upstream(request)
        return self._with_upstream(self._service.runtime.answer(sandbox.id, request), request)

    async def _with_upstream(
        self, pending: Awaitable[Response | None], request: RuntimeRequest
    ) -> Response:
        return await pending or await self._call_upstream(request)

    async def _process(
        self, pending: Awaitable[Response], request: RuntimeRequest, send_again: SendRequest
    ) -> Response:
        try:
            return await self.process_response(await pending, request, send_again)
        except RuntimeUnreachable as exc:
            raise APIError(502, str(exc), Quirk.UNREACHABLE) from exc

    async def _call_upstream(self, request: RuntimeRequest) -> Response:
        if self._upstream is None:
            return JSONResponse({"detail": "Not Found"}, 404)
        return await call_app(self._upstream, request)

    async def _wait_with_limit(self, work: Coroutine[Any, Any, Response]) -> Response:
        """Return the result of `work`, which continues after the limit or a client's disconnect."""
        task = asyncio.ensure_future(work)
        self._pending.add(task)
        task.add_done_callback(self._discard)
        clock = self._service.clock
        deadline = asyncio.ensure_future(clock.sleep_until(clock.now() + self._time_limit))
        try:
            await asyncio.wait({task, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
        if task.done():
            return task.result()
        seconds = self._time_limit.total_seconds()
        raise APIError(
            504,
            f"The sandbox has not answered within {seconds:g} s; its command continues",
            Quirk.TIME_LIMIT,
        )

    def _discard(self, task: asyncio.Future[Response]) -> None:
        self._pending.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: the client may have disconnected
