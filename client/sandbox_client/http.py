"""The one module that touches httpx: one client, deadlines, retries, errors at the edge.

The key goes to `proxyUrl` and nowhere else: redirects are not followed, and neither forward
proxies nor .netrc are taken from the environment.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, cast

import anyio
import httpx
import tenacity

from . import tls
from .api.message import Reply
from .error_responses import COMMAND_MAY_RUN, refusal
from .errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidResponse,
    NotSent,
    ProxyFailed,
    ProxyUnreachable,
    RateLimited,
    SandboxError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
    from typing import Self

    from .api.message import Request
    from .config import Config

READ_DEADLINE = 20.0  # seconds, retries included
CHANGE_DEADLINE = 30.0
OUTPUT_DEADLINE = 120.0  # an output of megabytes on a slow line, as long as it keeps coming
LONGEST_POLL = 25.0  # seconds: less than the patience of load balancers
POLLS_AT_ONCE = 64  # of httpx's 100 connections
CONNECT_TIMEOUT = 5.0
OUTPUT_TIMEOUT = 10.0  # seconds without a byte of it
MAX_ATTEMPTS = 4
MAX_RETRY_AFTER = 10.0  # seconds; a longer wait is the person's to decide
MAX_REPLY_BYTES = 8 * 1024 * 1024
# Of a terminal, the runtime keeps ten million characters, sends them twice, and spells some of them
# with six. Of a stream with pipes it may keep some hundred million.
MAX_OUTPUT_BYTES = 512 * 1024 * 1024


class LongPolls:
    """Limit the number of simultaneous long polls, so that other requests find a connection.

    The more tasks wait for a turn, the shorter each long poll.
    """

    def __init__(self, at_once: int = POLLS_AT_ONCE) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[float]:
        """Wait for a turn; yield the longest duration of the poll in seconds."""
        async with self._limiter:
            others = self._limiter.statistics().tasks_waiting
            yield LONGEST_POLL / (1 + others / self._limiter.total_tokens)


class Proxy:
    """Talk to the proxy that `config` names, with its key.

    `transport` and `sleep` (seconds) are passed in where no network or no time shall be spent.
    """

    def __init__(
        self,
        config: Config,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.config = config
        self._sleep = sleep
        self.long_polls = LongPolls()
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"} | _authorization(config),
            transport=transport,
            verify=tls.trust(config) if transport is None else True,
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
        """Send `request` and return the 2xx reply; `deadline` shortens the verb's own (seconds).

        What is repeatable is repeated after a connection fault, 429, 502, 503 and 504, until there
        were `attempts`.

        Raises:
            SandboxError: no reply came, or it says no.
        """
        limit = _deadline(request)
        if deadline is not None:
            limit = min(limit, deadline)
        try:
            with anyio.fail_after(limit):
                return await self._attempt(request, attempts)
        except TimeoutError:
            raise _too_late(request, limit) from None

    async def _attempt(self, request: Request, attempts: int) -> Reply:
        if not request.repeatable:
            return await self._once(request)
        retrying = tenacity.AsyncRetrying(
            sleep=self._sleep,
            retry=tenacity.retry_if_exception(_is_passing),
            stop=tenacity.stop_after_attempt(attempts),
            wait=_wait,
            reraise=True,
        )
        return await retrying(self._once, request)

    async def _once(self, request: Request) -> Reply:
        url = self.config.proxy_url + request.path
        with _translated(request, self.config.proxy_url):
            sent = _build(self._client, request, url)
            async with contextlib.aclosing(await self._client.send(sent, stream=True)) as response:
                reply = Reply(
                    status=response.status_code,
                    body=await _read(response, request),
                    content_type=response.headers.get("content-type", ""),
                    location=response.extensions["location"],
                    retry_after=_seconds(response.headers.get("retry-after", "")),
                    secret=self.config.api_key,
                )
        if 200 <= reply.status < 300:
            return reply
        raise refusal(request, reply)


def _authorization(config: Config) -> dict[str, str]:
    """Return the header that holds the key; before there is one, /health can be asked without."""
    return {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}


def _build(client: httpx.AsyncClient, request: Request, url: str) -> httpx.Request:
    has_output = request.operation in {"view", "execute"}
    idle = OUTPUT_TIMEOUT + request.wait if has_output else None
    timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT, read=idle)
    try:
        return client.build_request(request.method, url, json=request.body, timeout=timeout)
    except UnicodeError as exc:  # of an international name; httpx lets it pass
        raise httpx.InvalidURL(str(exc)) from exc


async def _take_location(response: httpx.Response) -> None:
    """Hide a redirect's target from httpx, which reads it though it is not to be followed."""
    response.extensions["location"] = response.headers.pop("location", "")


def _deadline(request: Request) -> float:
    if request.operation in {"view", "execute"}:
        return OUTPUT_DEADLINE
    return READ_DEADLINE if request.repeatable else CHANGE_DEADLINE


async def _read(response: httpx.Response, request: Request) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        # Not undone: a few compressed bytes can become more than there is memory for.
        error = InvalidResponse("The proxy's reply is compressed, which was not asked for")
        raise _after_sending(request, error)
    limit = MAX_OUTPUT_BYTES if request.operation == "view" else MAX_REPLY_BYTES
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            error = InvalidResponse(
                f"The proxy's reply is larger than {limit} bytes",
                advice="Ask for less at once: some lines of a file, or the end of an output.",
            )
            raise _after_sending(request, error)
    return bytes(body)


def _seconds(header: str) -> float | None:
    """Read Retry-After in its form that counts seconds; its dates are rare and clocks differ."""
    return float(header) if header.isascii() and header.isdigit() and len(header) < 6 else None


def _is_passing(error: BaseException) -> bool:
    """Whether what met `error` may meet something else soon."""
    if isinstance(error, DeadlineExceeded):
        return False
    if isinstance(error, SandboxError) and (error.retry_after or 0) > MAX_RETRY_AFTER:
        return False
    if isinstance(error, ProxyFailed):
        return error.status in {502, 503, 504}
    return isinstance(error, ProxyUnreachable | RateLimited) and error.retryable


_backoff = tenacity.wait_exponential_jitter(multiplier=0.25, max=2.0, jitter=0.25)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, SandboxError) else None
    return _backoff(state) if asked is None else asked


def _too_late(request: Request, limit: float) -> SandboxError:
    error = DeadlineExceeded(f"The proxy did not answer within {limit:g} s (time-out)")
    return _after_sending(request, error)


def _after_sending(request: Request, error: SandboxError) -> SandboxError:
    """Return `error` with the advice for a request that may have had its effect."""
    if request.operation == "execute":
        error.advice = COMMAND_MAY_RUN
        error.retryable = False
    elif not request.repeatable:
        error.advice = (
            "The proxy may have done it all the same: look with {list} before you repeat it. "
            + error.advice
        )
    return error


@contextlib.contextmanager
def _translated(request: Request, url: str) -> Generator[None]:
    try:
        yield
    except httpx.InvalidURL:
        raise ConfigError(
            "proxyUrl is not a URL that can be asked",
            advice='Write it like "https://proxy.example.com".',
        ) from None
    except httpx.HTTPError as exc:
        error = _fault(exc, httpx.URL(url))
        if not isinstance(error, NotSent):
            _after_sending(request, error)
        raise error from exc


def _fault(exc: httpx.HTTPError, url: httpx.URL) -> SandboxError:
    """Return what an exception of httpx means to a person."""
    where = f"{url.scheme}://{url.netloc.decode()}"
    match exc:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return NotSent(
                f"Connecting to {where} took longer than {CONNECT_TIMEOUT:g} s (time-out)"
            )
        case httpx.TimeoutException():
            return DeadlineExceeded(f"{where} did not answer in time (time-out)")
        case httpx.ConnectError() | httpx.UnsupportedProtocol() | httpx.ProxyError():
            return _connection_fault(exc, where)
        case httpx.RemoteProtocolError():
            return ProxyUnreachable(
                f"{where} ended the connection, or does not speak HTTP",
                advice="Check the scheme (http or https) and the port in proxyUrl, and that the"
                " proxy runs.",
            )
        case httpx.DecodingError():
            return InvalidResponse(f"{where} sent a body whose compression cannot be undone")
        case httpx.NetworkError():
            return ProxyUnreachable(f"The connection to {where} broke")
        case _:
            return InvalidResponse(f"{where} answered in a way that cannot be read")


def _connection_fault(exc: httpx.HTTPError, where: str) -> SandboxError:
    for cause in _causes(exc):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return tls.distrusted(cause, where)
        if isinstance(cause, ssl.SSLError):
            return tls.broken(cause, where)
        if isinstance(cause, socket.gaierror):
            return NotSent(
                f"Unknown host: {where} has no address",
                advice="Check the host's name in proxyUrl, and the network.",
            )
        if isinstance(cause, ConnectionRefusedError):
            return NotSent(
                f"Connection refused: nothing listens at {where}",
                advice="Start the proxy (`make fake` starts the fake one), or correct proxyUrl.",
            )
    return NotSent(f"{where} cannot be reached")


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Yield `exc` and all that it came from, groups opened."""
    pending: list[BaseException] = [exc]
    seen: set[int] = set()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [link for link in (current.__cause__, current.__context__) if link]
        if isinstance(current, BaseExceptionGroup):
            pending += cast("tuple[BaseException, ...]", current.exceptions)
