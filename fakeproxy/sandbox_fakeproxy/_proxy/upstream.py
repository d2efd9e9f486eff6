"""A service of a tester's own inside the sandboxes: any ASGI app, asked without a socket."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message

from sandbox_fakeproxy._runtime.interface import RuntimeUnreachable

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "upgrade")


async def ask(app: ASGIApp, request: Request) -> Response:
    """Return what an app answers, whole.

    An app that raises or ends without an answer is a service that resets the connection.

    Raises:
        RuntimeUnreachable: no answer came.
    """
    started: Message = {}
    body = bytearray()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            body.extend(message.get("body", b""))

    try:
        await app(request.scope, request.receive, send)
    except Exception as exc:  # whatever it is, to the caller it is a lost connection
        raise RuntimeUnreachable("The sandbox's service broke off without an answer") from exc
    if not started:
        raise RuntimeUnreachable("The sandbox's service ended without an answer")
    response = Response(bytes(body), started["status"])
    response.raw_headers = [
        (name, value) for name, value in started["headers"] if name.lower() != b"content-length"
    ]
    headers = MutableHeaders(raw=response.raw_headers)
    for name in _HOP_BY_HOP:
        del headers[name]
    headers["content-length"] = str(len(body))
    return response
