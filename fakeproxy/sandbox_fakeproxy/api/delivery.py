"""Pass a request to a sandbox's runtime, or to another app inside it, and the answer back."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope, Send

from sandbox_fakeproxy.errors import Fault, Refusal
from sandbox_fakeproxy.http import is_json, no_constant, read_body, replayed
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable

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


async def read_forwarded(request: Request) -> Outbound:
    """Read a request that is the runtime's to understand, as it was sent but for the key.

    Raises:
        Refusal: 413.
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


async def checked(answer: Response, _sent: Outbound, _again: Ask) -> Response:
    """Check that an answer is JSON, unless it says that it is something else.

    Raises:
        Refusal: 502, it is not.
    """
    says = answer.headers.get("content-type", "")
    is_plain = answer.headers.get("content-encoding", "identity") == "identity"
    if is_plain and (not says or is_json(says)) and body_of(answer):
        parsed(answer)
    return answer


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
        Refusal: 502, it holds none.
    """
    try:
        return json.loads(body_of(answer), parse_constant=no_constant)
    except (ValueError, RecursionError) as exc:
        message = "The sandbox has answered something that is not JSON"
        raise Refusal(502, message, Fault.NO_JSON) from exc


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
