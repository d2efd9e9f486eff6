"""The HTTP client of a run: the only module that uses httpx."""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import perf_counter
from typing import Any, Self
from urllib.parse import quote

import httpx
import truststore

from .exchange import Exchange, Redactor
from .expect import NoAnswer, Reply
from .interleaving import ASGIApp, Interleaved

Observer = Callable[[Exchange], None]
UnansweredObserver = Callable[[str, str, Mapping[str, str], bytes], None]
_TIMEOUT = 60.0  # seconds from a request to the last byte of its answer
_CONNECT_TIMEOUT = 10.0
_SIZE_LIMIT = 16 * 1024 * 1024  # bytes of an answer's body, decompressed
# Longer than the proxy's own 300 s, so that its answer to a command that takes longer is seen.
LONG = 330.0
_PATIENCE = 5  # requests in a row without an answer
_LAST_PORT = 65_535
_LAST_WORDS = 5.0  # seconds
# Once a run was interrupted. The first request that takes as long is the last one that is sent.
_INTERRUPTED_TIMEOUT = 10.0


class Unreachable(Exception):
    """No connection to the target; the message gives the reason and advice."""


class NoAddress(ValueError):
    """A text is no address that could be asked; the message says why."""


def check_address(url: str) -> None:
    """Refuse an invalid address.

    Raises:
        NoAddress: it is invalid.
    """
    try:
        port = httpx.URL(url).port
    except httpx.InvalidURL as exc:
        raise NoAddress(str(exc)) from exc
    if port is not None and not 0 < port <= _LAST_PORT:
        raise NoAddress(f"its port is {port}, expected 1 to {_LAST_PORT}")


class HttpClient:
    """A client for one target.

    `observers` are called with each exchange, `unanswered_observers` with the method, path,
    headers and body of each request that may have had its effect although no answer came.
    """

    def __init__(
        self, base_url: str, app: ASGIApp | None, redactor: Redactor | None = None
    ) -> None:
        self.redactor = redactor or Redactor()
        self.base_url = base_url.rstrip("/")
        self._app = None if app is None else Interleaved(app)
        self._client: httpx.AsyncClient | None = None
        self.observers: list[Observer] = []
        self.unanswered_observers: list[UnansweredObserver] = []
        self._is_doubtful = False
        self._unanswered = 0  # requests in a row
        self._is_interrupted = False
        self._has_given_up = False

    def interrupt(self) -> None:
        """Shorten the timeout of later requests, and send nothing more after one timeout."""
        self._is_interrupted = True

    async def give_up_if_gone(self) -> str:
        """Return why the target is gone, and send nothing more to it; or return nothing.

        After a request that was not answered, this asks for the health check. A target that answers
        this alone is gone, too.
        """
        if not self._is_doubtful or self._has_given_up:
            return ""
        unanswered, self._is_doubtful = self._unanswered, False
        if unanswered >= _PATIENCE:
            self._has_given_up = True
            return f"{unanswered} requests in a row were not answered"
        try:
            await Caller(self)("GET", "/health", seconds=_INTERRUPTED_TIMEOUT)
        except (NoAnswer, Unreachable) as exc:
            self._has_given_up = True
            return str(exc)
        self._unanswered = unanswered
        return ""

    def try_again(self) -> None:
        """Send requests again, although the target was gone, until one is not answered."""
        self._is_interrupted = True
        self._has_given_up = False

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None,
        json: Any,
        files: Any,
        seconds: float | None,
    ) -> Reply:
        """Send a request and return its answer, which may take `seconds` as a whole.

        Raises:
            NoAnswer: the target took the request and sent no whole answer in time, or one of more
                than 16 MB.
            Unreachable: the target is not there.
        """
        expected = f"an answer to {method} {path}"
        if self._has_given_up:
            raise NoAnswer(expected, "none: not sent, since an earlier request was not answered")
        limit = _TIMEOUT if seconds is None else seconds
        if self._is_interrupted:
            limit = min(limit, _INTERRUPTED_TIMEOUT)
        client = self._opened()
        request = client.build_request(
            method,
            self._url(path),
            headers=dict(headers),
            content=content,
            json=json,
            files=files,
            timeout=httpx.Timeout(limit, connect=min(limit, _CONNECT_TIMEOUT)),
        )
        sent = await request.aread()
        started = perf_counter()
        try:
            answer, body = await self._answer(client, request, limit, expected)
        except Unreachable:
            self._note_unanswered()
            raise
        except _AnsweredAfterCancellation as exc:
            self._observe(request, method, path, sent, exc.answer, perf_counter() - started)
            raise
        except BaseException:  # cancelled, too
            self._note_unanswered()
            for observe in self.unanswered_observers:
                observe(method, path, _known(request.headers), sent)
            raise
        taken = perf_counter() - started
        return Reply(self._observe(request, method, path, sent, (answer, body), taken))

    def _note_unanswered(self) -> None:
        self._is_doubtful = True
        self._unanswered += 1

    def _observe(
        self,
        request: httpx.Request,
        method: str,
        path: str,
        sent: bytes,
        answered: tuple[httpx.Response, bytes],
        seconds: float,
    ) -> Exchange:
        self._unanswered = 0
        answer, body = answered
        exchange = Exchange(
            method=method,
            path=path,
            request_headers=_known(request.headers),
            request_body=sent,
            status=answer.status_code,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=body,
            seconds=seconds,
            redactor=self.redactor,
        )
        for observer in self.observers:
            observer(exchange)
        return exchange

    async def _answer(
        self, client: httpx.AsyncClient, request: httpx.Request, limit: float, expected: str
    ) -> tuple[httpx.Response, bytes]:
        started = perf_counter()
        is_creation = request.method == "POST" and request.url.path.startswith("/api/")
        try:
            return await _to_the_end(_exchange(client, request, limit), is_creation=is_creation)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as exc:
            why = f"{type(exc).__name__}: {exc}".removesuffix(": ")
            message = f"nothing answers at {self.base_url} ({why}). {_advice(why)}"
            raise Unreachable(message) from exc
        except _AnswerTooLong as exc:
            raise NoAnswer(f"{expected} of at most {_SIZE_LIMIT >> 20} MB", "more") from exc
        except (httpx.TimeoutException, TimeoutError) as exc:
            self._has_given_up = self._is_interrupted
            taken = perf_counter() - started
            raise NoAnswer(expected, f"no complete one within {taken:.1f} s") from exc
        except httpx.RequestError as exc:
            taken = perf_counter() - started
            raise NoAnswer(expected, f"{type(exc).__name__} after {taken:.1f} s") from exc

    async def race(self, seed: int, *requests: Awaitable[Reply]) -> list[Reply]:
        """Send requests at the same time, and return their answers in the same order.

        For an app in process, the seed decides the order of the requests' steps.
        """
        if self._app is None:
            return list(await asyncio.gather(*requests))
        async with self._app.in_order_of(seed):
            return list(await asyncio.gather(*requests))

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    @cached_property
    def _base(self) -> httpx.URL:
        return httpx.URL(self.base_url)

    def _url(self, path: str) -> httpx.URL:
        """Return the address of a path, which is sent as it is written, %2F and all."""
        return self._base.copy_with(raw_path=self._base.raw_path.rstrip(b"/") + path.encode())

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            # Neither proxies nor redirects: a key goes to the target and nowhere else. No cookies:
            # one caller's would go with another's key.
            cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
            self._client = httpx.AsyncClient(
                transport=self._transport(), trust_env=False, cookies=cookies
            )
        return self._client

    def _transport(self) -> httpx.AsyncBaseTransport:
        if self._app is None:
            return _NetworkTransport(_trust())
        return httpx.ASGITransport(self._app, raise_app_exceptions=False)


class _NetworkTransport(httpx.AsyncBaseTransport):
    """Send requests over the network, those with blanks around a header's value too.

    httpx refuses to send such a request, and `http.client` does not.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._pool = httpx.AsyncHTTPTransport(verify=trust, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if any(value != value.strip() for _, value in request.headers.raw):
            connection = _connection(request, self._trust)
            try:
                return await asyncio.to_thread(_send_verbatim, connection, request)
            except asyncio.CancelledError:
                _abort(connection)  # a thread cannot be cancelled
                raise
        return await self._pool.handle_async_request(request)

    async def aclose(self) -> None:
        await self._pool.aclose()


def _connection(request: httpx.Request, trust: ssl.SSLContext) -> HTTPConnection:
    url, seconds = request.url, request.extensions["timeout"]["connect"]
    if url.scheme == "https":
        return HTTPSConnection(url.host, url.port, timeout=seconds, context=trust)
    return HTTPConnection(url.host, url.port, timeout=seconds)


def _abort(connection: HTTPConnection) -> None:
    """Shut down a connection from which another thread reads."""
    # Typeshed knows no connection without a socket.
    opened: socket.socket | None = connection.sock
    if opened is not None:
        with suppress(OSError):  # it was closed meanwhile
            opened.shutdown(socket.SHUT_RDWR)


def _send_verbatim(connection: HTTPConnection, request: httpx.Request) -> httpx.Response:
    """Send a request on a connection of its own, with its headers as they are."""
    with closing(connection):
        try:
            connection.connect()
        except OSError as exc:
            raise httpx.ConnectError(str(exc), request=request) from exc
        connection.sock.settimeout(request.extensions["timeout"]["read"])
        try:
            return _exchange_on(connection, request)
        except TimeoutError as exc:
            raise httpx.ReadTimeout(str(exc), request=request) from exc
        except (OSError, HTTPException) as exc:
            raise httpx.RemoteProtocolError(str(exc), request=request) from exc


def _exchange_on(connection: HTTPConnection, request: httpx.Request) -> httpx.Response:
    target = request.url.raw_path.decode("ascii")
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.raw:
        connection.putheader(name, value)
    connection.endheaders(request.content)
    answer = connection.getresponse()
    body = answer.read(_SIZE_LIMIT + 1)
    return httpx.Response(answer.status, headers=answer.getheaders(), content=body)


def _advice(why: str) -> str:
    """Return advice for a connection error."""
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "SSL_CERT_FILE may name a private authority's certificates."
    if "WRONG_VERSION_NUMBER" in why:
        return "It speaks no TLS there: correct https to http, or the port."
    return "Start the proxy, or correct --proxy-url."


class _AnswerTooLong(Exception):
    """The body of an answer is longer than the limit."""


async def _exchange(
    client: httpx.AsyncClient, request: httpx.Request, seconds: float
) -> tuple[httpx.Response, bytes]:
    """Send a request; return its answer and the body of that.

    A deadline over the whole also ends an answer that comes byte by byte, which a timeout of each
    read does not.
    """
    async with asyncio.timeout(seconds):
        answer = await client.send(request, stream=True)
        body = bytearray()
        try:
            async for block in answer.aiter_bytes():
                body += block
                if len(body) > _SIZE_LIMIT:
                    raise _AnswerTooLong
        finally:
            await answer.aclose()
    return answer, bytes(body)


class _AnsweredAfterCancellation(asyncio.CancelledError):
    """A creation was answered after its request had been cancelled."""

    def __init__(self, answer: tuple[httpx.Response, bytes]) -> None:
        super().__init__()
        self.answer = answer


async def _to_the_end(
    sending: Awaitable[tuple[httpx.Response, bytes]], *, is_creation: bool
) -> tuple[httpx.Response, bytes]:
    """Return an answer; if cancelled, still wait a few seconds for that to a creation.

    A resource can be removed only once it exists.
    """
    asking = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        if is_creation:
            await asyncio.wait({asking}, timeout=_LAST_WORDS)
        asking.cancel()
        await asyncio.wait({asking})
        if not asking.cancelled() and asking.exception() is None:
            raise _AnsweredAfterCancellation(asking.result()) from None
        raise


class Caller:
    """A caller with an `Authorization` header, or without one."""

    def __init__(self, wire: HttpClient, authorization: str | None = None) -> None:
        self._wire = wire
        self.authorization = authorization

    @classmethod
    def with_key(cls, wire: HttpClient, key: str) -> Self:
        """Return a caller with a key."""
        return cls(wire, f"Bearer {key}")

    async def __call__(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        files: Any = None,
        seconds: float | None = None,
    ) -> Reply:
        """Send a request; `seconds` is how long its answer may take."""
        own = {} if self.authorization is None else {"Authorization": self.authorization}
        return await self._wire.send(
            method,
            path,
            headers=own | dict(headers or {}),
            content=content,
            json=json,
            files=files,
            seconds=seconds,
        )

    def saying(self, authorization: str | None) -> "Caller":
        """Return a caller with another `Authorization` header."""
        return Caller(self._wire, authorization)


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe="", errors="surrogatepass")


def _known(headers: httpx.Headers) -> dict[str, str]:
    """Return the headers that say something about a request."""
    skipped = {"host", "accept", "accept-encoding", "connection", "user-agent"}
    return {name: value for name, value in headers.items() if name not in skipped}


def _trust() -> ssl.SSLContext:
    """Return a context that trusts the system's certificates and `SSL_CERT_FILE`."""
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own = os.environ.get("SSL_CERT_FILE", "").strip()
    if own and not re.fullmatch(r"\$\{[^{}]*\}", own):  # a reference that nothing has expanded
        try:
            context.load_verify_locations(own)
        except OSError as exc:
            raise Unreachable(
                f"SSL_CERT_FILE names {own!r}, whose certificates cannot be read: {exc}."
                " Name a file of certificates in PEM form, or unset it."
            ) from exc
    return context
