"""The last requests, for testers: what was asked by whom, and how it was answered.

It is on the way of every request, so it keeps values as they come and words them when asked. No
key gets in: neither headers nor bodies nor queries are kept, and a path is masked when shown.
"""

import re
from collections import deque
from datetime import datetime
from itertools import islice
from time import perf_counter
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_fakeproxy._clock import Clock, iso
from sandbox_fakeproxy._mint import KEY_PREFIX

CAPACITY = 1000
_ENTRY = "sandbox_fakeproxy.journal"
_PATH_LIMIT = 2000  # bytes; nobody reads more, and a thousand of them stay in memory
_MASK = "***"


class Entry:
    """One request; without a status, it is under way."""

    __slots__ = ("caller", "ended", "method", "path", "route", "started", "status", "time")

    def __init__(self, time: datetime, method: str, path: bytes) -> None:
        self.time = time
        self.method = method
        self.path = path
        self.route: str | None = None
        self.caller: str | None = None
        self.status: int | None = None
        self.started = perf_counter()
        self.ended: float | None = None


class Journal:
    """The last requests in the order of their coming."""

    def __init__(self, clock: Clock, admin_key: str) -> None:
        self._clock = clock
        self._admin_key = admin_key
        self._entries: deque[Entry] = deque(maxlen=CAPACITY)

    def begin(self, scope: Scope) -> Entry:
        """Note a request that comes in; those below `/_fake/` are left out."""
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        entry = Entry(self._clock.now(), scope["method"], path[:_PATH_LIMIT])
        if not path.startswith(b"/_fake/"):
            self._entries.append(entry)
        return entry

    def clear(self) -> None:
        """Forget all requests."""
        self._entries.clear()

    def shown(self, limit: int = CAPACITY) -> list[dict[str, Any]]:
        """Word the last `limit` requests, newest first."""
        return [self._worded(entry) for entry in islice(reversed(list(self._entries)), limit)]

    def _worded(self, entry: Entry) -> dict[str, Any]:
        ended = entry.ended
        return {
            "time": iso(entry.time),
            "method": self._masked(entry.method),
            "path": self._masked_path(entry),
            "route": entry.route,
            "caller": entry.caller,
            "status": entry.status,
            "milliseconds": None if ended is None else round((ended - entry.started) * 1000, 3),
        }

    def _masked_path(self, entry: Entry) -> str:
        path = entry.path.decode("ascii", "backslashreplace")
        # An admin key may be a word of the API's own, such as `admin`.
        literal = set((entry.route or "").split("/"))
        masked = "/".join(
            part if part in literal else self._masked(part) for part in path.split("/")
        )
        if "/" in self._admin_key and self._admin_key in unquote(masked):
            return _MASK
        return masked

    def _masked(self, part: str) -> str:
        # Only a part that holds a key in some encoding loses the rest of what it says, too.
        if KEY_PREFIX in unquote(part) or self._admin_key in unquote(part):
            kept = re.sub(rf"{KEY_PREFIX}[\w-]*", _MASK, part).replace(self._admin_key, _MASK)
            hidden = KEY_PREFIX in unquote(kept) or self._admin_key in unquote(kept)
            return _MASK if hidden or "%" in kept else kept
        return part


class Journaled:
    """Note each request of an app in a journal."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self._app = app
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_ENTRY] = entry = self._journal.begin(scope)

        async def noted(message: Message) -> None:
            if entry.status is None and message["type"] == "http.response.start":
                entry.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            entry.status = entry.status or 500
            raise
        finally:
            entry.ended = perf_counter()


def note_caller(scope: Scope, caller: str) -> None:
    """Note whose key a request carries."""
    entry: Entry | None = scope.get(_ENTRY)
    if entry is not None:
        entry.caller = caller


def note_route(scope: Scope, route: str | None) -> None:
    """Note the route that answers a request; None is a path that has none."""
    entry: Entry | None = scope.get(_ENTRY)
    if entry is not None:
        entry.route = route
