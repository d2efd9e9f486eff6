"""The log of the last requests: method, path, caller, status and, optionally, bodies.

Every request is logged, so values are stored raw. They are formatted, and keys masked, when they
are shown. Headers are never stored.
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
LOGGED_BODY_LIMIT = 64 * 1024  # bytes; of a larger body, only the size is stored
LOG = logging.getLogger("sandbox_fakeproxy.requests")  # one INFO line for each request

_SCOPE_KEY = "sandbox_fakeproxy.logged_request"  # in the ASGI scope
_PATH_LIMIT = 2000  # bytes
_MASK = "***"
_MAX_DECODINGS = 10  # text that is encoded more often counts as a key
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")  # of a character in JSON
_UNSET: Any = object()


@dataclass(slots=True)
class LoggedRequest:
    """One request. Without a status, it is in progress or ended without a response."""

    time: datetime
    method: str
    path: bytes
    started: float  # as `steady()`
    ended: float | None = None
    query: bytes = b""
    route: str | None = None
    caller: str | None = None
    status: int | None = None
    fault: str | None = None
    bodies: "tuple[_LoggedBody, _LoggedBody] | None" = None


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Conditions on logged requests; None matches any request.

    `route` is a path or a pattern of the API; `since` is a time of the fake's clock. `json` is the
    whole JSON body of a request, and needs a log that stores bodies.
    """

    method: str | None = None
    route: str | None = None
    user: str | None = None
    status: int | None = None
    since: datetime | None = None
    json: Any = _UNSET

    @property
    def needs_bodies(self) -> bool:
        """Whether the log must store bodies for this filter."""
        return self.json is not _UNSET

    def mismatches(self, request: LoggedRequest) -> list[str]:
        """Return the names of the conditions that a request does not meet."""
        checks = {
            "method": self.method in {None, request.method},
            "route": self.route is None or self._matches_route(request),
            "user": self.user in {None, request.caller},
            "status": self.status in {None, request.status},
            "since": self.since is None or request.time >= self.since,
            "json": self.json is _UNSET or _matches_json(request, self.json),
        }
        return [name for name, matches in checks.items() if not matches]

    def _matches_route(self, request: LoggedRequest) -> bool:
        if self.route == request.route:
            return True
        path = request.path.decode("latin-1")
        return compile_pattern(self.route or "").fullmatch(path) is not None


def _matches_json(request: LoggedRequest, expected: object) -> bool:
    if request.bodies is None:
        return False
    sent = request.bodies[0].json()
    return sent is not _UNSET and bool(sent == expected)


class _LoggedBody:
    """The size of a request or response body, and its content up to `LOGGED_BODY_LIMIT`."""

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
        """The body, or None if it is too large."""
        return bytes(self._content) if self.size <= LOGGED_BODY_LIMIT else None

    def json(self) -> Any:
        """Return the parsed body, or `_UNSET` if it is not JSON or cannot be serialized again."""
        with suppress(ValueError, TypeError, RecursionError):
            value = orjson.loads(self.content or b"")
            orjson.dumps(value)
            return value
        return _UNSET


class RequestLog:
    """The last `CAPACITY` requests, in order of arrival."""

    def __init__(self, clock: Clock, admin_key: str, *, keeps_bodies: bool = False) -> None:
        self.keeps_bodies = keeps_bodies
        self._clock = clock
        self._admin_key = admin_key
        # Case-insensitive: text that differs from a key only in case is masked too.
        self._keys = re.compile(rf"{KEY_PREFIX}[\w-]*|{re.escape(admin_key)}", re.IGNORECASE)
        self._requests: deque[LoggedRequest] = deque(maxlen=CAPACITY)
        self._waiters = Waiters()

    def begin(self, scope: Scope) -> LoggedRequest:
        """Log a new request, unless its path is below `/_fake/`."""
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        kept = path if len(path) <= _PATH_LIMIT else self._truncate(path)
        request = LoggedRequest(self._clock.now(), scope["method"], kept, steady())
        if self.keeps_bodies:
            query: bytes = scope["query_string"]
            is_short = len(query) <= _PATH_LIMIT
            # Masked before it is cut, so that no part of a key remains at the cut.
            request.query = query if is_short else self._mask_query(query).encode()[:_PATH_LIMIT]
            request.bodies = (_LoggedBody(), _LoggedBody())
        if not path.startswith(b"/_fake/"):
            self._requests.append(request)
        return request

    def end(self, request: LoggedRequest) -> None:
        """Log that a request has ended."""
        request.ended = steady()
        self._waiters.wake()
        if LOG.isEnabledFor(logging.INFO):
            entry = self._describe(request)
            status = entry["status"] or "-"  # no response was sent
            LOG.info(
                "%s %s %s %.1f ms", entry["method"], entry["path"], status, entry["milliseconds"]
            )

    def clear(self) -> None:
        """Remove all requests."""
        self._requests.clear()

    def find(
        self, limit: int = CAPACITY, wanted: RequestFilter | None = None
    ) -> list[dict[str, Any]]:
        """Describe the last `limit` requests that match a filter, newest first."""
        return [self._describe(request) for request in islice(self._find(wanted), limit)]

    def closest(self, wanted: RequestFilter, limit: int) -> list[tuple[dict[str, Any], list[str]]]:
        """Describe the requests that come closest to a filter, each with its unmet conditions."""
        found = [(request, wanted.mismatches(request)) for request in reversed(self._requests)]
        found.sort(key=lambda pair: len(pair[1]))
        return [(self._describe(request), names) for request, names in found[:limit]]

    async def wait_for(self, wanted: RequestFilter) -> dict[str, Any]:
        """Wait for an ended request that matches a filter, and describe the newest."""
        while True:
            changed = self._waiters.wait()  # before the search, during which a request may end
            for request in self._find(wanted):
                if request.ended is not None:
                    return self._describe(request)
            await changed

    def _find(self, wanted: RequestFilter | None) -> Iterator[LoggedRequest]:
        for request in reversed(list(self._requests)):
            if wanted is None or not wanted.mismatches(request):
                yield request

    def _describe(self, request: LoggedRequest) -> dict[str, Any]:
        ended = request.ended
        entry = {
            "time": iso(request.time),
            "method": self._mask(request.method),
            "path": self._mask_path(request.path, request.route),
            "route": request.route,
            "caller": request.caller,
            "status": request.status,
            "fault": request.fault,
            "milliseconds": None if ended is None else round((ended - request.started) * 1000, 3),
        }
        if request.bodies is None:
            return entry
        request_body, response_body = request.bodies
        return entry | {
            "query": self._mask_query(request.query),
            "request_body": self._mask_body(request_body),
            "request_bytes": request_body.size,
            "response_body": self._mask_body(response_body),
            "response_bytes": response_body.size,
        }

    def _truncate(self, path: bytes) -> bytes:
        """Truncate a path to `_PATH_LIMIT` bytes, masked first so that no part of a key remains."""
        return self._mask_path(path, route="").encode()[:_PATH_LIMIT]

    def _mask_path(self, path: bytes, route: str | None) -> str:
        text = path.decode("ascii", "backslashreplace")
        # An admin key may equal a literal segment of a route, such as `admin`.
        literal = set((route or "").split("/"))
        masked = "/".join(part if part in literal else self._mask(part) for part in text.split("/"))
        return _MASK if "/" in self._admin_key and self._contains_key(masked) else masked

    def _mask_query(self, query: bytes) -> str:
        text = query.decode("ascii", "backslashreplace")
        masked = "&".join(self._mask(part) for part in text.split("&"))
        return _MASK if "&" in self._admin_key and self._contains_key(masked) else masked

    def _mask_body(self, body: _LoggedBody) -> Any:
        """Return a body as JSON or text with keys masked; None if it is empty or too large."""
        if not body.content:
            return None
        parsed = body.json()
        if parsed is not _UNSET:
            return self._mask_json(parsed)
        return self._mask(body.content.decode("utf-8", "backslashreplace"))

    def _mask_json(self, value: Any) -> Any:
        match value:
            case str():
                return self._mask(value)
            case list():
                return [self._mask_json(each) for each in value]  # pyright: ignore[reportUnknownVariableType]  # JSON
            case dict():
                return {
                    self._mask(str(name)): self._mask_json(each)  # pyright: ignore[reportUnknownArgumentType]  # JSON
                    for name, each in value.items()  # pyright: ignore[reportUnknownVariableType]  # JSON
                }
            case int() | float() if self._contains_key(str(value)):
                return _MASK  # an admin key may consist of digits
            case _:
                return value

    def _mask(self, part: str) -> str:
        # If an encoded key would remain, the whole part is masked.
        if not self._contains_key(part):
            return part
        kept = self._keys.sub(_MASK, part)
        return _MASK if "%" in kept or self._contains_key(kept) else kept

    def _contains_key(self, text: str) -> bool:
        """Return whether a text contains a key: plain, percent-encoded or escaped as in JSON."""
        for _ in range(_MAX_DECODINGS):
            if self._keys.search(text):
                return True
            encoded, text = text, _ESCAPE.sub(_unescape, unquote(text))
            if text == encoded:
                return False
        return True


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


class LogRequests:
    """ASGI middleware that logs each request."""

    def __init__(self, app: ASGIApp, log: RequestLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_SCOPE_KEY] = request = self._log.begin(scope)
        if request.bodies is not None:
            receive, send = _record_bodies(request.bodies, receive, send)

        async def send_and_log(message: Message) -> None:
            if request.status is None and message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_log)
        except Exception:
            request.status = request.status or 500
            raise
        finally:
            self._log.end(request)


def _record_bodies(
    bodies: tuple[_LoggedBody, _LoggedBody], receive: Receive, send: Send
) -> tuple[Receive, Send]:
    """Return `receive` and `send` that record both bodies."""
    request_body, response_body = bodies

    async def receive_and_record() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            request_body.add(message)
        return message

    async def send_and_record(message: Message) -> None:
        if message["type"] == "http.response.body":
            response_body.add(message)
        await send(message)

    return receive_and_record, send_and_record


def note_caller(scope: Scope, caller: str) -> None:
    """Log the user of a request's key."""
    request: LoggedRequest | None = scope.get(_SCOPE_KEY)
    if request is not None:
        request.caller = caller


def note_route(scope: Scope, route: str | None) -> None:
    """Log the route of a request; None if no route matches."""
    request: LoggedRequest | None = scope.get(_SCOPE_KEY)
    if request is not None:
        request.route = route


def note_fault(scope: Scope, fault: str) -> None:
    """Log the injected fault that affects a request."""
    request: LoggedRequest | None = scope.get(_SCOPE_KEY)
    if request is not None:
        request.fault = fault
