"""The log of the last requests: their method, path, caller and answer, and their bodies on demand.

Every request is logged, so values are kept as they come and are only formatted when they are shown.
Keys are masked then; headers are never kept.
"""

import logging
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_fakeproxy.clock import Clock, Waiters, iso, steady
from sandbox_fakeproxy.ids import KEY_PREFIX

from .operations import compile_pattern

CAPACITY = 1000
LOGGED_BODY_LIMIT = 64 * 1024  # bytes; of a larger body, only the size is kept
LOG = logging.getLogger("sandbox_fakeproxy.requests")  # on INFO, a line for each request

_REQUEST = "sandbox_fakeproxy.logged_request"  # the key of a scope
_PATH_LIMIT = 2000  # bytes
_MASK = "***"
_ENCODINGS = 10  # of one another; text that is encoded more often is taken for a key
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")  # a character in JSON
_ANY: Any = object()


class LoggedRequest:
    """One request; without a status, it is under way or was never answered."""

    __slots__ = (
        *("bodies", "caller", "ended", "fault", "method", "path", "query", "route"),
        *("started", "status", "time"),
    )

    def __init__(self, time: datetime, method: str, path: bytes) -> None:
        self.time = time
        self.method = method
        self.path = path
        self.query = b""
        self.route: str | None = None
        self.caller: str | None = None
        self.status: int | None = None
        self.fault: str | None = None
        self.started = steady()
        self.ended: float | None = None
        self.bodies: tuple[_LoggedBody, _LoggedBody] | None = None


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which logged requests are meant; a field that is None means any.

    `route` is a path or a pattern of the API; `since` is a time of the fake's clock. `json` is the
    whole JSON body of a request, and needs a log that keeps bodies.
    """

    method: str | None = None
    route: str | None = None
    user: str | None = None
    status: int | None = None
    since: datetime | None = None
    json: Any = _ANY

    @property
    def needs_bodies(self) -> bool:
        """Tell whether a log without bodies cannot answer."""
        return self.json is not _ANY

    def mismatches(self, request: LoggedRequest) -> list[str]:
        """Return the names of the fields that do not fit a request."""
        fits = {
            "method": self.method in {None, request.method},
            "route": self.route is None or self._fits_route(request),
            "user": self.user in {None, request.caller},
            "status": self.status in {None, request.status},
            "since": self.since is None or request.time >= self.since,
            "json": self.json is _ANY or _fits_json(request, self.json),
        }
        return [name for name, is_fit in fits.items() if not is_fit]

    def _fits_route(self, request: LoggedRequest) -> bool:
        if self.route == request.route:
            return True
        path = request.path.decode("latin-1")
        return compile_pattern(self.route or "").fullmatch(path) is not None


def _fits_json(request: LoggedRequest, expected: object) -> bool:
    if request.bodies is None:
        return False
    sent = request.bodies[0].json()
    return sent is not _ANY and bool(sent == expected)


class _LoggedBody:
    """The body of a request or an answer, as far as it is kept."""

    __slots__ = ("_content", "size")

    def __init__(self) -> None:
        self._content = bytearray()
        self.size = 0

    def add(self, message: Message) -> None:
        content = message.get("body", b"")
        self.size += len(content)
        if self.size <= LOGGED_BODY_LIMIT:
            self._content += content
        else:
            self._content.clear()

    @property
    def content(self) -> bytes | None:
        """Return the body; None if it is too large."""
        return bytes(self._content) if self.size <= LOGGED_BODY_LIMIT else None

    def json(self) -> Any:
        """Return the JSON in it, or `_ANY` if there is none that a reply could repeat."""
        with suppress(ValueError, TypeError, RecursionError):
            value = orjson.loads(self.content or b"")
            orjson.dumps(value)
            return value
        return _ANY


class RequestLog:
    """The last requests, in the order in which they came."""

    def __init__(self, clock: Clock, admin_key: str, *, keeps_bodies: bool = False) -> None:
        self.keeps_bodies = keeps_bodies
        self._clock = clock
        self._admin_key = admin_key
        # A text that differs from a key in the case of its letters is masked too.
        self._keys = re.compile(rf"{KEY_PREFIX}[\w-]*|{re.escape(admin_key)}", re.IGNORECASE)
        self._requests: deque[LoggedRequest] = deque(maxlen=CAPACITY)
        self._waiters = Waiters()

    def begin(self, scope: Scope) -> LoggedRequest:
        """Log a request that comes in; those below `/_fake/` are left out."""
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        request = LoggedRequest(self._clock.now(), scope["method"], self._cut(path))
        if self.keeps_bodies:
            request.query = scope["query_string"][:_PATH_LIMIT]
            request.bodies = (_LoggedBody(), _LoggedBody())
        if not path.startswith(b"/_fake/"):
            self._requests.append(request)
        return request

    def end(self, request: LoggedRequest) -> None:
        """Log that a request is over."""
        request.ended = steady()
        self._waiters.wake()
        if LOG.isEnabledFor(logging.INFO):
            said = self._describe(request)
            status = said["status"] or "-"  # it was never answered
            LOG.info("%s %s %s %.1f ms", said["method"], said["path"], status, said["milliseconds"])

    def clear(self) -> None:
        """Forget all requests."""
        self._requests.clear()

    def find(
        self, limit: int = CAPACITY, chosen: RequestFilter | None = None
    ) -> list[dict[str, Any]]:
        """Describe the last `limit` requests that fit a filter, the newest first."""
        return [self._describe(request) for request in islice(self._find(chosen), limit)]

    def closest(self, chosen: RequestFilter, limit: int) -> list[tuple[dict[str, Any], list[str]]]:
        """Describe the requests that fit a filter best, each with the fields that do not fit."""
        found = [(request, chosen.mismatches(request)) for request in reversed(self._requests)]
        found.sort(key=lambda each: len(each[1]))
        return [(self._describe(request), names) for request, names in found[:limit]]

    async def wait_for(self, chosen: RequestFilter) -> dict[str, Any]:
        """Return the newest request that fits a filter and is over, once there is one."""
        while True:
            changed = self._waiters.wait()  # before looking, as a request may end meanwhile
            for request in self._find(chosen):
                if request.ended is not None:
                    return self._describe(request)
            await changed

    def _find(self, chosen: RequestFilter | None) -> Iterator[LoggedRequest]:
        for request in reversed(list(self._requests)):
            if chosen is None or not chosen.mismatches(request):
                yield request

    def _describe(self, request: LoggedRequest) -> dict[str, Any]:
        ended = request.ended
        described = {
            "time": iso(request.time),
            "method": self._masked(request.method),
            "path": self._masked_path(request.path, request.route),
            "route": request.route,
            "caller": request.caller,
            "status": request.status,
            "fault": request.fault,
            "milliseconds": None if ended is None else round((ended - request.started) * 1000, 3),
        }
        if request.bodies is None:
            return described
        sent, answered = request.bodies
        return described | {
            "query": self._masked_query(request.query),
            "request_body": self._masked_body(sent),
            "request_bytes": sent.size,
            "response_body": self._masked_body(answered),
            "response_bytes": answered.size,
        }

    def _cut(self, path: bytes) -> bytes:
        """Return the kept start of a path, without any part of a key at the cut."""
        if len(path) <= _PATH_LIMIT:
            return path
        return self._masked_path(path, route="").encode()[:_PATH_LIMIT]

    def _masked_path(self, path: bytes, route: str | None) -> str:
        text = path.decode("ascii", "backslashreplace")
        # An admin key may be a word of the API's own, such as `admin`.
        literal = set((route or "").split("/"))
        masked = "/".join(
            part if part in literal else self._masked(part) for part in text.split("/")
        )
        return _MASK if "/" in self._admin_key and self._holds_key(masked) else masked

    def _masked_query(self, query: bytes) -> str:
        text = query.decode("ascii", "backslashreplace")
        masked = "&".join(self._masked(part) for part in text.split("&"))
        return _MASK if "&" in self._admin_key and self._holds_key(masked) else masked

    def _masked_body(self, body: _LoggedBody) -> Any:
        """Return a body as JSON or as text; None if it is empty or too large."""
        if not body.content:
            return None
        parsed = body.json()
        if parsed is not _ANY:
            return self._masked_json(parsed)
        return self._masked(body.content.decode("utf-8", "backslashreplace"))

    def _masked_json(self, value: Any) -> Any:
        match value:
            case str():
                return self._masked(value)
            case list():
                return [self._masked_json(each) for each in value]  # pyright: ignore[reportUnknownVariableType]  # JSON
            case dict():
                return {
                    self._masked(str(name)): self._masked_json(each)  # pyright: ignore[reportUnknownArgumentType]  # JSON
                    for name, each in value.items()  # pyright: ignore[reportUnknownVariableType]  # JSON
                }
            case _:
                return value

    def _masked(self, part: str) -> str:
        # A part that holds a key in some encoding is masked as a whole.
        if not self._holds_key(part):
            return part
        kept = self._keys.sub(_MASK, part)
        return _MASK if "%" in kept or self._holds_key(kept) else kept

    def _holds_key(self, text: str) -> bool:
        """Tell whether a key is in a text, percent-encoded or escaped as in JSON or not."""
        for _ in range(_ENCODINGS):
            if self._keys.search(text):
                return True
            encoded, text = text, _ESCAPE.sub(_unescaped, unquote(text))
            if text == encoded:
                return False
        return True


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


class LogRequests:
    """Log each request of an app."""

    def __init__(self, app: ASGIApp, log: RequestLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_REQUEST] = request = self._log.begin(scope)
        if request.bodies is not None:
            receive, send = _kept(request.bodies, receive, send)

        async def logged(message: Message) -> None:
            if request.status is None and message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, logged)
        except Exception:
            request.status = request.status or 500
            raise
        finally:
            self._log.end(request)


def _kept(
    bodies: tuple[_LoggedBody, _LoggedBody], receive: Receive, send: Send
) -> tuple[Receive, Send]:
    """Return `receive` and `send` that keep the bodies."""
    sent, answered = bodies

    async def received() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            sent.add(message)
        return message

    async def kept(message: Message) -> None:
        if message["type"] == "http.response.body":
            answered.add(message)
        await send(message)

    return received, kept


def note_caller(scope: Scope, caller: str) -> None:
    """Log the user of a request's key."""
    request: LoggedRequest | None = scope.get(_REQUEST)
    if request is not None:
        request.caller = caller


def note_route(scope: Scope, route: str | None) -> None:
    """Log the route that answers a request; None is a path that has none."""
    request: LoggedRequest | None = scope.get(_REQUEST)
    if request is not None:
        request.route = route


def note_fault(scope: Scope, fault: str) -> None:
    """Log the fault that a request meets."""
    request: LoggedRequest | None = scope.get(_REQUEST)
    if request is not None:
        request.fault = fault
