"""A service of a tester's own inside the sandboxes: any ASGI app, asked without a socket."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Send

from sandbox_fakeproxy._runtime.interface import RuntimeUnreachable

# The event loop holds tasks weakly; these are nobody's any more once they have answered.
_RUNNING = set[asyncio.Task[None] | None]()
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})


async def ask(app: ASGIApp, request: Request) -> Response:
    """Return what an app answers, whole; what it does after that is its own affair.

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
