"""The transport, the only module that uses httpx: deadlines, retries and errors.

The key is sent to `proxyUrl` and to no other address: redirects are not followed, and forward
proxies and .netrc files of the environment are ignored.
"""

from __future__ import annotations

import contextlib
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import anyio
import httpx
import tenacity

from . import connection
from .api.message import Reply
from .error_responses import error_from_response
from .errors import (
    AdminKeyRejected,
    ConfigError,
    DeadlineExceeded,
    InvalidResponse,
    KeyRejected,
    NotSent,
    ProxyFailed,
    ProxyUnreachable,
    RateLimited,
    SandboxError,
    TLSError,
)
from .polling import LongPolls, backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from typing import Self, TypeVar

    from .api.message import Operation, Request
    from .config import Config

    T = TypeVar("T")

CONNECT_TIMEOUT = 5.0  # seconds
MAX_ATTEMPTS = 4
RETRY_DELAY = 0.35  # seconds after the first attempt: an outage of two seconds is survived
_NOT_HTTP = ", or does not speak HTTP"
_WHEN_BACK = "Wait until it answers again; {check} shows that."
_ASK_FOR_LESS: Mapping[Operation, str] = {
    "read file": "Ask for less at once: some lines of the file.",
    "list files": "List a subdirectory, or use a command: {run}.",
    "execute": "Ask for less at once: the end of the output with {output}.",
    "view": "Ask for less at once: the end of the output.",
}
LONGEST_RETRY_AFTER = 1e9  # seconds: a longer one is a mistake of the server
GATEWAY_ERRORS = {502, 503, 504}  # statuses that may pass soon
MAX_RETRY_AFTER = 10.0  # seconds: after a longer Retry-After, the error is raised at once


class Proxy:
    """Send requests to the proxy of `config` with the API key of `config`.

    `transport`, `sleep` (in seconds) and `random` (from 0 to 1, for the jitter) can be replaced in
    tests.
    """

    def __init__(
        self,
        config: Config,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.config = config
        self._sleep = sleep
        self._random = random
        self.long_polls = LongPolls()
        self._has_answered = self._has_served = False  # with anything, and with JSON
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"} | _authorization(config),
            transport=transport,
            verify=connection.trust(config) if transport is None else True,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
            event_hooks={"response": [_take_location]},
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(
        self, request: Request, *, deadline: float | None = None, attempts: int = MAX_ATTEMPTS
    ) -> Reply:
        """Send a request and return the response with a 2xx status.

        `deadline` in seconds shortens that of the request. A repeatable request is sent up to
        `attempts` times: after a connection fault, 429, 502, 503 and 504.

        Raises:
            SandboxError: there is no valid response, or it has another status.
        """
        limit = request.deadline if deadline is None else min(request.deadline, deadline)
        try:
            with anyio.fail_after(limit):
                return await self._attempt(request, attempts, limit)
        except TimeoutError:
            message = f"The proxy did not answer within {limit:.3g} s (time-out)"
            advice = _WHEN_BACK if self._has_served else ""
            raise _response_error(request, DeadlineExceeded, message, advice=advice) from None

    async def fetch(
        self,
        request: Request,
        read: Callable[[Reply], T],
        *,
        deadline: float | None = None,
        attempts: int = MAX_ATTEMPTS,
    ) -> T:
        """Send a request and return what `read` makes of its reply.

        A reply to a change that cannot be read is as good as a lost one: the error says that the
        change may have been made.
        """
        reply = await self.send(request, deadline=deadline, attempts=attempts)
        try:
            return read(reply)
        except InvalidResponse as error:
            raise error.but(advice=_lost(request, error.advice)) from None

    async def _attempt(self, request: Request, attempts: int, limit: float) -> Reply:
        if not request.repeatable:
            return await self._once(request)
        delays = backoff(RETRY_DELAY, random=self._random)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            retry_after = error.retry_after if isinstance(error, SandboxError) else None
            return next(delays) if retry_after is None else retry_after

        retrying = tenacity.AsyncRetrying(
            sleep=self._sleep,
            retry=tenacity.retry_if_exception(_is_transient),
            # A delay past the deadline would replace the reason by a time-out.
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(attempts), tenacity.stop_before_delay(limit)
            ),
            wait=wait,
            reraise=True,
        )
        return await retrying(self._once, request)

    async def _once(self, request: Request) -> Reply:
        url = self.config.proxy_url + request.path
        with _translate_errors(request, self.config, has_answered=self._has_answered):
            built = _build(self._client, request, url)
            async with contextlib.aclosing(await self._client.send(built, stream=True)) as response:
                self._has_answered = True
                reply = Reply(
                    status=response.status_code,
                    body=await _read(response, request),
                    content_type=response.headers.get("content-type", ""),
                    location=response.extensions["location"],
                    retry_after=_retry_after(response.headers),
                    date=_http_date(response.headers.get("date", "")),
                    secret=self.config.api_key,
                    secrets=self.config.secrets,
                )
        if 200 <= reply.status < 300:
            self._has_served |= "json" in reply.content_type
            return reply
        error = error_from_response(request, reply)
        if isinstance(error, InvalidResponse) and self._has_served:
            error = error.after_an_answer()
        raise _name_variable(error, self.config.key_variable)


def _name_variable(error: SandboxError, variable: str) -> SandboxError:
    """Return an error about a rejected key with the environment variable that the key is from."""
    if not variable or not isinstance(error, KeyRejected) or isinstance(error, AdminKeyRejected):
        return error
    return error.but(
        cause=f"the API key in the environment variable {variable}.",
        advice=f"{error.advice} It comes from {variable}, which overrides the file: unset that.",
    )


def _authorization(config: Config) -> dict[str, str]:
    """Return the header with the key; /health can be requested without a key."""
    return {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}


def _build(client: httpx.AsyncClient, request: Request, url: str) -> httpx.Request:
    timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT, read=request.idle_timeout)
    try:
        return client.build_request(request.method, url, json=request.body, timeout=timeout)
    except UnicodeError as exc:  # from an invalid international host name
        raise httpx.InvalidURL(str(exc)) from exc


async def _take_location(response: httpx.Response) -> None:
    """Hide the target of a redirect from httpx, which parses it even if it does not follow it."""
    response.extensions["location"] = response.headers.pop("location", "")


async def _read(response: httpx.Response, request: Request) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        # It is not decompressed, since a few compressed bytes can fill the memory.
        message = "The proxy's reply is compressed, although the request did not allow that"
        raise _response_error(request, InvalidResponse, message)
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > request.max_bytes:
            raise _response_error(
                request,
                InvalidResponse,
                f"The proxy's reply is larger than {request.max_bytes} bytes",
                advice=_ASK_FOR_LESS.get(request.operation, ""),
            )
    return bytes(body)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, at most LONGEST_RETRY_AFTER.

    A date is compared with the server's own, since clocks differ; without that, it is ignored.
    """
    header = headers.get("retry-after", "")
    if header.isascii() and header.isdigit():
        return float(header) if len(header) < 10 else LONGEST_RETRY_AFTER
    then, now = _http_date(header), _http_date(headers.get("date", ""))
    return None if then is None or now is None else max((then - now).total_seconds(), 0.0)


def _http_date(header: str) -> datetime | None:
    """Parse a date of a header; return None if it is malformed."""
    try:
        date = parsedate_to_datetime(header)
        return date.astimezone(UTC) if date.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _is_transient(error: BaseException) -> bool:
    """Return whether another attempt may succeed soon."""
    if not isinstance(error, SandboxError) or isinstance(error, DeadlineExceeded):
        return False
    if (error.retry_after or 0) > MAX_RETRY_AFTER:
        return False
    if isinstance(error, ProxyFailed):
        return error.status in GATEWAY_ERRORS
    return isinstance(error, ProxyUnreachable | RateLimited) and error.retryable


def _response_error(
    request: Request, kind: type[SandboxError], message: str, *, advice: str = ""
) -> SandboxError:
    """Return the error for a request that was sent and has no usable response."""
    may_repeat = False if request.if_lost else None
    return kind(message, advice=_lost(request, advice or kind.advice), retryable=may_repeat)


def _lost(request: Request, advice: str) -> str:
    """Return the advice for a lost response: first how to look whether a change was made."""
    return f"{request.if_lost} {advice}".lstrip()


@contextlib.contextmanager
def _translate_errors(request: Request, config: Config, *, has_answered: bool) -> Generator[None]:
    try:
        yield
    except httpx.InvalidURL:
        raise ConfigError(
            "proxyUrl is not a valid URL",
            advice='Write it like "https://proxy.example.com".',
        ) from None
    except httpx.HTTPError as exc:
        error = _transport_error(exc, config, request)
        raise (_after_an_answer(error, request) if has_answered else error) from exc


def _after_an_answer(error: SandboxError, request: Request) -> SandboxError:
    """Return the error for a proxy that has answered before: its address is right."""
    if not isinstance(error, ProxyUnreachable) or isinstance(error, DeadlineExceeded | TLSError):
        return error
    return error.but(
        message=error.message.removesuffix(_NOT_HTTP),
        cause="the network, or a proxy that was stopped: it has answered before.",
        advice=_WHEN_BACK if isinstance(error, NotSent) else _lost(request, _WHEN_BACK),
    )


def _transport_error(exc: httpx.HTTPError, config: Config, request: Request) -> SandboxError:
    """Return the error for an exception of httpx."""
    url = httpx.URL(config.proxy_url)
    where = f"{url.scheme}://{url.netloc.decode()}"
    match exc:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            message = f"Connecting to {where} took longer than {CONNECT_TIMEOUT:g} s (time-out)"
            return connection.name_proxies(NotSent(message), config)
        case httpx.ConnectError() | httpx.UnsupportedProtocol() | httpx.ProxyError():
            return connection.connection_error(exc, where, config)
        case httpx.TimeoutException():
            return _response_error(
                request, DeadlineExceeded, f"{where} did not answer in time (time-out)"
            )
        case httpx.RemoteProtocolError():
            advice = "Check the port in proxyUrl, and that the proxy runs."
            if url.scheme == "http":
                advice = f"If it is an https address, write https:// in proxyUrl. {advice}"
            message = f"{where} ended the connection{_NOT_HTTP}"
            return _response_error(request, ProxyUnreachable, message, advice=advice)
        case httpx.DecodingError():
            message = f"{where} sent a body whose compression cannot be undone"
            return _response_error(request, InvalidResponse, message)
        case httpx.NetworkError():
            return _response_error(request, ProxyUnreachable, f"The connection to {where} broke")
        case _:
            message = f"{where} answered in a way that cannot be read"
            return _response_error(request, InvalidResponse, message)
