"""The middleware that applies armed faults to requests."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_fakeproxy.api.operations import ANY_RUNTIME_PATH, find_pattern
from sandbox_fakeproxy.api.request_log import note_caller, note_fault, note_route
from sandbox_fakeproxy.clock import Clock
from sandbox_fakeproxy.http import TRANSPORT

from .faults import Fault, FaultResponse, Faults

_LARGE_BODY_SIZE = 10 * 1024 * 1024  # bytes
_ELSEWHERE = "https://elsewhere.invalid"
_HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in</body></html>"
_RESET = struct.pack("ii", 1, 0)  # a value of SO_LINGER with which close() sends RST instead of FIN


class FaultInjection:
    """ASGI middleware: apply the first armed fault that is due to a request, or call the app.

    No fault acts on requests below `/_fake/`.
    """

    def __init__(
        self,
        app: ASGIApp,
        faults: Faults,
        clock: Clock,
        find_caller: Callable[[str | None], str | None],
        *,
        ignores_case: bool,
    ) -> None:
        self._app = app
        self._faults = faults
        self._clock = clock
        self._find_caller = find_caller
        self._ignores_case = ignores_case

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one request, with a fault if one is due."""
        # Not a coroutine function: every request passes here, and faults are rare.
        fault = self._find_fault(scope) if self._faults.are_armed else None
        if fault is None:
            return self._app(scope, receive, send)
        return self._inject(fault, scope, receive, send)

    async def _inject(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        self._log(scope, fault)
        if fault.delay:
            await self._wait(fault.delay)
        if fault.response is not None:
            await _build_response(fault.response)(scope, receive, send)
        elif fault.action is None:
            await self._app(scope, receive, send)
        else:
            await _ACTIONS[fault.action](_Request(self._app, scope, receive, send, self._clock))

    def _find_fault(self, scope: Scope) -> Fault | None:
        if scope["type"] != "http" or scope["path"].startswith("/_fake/"):
            return None
        path = scope["path"].removesuffix("/") or "/"
        return self._faults.match(
            scope["method"], path, lambda: self._caller(scope), ignores_case=self._ignores_case
        )

    def _caller(self, scope: Scope) -> str | None:
        return self._find_caller(Headers(scope=scope).get("authorization"))

    def _log(self, scope: Scope, fault: Fault) -> None:
        """Log the fault, the caller and the route, as the request may never reach the app."""
        note_fault(scope, fault.action or ("answer" if fault.response else "delay"))
        caller = self._caller(scope)
        if caller is not None:
            note_caller(scope, caller)
        pattern = find_pattern(scope["path"], ignores_case=self._ignores_case)
        is_forwarded = pattern is not None and pattern.startswith("/proxy/")
        note_route(scope, ANY_RUNTIME_PATH if is_forwarded else pattern)

    async def _wait(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + timedelta(seconds=seconds))


@dataclass(slots=True)
class _Request:
    """A request on which a fault acts, and the app that would handle it."""

    app: ASGIApp
    scope: Scope
    inner_receive: Receive
    send: Send
    clock: Clock
    is_body_read: bool = False

    async def receive(self) -> Message:
        """Receive the next message of the request, for the app or for a fault."""
        message = await self.inner_receive()
        self.is_body_read = not message.get("more_body", False)
        return message

    @property
    def transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self.scope[TRANSPORT]
        return transport

    async def call_app(self) -> "_CapturedResponse":
        """Call the app, and return its complete response."""
        response = _CapturedResponse()
        await self.app(self.scope, self.receive, response.capture)
        await self.read_body()
        return response

    async def respond(self, response: Response) -> None:
        """Send a response instead of the app's."""
        await response(self.scope, self.receive, self.send)

    async def send_half(self, response: "_CapturedResponse") -> None:
        """Send a response's headers, with a length of at least one byte, and half of its body."""
        await self.send(response.start(content_length=max(len(response.body), 1)))
        await self.send(_body_message(response.body[: len(response.body) // 2], more=True))

    async def disconnected(self) -> None:
        """Wait until the client has disconnected or the connection is closed."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def read_body(self) -> None:
        """Read the rest of the body, as closing a connection with unread bytes resets it."""
        while not self.is_body_read:
            await self.receive()

    async def close(self) -> None:
        """Close the connection once all written bytes are sent."""
        self.transport.close()
        await self.disconnected()

    async def reset(self) -> None:
        """Reset the connection, so that the client's next read or write fails."""
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError):  # the client has closed it before
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()
        await self.disconnected()


@dataclass(slots=True)
class _CapturedResponse:
    """A complete response of the app."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    body: bytearray = field(default_factory=bytearray)

    async def capture(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def start(self, content_length: int) -> Message:
        """Return the ASGI message of the status and headers, with this Content-Length."""
        message: Message = {
            "type": "http.response.start",
            "status": self.status,
            "headers": self.headers,
        }
        MutableHeaders(scope=message)["content-length"] = str(content_length)
        return message


async def _reset_before_headers(request: _Request) -> None:
    await request.reset()


async def _reset_in_body(request: _Request) -> None:
    await request.send_half(await request.call_app())
    await request.reset()


async def _drop_after_commit(request: _Request) -> None:
    await request.call_app()
    await request.close()


async def _hang(request: _Request) -> None:
    await request.disconnected()


async def _trickle(request: _Request) -> None:
    """Send the body at one byte per second of the fake's clock, until the client disconnects."""
    response = await request.call_app()
    body = response.body
    await request.send(response.start(content_length=len(body)))
    started = request.clock.now()
    disconnected = asyncio.ensure_future(request.disconnected())
    try:
        for index in range(len(body)):
            due = asyncio.ensure_future(
                request.clock.sleep_until(started + timedelta(seconds=index + 1))
            )
            await asyncio.wait({due, disconnected}, return_when=asyncio.FIRST_COMPLETED)
            due.cancel()
            if disconnected.done():
                return
            more = index + 1 < len(body)
            await request.send(_body_message(body[index : index + 1], more=more))
        if not body:
            await request.send(_body_message(b"", more=False))
    finally:
        disconnected.cancel()


async def _truncate(request: _Request) -> None:
    await request.send_half(await request.call_app())
    await request.close()


async def _not_json(request: _Request) -> None:
    await request.respond(Response(b'{"name": ', media_type="application/json"))


async def _html(request: _Request) -> None:
    await request.respond(Response(_HTML, media_type="text/html"))


async def _large(request: _Request) -> None:
    content = b'{"padding":"' + b"x" * (_LARGE_BODY_SIZE - len(b'{"padding":""}')) + b'"}'
    await request.respond(Response(content, media_type="application/json"))


async def _wrong_type(request: _Request) -> None:
    response = await request.call_app()
    try:
        body = orjson.dumps(_with_wrong_types(json.loads(response.body)))
    except ValueError:
        body = b'["unexpected"]'
    await request.respond(Response(body, response.status, media_type="application/json"))


async def _redirect(request: _Request) -> None:
    scope = request.scope
    query = scope["query_string"].decode("latin-1")
    location = _ELSEWHERE + scope["sent_path"] + (f"?{query}" if query else "")
    await request.respond(Response(status_code=307, headers={"Location": location}))


async def _garbage(request: _Request) -> None:
    await request.read_body()
    request.transport.write(b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n")
    await request.close()


_ACTIONS: Mapping[str, Callable[[_Request], Awaitable[None]]] = {
    "reset-before-headers": _reset_before_headers,
    "reset-in-body": _reset_in_body,
    "drop-after-commit": _drop_after_commit,
    "hang": _hang,
    "trickle": _trickle,
    "truncate": _truncate,
    "not-json": _not_json,
    "html": _html,
    "large": _large,
    "wrong-type": _wrong_type,
    "redirect": _redirect,
    "garbage": _garbage,
}


def _with_wrong_types(value: Any) -> Any:
    """Return JSON with the same fields, each with a value of another type."""
    match value:
        case dict():
            return {name: _with_wrong_types(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]  # JSON
        case list():
            return {"items": value}  # pyright: ignore[reportUnknownVariableType]  # JSON
        case str():
            return len(value)
        case None:
            return ["unexpected"]
        case _:  # a number, true or false
            return "unexpected"


def _build_response(response: FaultResponse) -> Response:
    return Response(
        response.content,
        response.status,
        dict(response.headers),
        media_type=response.media_type,
    )


def _body_message(content: bytes | bytearray, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": bytes(content), "more_body": more}
