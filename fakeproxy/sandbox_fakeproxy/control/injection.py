"""Let armed faults act on requests, between the server and the API."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
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

from .faults import Fault, FaultAnswer, Faults

_LARGE = 10 * 1024 * 1024  # bytes
_ELSEWHERE = "https://elsewhere.invalid"
_HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in</body></html>"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with which a close sends RST instead of FIN


class FaultInjection:
    """Give each request to the first armed fault that is due, or else to the app.

    Requests below `/_fake/` never meet one.
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
        """Answer one request, with a fault if one is due."""
        # No coroutine of its own: it is on the way of every request, and faults are rare.
        fault = self._take(scope) if self._faults.are_armed else None
        if fault is None:
            return self._app(scope, receive, send)
        return self._inject(fault, scope, receive, send)

    async def _inject(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        self._log(scope, fault)
        if fault.delay:
            await self._wait(fault.delay)
        if fault.answer is not None:
            await _response(fault.answer)(scope, receive, send)
        elif fault.action is None:
            await self._app(scope, receive, send)
        else:
            await _ACTIONS[fault.action](_Request(self._app, scope, receive, send, self._clock))

    def _take(self, scope: Scope) -> Fault | None:
        if scope["type"] != "http" or scope["path"].startswith("/_fake/"):
            return None
        path = scope["path"].removesuffix("/") or "/"
        return self._faults.take(
            scope["method"], path, lambda: self._caller(scope), ignores_case=self._ignores_case
        )

    def _caller(self, scope: Scope) -> str | None:
        return self._find_caller(Headers(scope=scope).get("authorization"))

    def _log(self, scope: Scope, fault: Fault) -> None:
        """Log the caller and the route, as the app may never get the request."""
        note_fault(scope, fault.action or ("answer" if fault.answer else "delay"))
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
    """A request that meets a fault, and the app that would answer it."""

    app: ASGIApp
    scope: Scope
    source: Receive
    send: Send
    clock: Clock
    is_read: bool = False  # as far as its body goes

    async def receive(self) -> Message:
        """Receive the next part of the request, for the app or for a fault."""
        message = await self.source()
        self.is_read = not message.get("more_body", False)
        return message

    @property
    def transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self.scope[TRANSPORT]
        return transport

    async def answer(self) -> "_CapturedAnswer":
        """Let the app do its work, and return its whole answer."""
        answer = _CapturedAnswer()
        await self.app(self.scope, self.receive, answer.take)
        await self.read_body()
        return answer

    async def respond(self, response: Response) -> None:
        """Send a response in place of the app's."""
        await response(self.scope, self.receive, self.send)

    async def send_half(self, answer: "_CapturedAnswer") -> None:
        """Send the headers of an answer, which promise at least a byte, and half of its body."""
        await self.send(answer.start(promised=max(len(answer.body), 1)))
        await self.send(_body(answer.body[: len(answer.body) // 2], more=True))

    async def disconnected(self) -> None:
        """Return once the client has left, or the connection has ended."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def read_body(self) -> None:
        """Read the rest of the request's body: a close before its end would be a reset."""
        while not self.is_read:
            await self.receive()

    async def close(self) -> None:
        """Close the connection once all written bytes are sent."""
        self.transport.close()
        await self.disconnected()

    async def reset(self) -> None:
        """Reset the connection, so that the client's next read or write fails."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()
        await self.disconnected()


@dataclass(slots=True)
class _CapturedAnswer:
    """An answer that the app has given, as a whole."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    body: bytearray = field(default_factory=bytearray)

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def start(self, promised: int) -> Message:
        """Return the message of its status and headers; they promise a number of bytes."""
        message: Message = {
            "type": "http.response.start",
            "status": self.status,
            "headers": self.headers,
        }
        MutableHeaders(scope=message)["content-length"] = str(promised)
        return message


async def _reset_before_headers(request: _Request) -> None:
    await request.reset()


async def _reset_in_body(request: _Request) -> None:
    await request.send_half(await request.answer())
    await request.reset()


async def _drop_after_commit(request: _Request) -> None:
    await request.answer()
    await request.close()


async def _hang(request: _Request) -> None:
    await request.disconnected()


async def _trickle(request: _Request) -> None:
    answer = await request.answer()
    await request.send(answer.start(promised=len(answer.body)))
    started = request.clock.now()
    left = asyncio.ensure_future(request.disconnected())
    try:
        for number in range(len(answer.body)):
            moment = started + timedelta(seconds=number + 1)
            second = asyncio.ensure_future(request.clock.sleep_until(moment))
            await asyncio.wait({second, left}, return_when=asyncio.FIRST_COMPLETED)
            second.cancel()
            if left.done():
                return
            more = number + 1 < len(answer.body)
            await request.send(_body(answer.body[number : number + 1], more=more))
        if not answer.body:
            await request.send(_body(b"", more=False))
    finally:
        left.cancel()


async def _truncate(request: _Request) -> None:
    await request.send_half(await request.answer())
    await request.close()


async def _not_json(request: _Request) -> None:
    await request.respond(Response(b'{"name": ', media_type="application/json"))


async def _html(request: _Request) -> None:
    await request.respond(Response(_HTML, media_type="text/html"))


async def _large(request: _Request) -> None:
    content = b'{"padding":"' + b"x" * (_LARGE - len(b'{"padding":""}')) + b'"}'
    await request.respond(Response(content, media_type="application/json"))


async def _wrong_type(request: _Request) -> None:
    answer = await request.answer()
    try:
        body = orjson.dumps(_with_wrong_types(json.loads(answer.body)))
    except ValueError:
        body = b'["unexpected"]'
    await request.respond(Response(body, answer.status, media_type="application/json"))


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
    """Return JSON of the same fields in which every value has another type."""
    match value:
        case dict():
            return {name: _with_wrong_types(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]  # JSON
        case list():
            return {"items": value}  # pyright: ignore[reportUnknownVariableType]  # JSON
        case str():
            return len(value)
        case None:
            return ["unexpected"]
        case _:  # a number, true or false
            return "unexpected"


def _response(answer: FaultAnswer) -> Response:
    return Response(
        answer.content, answer.status, dict(answer.headers), media_type=answer.media_type
    )


def _body(content: bytes | bytearray, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": bytes(content), "more_body": more}
