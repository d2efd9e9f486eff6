"""The server's HTTP/1.1 protocol: uvicorn's on httptools, which has no limits of its own."""

import asyncio
import logging
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sandbox_fakeproxy.http import HEADER_LIMIT, TRANSPORT

HEADER_TIMEOUT = 60.0  # seconds, as in Node.js
_LINGER = 2.0  # seconds
_STEP = 1024  # bytes that are parsed at once, and at most kept unparsed without being counted
_TOO_LARGE = b"431 Request Header Fields Too Large"
_TOO_SLOW = b"408 Request Timeout"
_DROPPED = logging.getLogger(f"{__name__}.dropped")
_DROPPED.disabled = True


class _HeadersTooLarge(Exception):
    """The header fields of a request exceed the limit; raised to stop the parser."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """Refuse a request with header fields that are too large or take too long to arrive.

    The limit is `HEADER_LIMIT` bytes for the URL and all field names and values of one request, as
    Node.js counts them; trailers after a chunked body count anew. Bytes that the parser keeps to
    itself, because no field has ended yet, count too: no client fills the memory. A request over
    the limit is 431, one with incomplete header fields after `HEADER_TIMEOUT` is 408. Both
    have an empty body, and the connection ends: without an answer for too large trailers, and for
    a request that came before the answer to another one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counted = 0  # bytes of the fields of this request that the parser has passed on
        self._unparsed = 0  # bytes since the parser has last passed on anything
        self._has_progressed = False
        self._awaits_headers = True
        self._is_refused = False
        self._timer: asyncio.TimerHandle | None = None
        # Requests without a whole response: the running one, and pipelined ones after it.
        self._unanswered: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the timer of the first request."""
        super().connection_made(transport)
        self._limit_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every unanswered request that its caller has left."""
        self._stop_timer()
        super().connection_lost(exc)
        # uvicorn tells the newest request only, which may be one that waits for the running one.
        for cycle in self._unanswered:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse bytes in small steps while header fields are awaited."""
        start = 0
        while start < len(data) and not (self._is_refused or self.transport.is_closing()):
            size = _STEP if self._awaits_headers else len(data)
            self._feed(data[start : start + size])
            start += size
        self._limit_time()

    def _feed(self, data: bytes) -> None:
        self._has_progressed = False
        super().data_received(data)
        self._unparsed = 0 if self._has_progressed else self._unparsed + len(data)
        if self._counted + self._unparsed > HEADER_LIMIT and not self._is_refused:
            self._refuse(_TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """Answer 431 instead if the fields are too large."""
        if self._counted > HEADER_LIMIT:
            self._refuse(_TOO_LARGE)
        else:
            super().send_400_response(msg)

    def drop(self) -> None:
        """End the connection at once; that its requests are cancelled then is not logged."""
        for cycle in self._unanswered:
            cycle.logger = _DROPPED
        self.transport.abort()

    # Parser callbacks ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Start counting for a new request."""
        self._has_progressed = self._awaits_headers = True
        self._counted = 0
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[TRANSPORT] = self.transport

    def on_url(self, url: bytes) -> None:
        """Count the URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header field."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note a request that now waits for its response."""
        self._has_progressed = True
        self._awaits_headers = False
        self._counted = 0
        super().on_headers_complete()
        # An upgrade, which is refused later, leaves the previous cycle or None.
        known = [*self._unanswered, self.cycle]
        self._unanswered = [each for each in dict.fromkeys(known) if _is_under_way(each)]

    def on_body(self, body: bytes) -> None:
        """Note progress, and pass the bytes on."""
        self._has_progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note progress at the end of a request."""
        self._has_progressed = True
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._has_progressed = True
        self._counted += size
        if self._counted > HEADER_LIMIT:
            raise _HeadersTooLarge

    # The end ------------------------------------------------------------------------------------

    def _limit_time(self) -> None:
        """Keep a timer running as long as header fields are awaited."""
        if not self._awaits_headers or self._is_refused:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_TIMEOUT, self._refuse, _TOO_SLOW)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes) -> None:
        """Answer with a status, and close the connection after all responses under way."""
        self._is_refused = True
        if _is_under_way(self.cycle):
            self._end_after_response()
            return
        self.transport.write(
            b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status
        )
        # To close while the client still sends would reset the connection, and lose the answer.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)

    def _end_after_response(self) -> None:
        if self.cycle.more_body:  # which does not arrive any more
            self.transport.close()
        else:
            self.cycle.keep_alive = False


def _is_under_way(cycle: RequestResponseCycle | None) -> bool:
    """Tell whether a request, if there was one, still waits for its response."""
    return cycle is not None and not cycle.response_complete
