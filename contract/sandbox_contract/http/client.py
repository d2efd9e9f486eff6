"""Somebody who asks the proxy: the one module that touches httpx."""

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import perf_counter
from typing import Any, Self
from urllib.parse import quote

import httpx
import truststore

from .exchange import Exchange, Redactor
from .expect import NoAnswer, Reply
from .interleaving import ASGIApp, Interleaved

Observer = Callable[[Exchange], None]
_PATIENCE = httpx.Timeout(60, connect=10)
# Longer than the proxy's own 300 s, so that its answer to a command that takes longer is seen.
LONG = 330.0
_LAST_PORT = 65_535
_LAST_WORDS = 10.0  # seconds


class Unreachable(Exception):
    """Nothing answers at the target's address; the message says why and what to do."""


class NoAddress(ValueError):
    """A text is no address that could be asked; the message says why."""


def check_address(url: str) -> None:
    """Refuse what is no address.

    Raises:
        NoAddress: it is none.
    """
    try:
        port = httpx.URL(url).port
    except httpx.InvalidURL as exc:
        raise NoAddress(str(exc)) from exc
    if port is not None and not 0 < port <= _LAST_PORT:
        raise NoAddress(f"its port is {port}, expected 1 to {_LAST_PORT}")


class HttpClient:
    """The way to one target, and whoever listens to what goes over it."""

    def __init__(
        self, base_url: str, app: ASGIApp | None, redactor: Redactor | None = None
    ) -> None:
        self.redactor = redactor or Redactor()
        self.base_url = base_url.rstrip("/")
        self._app = None if app is None else Interleaved(app)
        self._client: httpx.AsyncClient | None = None
        self.observers: list[Observer] = []

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
        """Send a request and return its answer.

        Raises:
            NoAnswer: the target took the request and did not answer.
            Unreachable: the target is not there.
        """
        client = self._opened()
        # As a raw path it is sent as it is written, %2F and all.
        request = client.build_request(
            method,
            httpx.URL(self.base_url).copy_with(raw_path=_raw(self.base_url, path)),
            headers=dict(headers),
            content=content,
            json=json,
            files=files,
            timeout=_PATIENCE if seconds is None else httpx.Timeout(seconds, connect=10),
        )
        sent = await request.aread()
        started = perf_counter()
        try:
            answer = await _to_the_end(client.send(request), is_making=_is_making(method, path))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as exc:
            why = f"{type(exc).__name__}: {exc}".removesuffix(": ")
            message = f"nothing answers at {self.base_url} ({why}). {_advice(why)}"
            raise Unreachable(message) from exc
        except httpx.RequestError as exc:
            taken = perf_counter() - started
            why = f"{type(exc).__name__} after {taken:.1f} s"
            raise NoAnswer(f"an answer to {method} {path}", why) from exc
        exchange = Exchange(
            method=method,
            path=path,
            request_headers=_known(request.headers),
            request_body=sent,
            status=answer.status_code,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=answer.content,
            seconds=perf_counter() - started,
            redactor=self.redactor,
        )
        for observer in self.observers:
            observer(exchange)
        return Reply(exchange)

    async def race(self, seed: int, *requests: Awaitable[Reply]) -> list[Reply]:
        """Send requests at the same time, and return their answers in the same order.

        On an app in process, the seed decides who comes first at every step.
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

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            # Neither proxies nor redirects: a key goes to the target and nowhere else.
            self._client = httpx.AsyncClient(transport=self._transport(), trust_env=False)
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
            return await asyncio.to_thread(_sent_verbatim, request, self._trust)
        return await self._pool.handle_async_request(request)

    async def aclose(self) -> None:
        await self._pool.aclose()


def _sent_verbatim(request: httpx.Request, trust: ssl.SSLContext) -> httpx.Response:
    """Send a request on a connection of its own, with its headers as they are."""
    url, seconds = request.url, request.extensions["timeout"]["read"]
    connection: HTTPConnection
    if url.scheme == "https":
        connection = HTTPSConnection(url.host, url.port, timeout=seconds, context=trust)
    else:
        connection = HTTPConnection(url.host, url.port, timeout=seconds)
    with closing(connection):
        try:
            connection.connect()
        except OSError as exc:
            raise httpx.ConnectError(str(exc), request=request) from exc
        try:
            return _exchanged(connection, request)
        except TimeoutError as exc:
            raise httpx.ReadTimeout(str(exc), request=request) from exc
        except (OSError, HTTPException) as exc:
            raise httpx.RemoteProtocolError(str(exc), request=request) from exc


def _exchanged(connection: HTTPConnection, request: httpx.Request) -> httpx.Response:
    target = request.url.raw_path.decode("ascii")
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.raw:
        connection.putheader(name, value)
    connection.endheaders(request.content)
    answer = connection.getresponse()
    return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


def _advice(why: str) -> str:
    """Return what to do where nothing answers."""
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "SSL_CERT_FILE may name a private authority's certificates."
    if "WRONG_VERSION_NUMBER" in why:
        return "It speaks no TLS there: correct https to http, or the port."
    return "Start the proxy, or correct --proxy-url."


def _is_making(method: str, path: str) -> bool:
    """Tell whether a request makes something that has to be removed."""
    return method == "POST" and path.startswith("/api/")


async def _to_the_end(sending: Awaitable[httpx.Response], *, is_making: bool) -> httpx.Response:
    """Return an answer; whoever is cancelled still waits for one, a little, to what makes things.

    What is under way can be removed only when it is there.
    """
    asking = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        if is_making:
            await asyncio.wait({asking}, timeout=_LAST_WORDS)
        asking.cancel()
        await asyncio.wait({asking})
        raise


class Caller:
    """Somebody with an `Authorization` header, or with none."""

    def __init__(self, wire: HttpClient, authorization: str | None = None) -> None:
        self._wire = wire
        self.authorization = authorization

    @classmethod
    def with_key(cls, wire: HttpClient, key: str) -> Self:
        """Return who has a key."""
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
        """Return who says something else in the header."""
        return Caller(self._wire, authorization)


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe="")


def _raw(base_url: str, path: str) -> bytes:
    return httpx.URL(base_url).raw_path.rstrip(b"/") + path.encode()


def _known(headers: httpx.Headers) -> dict[str, str]:
    """Return the headers that say something about a request."""
    skipped = {"host", "accept", "accept-encoding", "connection", "user-agent"}
    return {name: value for name, value in headers.items() if name not in skipped}


def _trust() -> ssl.SSLContext:
    """Trust what this machine trusts, and `SSL_CERT_FILE`."""
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
