"""The last requests, for testers: what was asked by whom, and how it was answered.

It is on the way of every request, so it keeps values as they come and words them when asked, or
when somebody reads the log. No key gets in: neither headers nor bodies nor queries are kept, and a
path is masked when shown.
"""

import logging
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
LOG = logging.getLogger("sandbox_fakeproxy.requests")  # on INFO, a line for each request
_PATH_LIMIT = 2000  # bytes; nobody reads more, and a thousand of them stay in memory
_MASK = "***"
_ENCODINGS = 10  # of one another; what is encoded more often than that hides something


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
        # In any case of letters: what is nearly a key is too much.
        self._keys = re.compile(rf"{KEY_PREFIX}[\w-]*|{re.escape(admin_key)}", re.IGNORECASE)
        self._entries: deque[Entry] = deque(maxlen=CAPACITY)

    def begin(self, scope: Scope) -> Entry:
        """Note a request that comes in; those below `/_fake/` are left out."""
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        entry = Entry(self._clock.now(), scope["method"], self._cut(path))
        if not path.startswith(b"/_fake/"):
            self._entries.append(entry)
        return entry

    def end(self, entry: Entry) -> None:
        """Note that a request is over."""
        entry.ended = perf_counter()
        if LOG.isEnabledFor(logging.INFO):
            said = self._worded(entry)
            status = said["status"] or "-"  # without one, its caller has left
            LOG.info("%s %s %s %.1f ms", said["method"], said["path"], status, said["milliseconds"])

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
            "path": self._masked_path(entry.path, entry.route),
            "route": entry.route,
            "caller": entry.caller,
            "status": entry.status,
            "milliseconds": None if ended is None else round((ended - entry.started) * 1000, 3),
        }

    def _cut(self, path: bytes) -> bytes:
        """Return what is kept of a path: of a key at the cut, nothing."""
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

    def _masked(self, part: str) -> str:
        # Only a part that holds a key in some encoding loses the rest of what it says, too.
        if not self._holds_key(part):
            return part
        kept = self._keys.sub(_MASK, part)
        return _MASK if "%" in kept or self._holds_key(kept) else kept

    def _holds_key(self, text: str) -> bool:
        """Tell whether a key is in a text as it is, or however often it is encoded."""
        for _ in range(_ENCODINGS):
            if self._keys.search(text):
                return True
            encoded, text = text, unquote(text)
            if text == encoded:
                return False
        return True


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
            self._journal.end(entry)


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
