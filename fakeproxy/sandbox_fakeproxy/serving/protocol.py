"""The server's HTTP/1.1 protocol: uvicorn's, which is based on httptools and has no limits."""

import asyncio
import logging
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sandbox_fakeproxy.http import HEADER_LIMIT, TRANSPORT

HEADER_TIMEOUT = 60.0  # seconds, as in Node.js
_LINGER = 2.0  # seconds between a refusal and the connection's end
_CHUNK = 1024  # bytes parsed at once; no more can be in the parser's buffer without being counted
_HEADERS_TOO_LARGE = b"431 Request Header Fields Too Large"
_REQUEST_TIMEOUT = b"408 Request Timeout"
_NULL_LOGGER = logging.getLogger(f"{__name__}.dropped")
_NULL_LOGGER.disabled = True


class _HeadersTooLarge(Exception):
    """The header fields of a request exceed the limit. Raised to stop the parser."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """Refuse requests with header fields that are too large or arrive too slowly.

    The URL and all field names and values of a request may have `HEADER_LIMIT` bytes, as Node.js
    counts them; trailers after a chunked body are counted separately. Bytes of an incomplete field,
    which the parser buffers, count too, so that no client can fill the memory.

    A request over the limit gets a 431, one with incomplete header fields after `HEADER_TIMEOUT` a
    408. Both have an empty body and end the connection. There is no response to trailers that are
    too large, or to a request that was sent before the response to another.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0  # of the current request's fields, as reported by the parser
        self._buffered_bytes = 0  # received since the parser last called back
        self._has_parsed = False
        self._awaits_headers = True
        self._is_refused = False
        self._timer: asyncio.TimerHandle | None = None
        # Requests without a complete response: the one in progress, and pipelined ones after it.
        self._unanswered: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the timer of the first request."""
        super().connection_made(transport)
        self._update_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify every unanswered request that its client has disconnected."""
        self._stop_timer()
        super().connection_lost(exc)
        # uvicorn notifies the newest request only, which may still wait for the one in progress.
        for cycle in self._unanswered:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, in small chunks while header fields are incomplete."""
        start = 0
        while start < len(data) and not (self._is_refused or self.transport.is_closing()):
            size = _CHUNK if self._awaits_headers else len(data)
            self._feed(data[start : start + size])
            start += size
        self._update_timer()

    def _feed(self, data: bytes) -> None:
        self._has_parsed = False
        super().data_received(data)
        self._buffered_bytes = 0 if self._has_parsed else self._buffered_bytes + len(data)
        if self._header_bytes + self._buffered_bytes > HEADER_LIMIT and not self._is_refused:
            self._refuse(_HEADERS_TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """Send 400, or 431 if the header fields are too large."""
        if self._header_bytes > HEADER_LIMIT:
            self._refuse(_HEADERS_TOO_LARGE)
        else:
            super().send_400_response(msg)

    def abort(self) -> None:
        """Close the connection immediately, without logging that its requests are cancelled."""
        for cycle in self._unanswered:
            cycle.logger = _NULL_LOGGER
        self.transport.abort()

    # Parser callbacks ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Start counting for a new request."""
        self._has_parsed = self._awaits_headers = True
        self._header_bytes = 0
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[TRANSPORT] = self.transport

    def on_url(self, url: bytes) -> None:
        """Count the URL."""
        self._add_header_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header field."""
        self._add_header_bytes(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Add the request to those that wait for a response."""
        self._has_parsed = True
        self._awaits_headers = False
        self._header_bytes = 0
        super().on_headers_complete()
        # An upgrade, which is refused later, leaves the previous cycle or None.
        cycles = [*self._unanswered, self.cycle]
        self._unanswered = [cycle for cycle in dict.fromkeys(cycles) if _is_unanswered(cycle)]

    def on_body(self, body: bytes) -> None:
        """Record progress of the parser, and pass the bytes on."""
        self._has_parsed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Record progress of the parser at the end of a request."""
        self._has_parsed = True
        super().on_message_complete()

    def _add_header_bytes(self, size: int) -> None:
        self._has_parsed = True
        self._header_bytes += size
        if self._header_bytes > HEADER_LIMIT:
            raise _HeadersTooLarge

    # Timeout and refusal ------------------------------------------------------------------------

    def _update_timer(self) -> None:
        """Start the timer if header fields are incomplete, and stop it otherwise."""
        if not self._awaits_headers or self._is_refused:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_TIMEOUT, self._refuse, _REQUEST_TIMEOUT)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes) -> None:
        """Send an empty response and close the connection.

        If another response is in progress, close the connection after it instead.
        """
        self._is_refused = True
        if _is_unanswered(self.cycle):
            self._close_after_response()
            return
        self.transport.write(
            b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status
        )
        # Closing while the client still sends would reset the connection and lose the response.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)

    def _close_after_response(self) -> None:
        if self.cycle.more_body:  # which cannot arrive any more
            self.transport.close()
        else:
            self.cycle.keep_alive = False


def _is_unanswered(cycle: RequestResponseCycle | None) -> bool:
    """Return whether a request has no complete response yet."""
    return cycle is not None and not cycle.response_complete
