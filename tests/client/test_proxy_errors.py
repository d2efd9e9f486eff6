"""Each fault of a request becomes one SandboxError, with a message and advice."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import certifi
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client import (
    ConfigError,
    KeyRejected,
    NotReady,
    ProxyFailed,
    ProxyRefused,
    ProxyUnreachable,
    SandboxError,
    SandboxNotFound,
)
from sandbox_client.api import pipes, sandboxes, shell
from sandbox_client.api.runtime import OUTPUT_IDLE_TIMEOUT, Task
from sandbox_client.errors import DeadlineExceeded, InvalidResponse, NotSent, RateLimited
from sandbox_client.http import Proxy

from tests.client.secrecy import assert_presentable
from tests.client.statuses import ALPHA_READY
from tests.client.strategies import malformed_bodies, odd_locations, some_examples
from tests.client.stubs import (
    CONFIG,
    KEY,
    URL,
    Answer,
    FakeClock,
    SequenceStub,
    error_reply,
    html_page,
    proxy_over,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import respx
    from sandbox_client.api.message import Request

STATUS = sandboxes.status("box")
CREATE = sandboxes.create("box", image=None, port=8888)
DELETE = sandboxes.delete("box")
PROMPT = shell.execute("box", "s1", Task("make"))


async def fault(answer: Answer, request: Request = STATUS) -> SandboxError:
    """Send `request` and return the error for the response."""
    async with proxy_over(SequenceStub([answer])) as proxy:
        with pytest.raises(SandboxError) as caught:
            await proxy.send(request)
    assert_presentable(caught.value, secret=KEY)
    return caught.value


def caused(error: httpx.HTTPError, cause: BaseException) -> httpx.HTTPError:
    """Return an exception of httpx with the cause that the socket or TLS has raised."""
    error.__cause__ = cause
    return error


def _untrusted(
    code: int = 18, words: str = "self-signed certificate"
) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, words
    return error


def _wrong_version() -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL] wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


REFUSED = caused(httpx.ConnectError("failed"), ConnectionRefusedError(111, "refused"))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            error_reply(401, "Invalid API key"),
            KeyRejected,
            "does not know the API key: Invalid API key",
        ),
        (error_reply(401, "API key is inactive"), KeyRejected, "was revoked: API key is inactive"),
        (error_reply(401, "API key has expired"), KeyRejected, "The API key has expired"),
        (error_reply(401, "User account is inactive"), KeyRejected, "user is not active"),
        (error_reply(403, "You do not have access"), SandboxNotFound, "No sandbox 'box' of yours"),
        (error_reply(404, "Sandbox not found"), SandboxNotFound, "No sandbox 'box' of yours"),
        (error_reply(409, "Conflict"), ProxyRefused, "refused the request (409): Conflict"),
        (error_reply(503, "Sandbox not ready"), NotReady, "Sandbox 'box' is not ready"),
        (error_reply(503, "Sandbox service not ready"), NotReady, "is not ready"),
        (error_reply(429, "slow down"), RateLimited, "fewer requests: slow down"),
        (error_reply(500, "database is down"), ProxyFailed, "failed (500): database is down"),
        (html_page(502), ProxyFailed, "answered 502 with an HTML page"),
        (html_page(404), InvalidResponse, "answered 404 with an HTML page"),
        (
            httpx.Response(400, content=b"\xff"),
            InvalidResponse,
            "a body of 1 byte that is not JSON",
        ),
        (
            REFUSED,
            ProxyUnreachable,
            "Connection refused: nothing listens at http://proxy.test:8080",
        ),
        (
            caused(httpx.ConnectError("x"), socket.gaierror(-2, "Name or service not known")),
            ProxyUnreachable,
            "Unknown host: http://proxy.test:8080",
        ),
        (
            caused(httpx.ConnectError("x"), ExceptionGroup("", [OSError(), REFUSED])),
            ProxyUnreachable,
            "Connection refused",
        ),
        (
            caused(httpx.ConnectError("x"), _untrusted()),
            ProxyUnreachable,
            "self-signed certificate",
        ),
        (caused(httpx.ConnectError("x"), _wrong_version()), ProxyUnreachable, "does not speak TLS"),
        (httpx.ConnectTimeout("x"), ProxyUnreachable, "longer than 5 s (time-out)"),
        (httpx.ReadTimeout("x"), DeadlineExceeded, "(time-out)"),
        (httpx.ConnectError("x"), ProxyUnreachable, "cannot be reached"),
        (httpx.ReadError("x"), ProxyUnreachable, "connection to http://proxy.test:8080 broke"),
        (httpx.RemoteProtocolError("x"), ProxyUnreachable, "does not speak HTTP"),
    ],
    ids=[
        "key unknown",
        "key revoked",
        "key expired",
        "user inactive",
        "403",
        "404",
        "409",
        "not ready",
        "no service yet",
        "429",
        "500 with message",
        "HTML page 502",
        "HTML page 404",
        "no JSON",
        "refused",
        "unknown host",
        "refused by both addresses",
        "untrusted certificate",
        "no TLS there",
        "connect time-out",
        "read time-out",
        "no route",
        "reset",
        "no HTTP",
    ],
)
async def test_each_exception_has_an_error_and_a_message(
    answer: Answer, kind: type[SandboxError], words: str
) -> None:
    error = await fault(answer)

    assert isinstance(error, kind)
    assert words in error.message


@pytest.mark.parametrize(
    "page",
    [
        "<html><center>The plain HTTP request was sent to HTTPS port</center></html>",
        "You're speaking plain HTTP to an SSL-enabled server port.",
        "Client sent an HTTP request to an HTTPS server.\n",
    ],
    ids=["nginx", "Apache", "Go"],
)
async def test_http_to_a_port_for_https_names_the_scheme(page: str) -> None:
    error = await fault(httpx.Response(400, text=page))

    assert error.message == "The address in proxyUrl is one for https, and proxyUrl says http"
    assert error.advice == "Write https:// in proxyUrl."


async def test_another_failure_of_tls_is_in_plain_words() -> None:
    exception = ssl.SSLError(1, "[SSL] alert")
    exception.reason = "TLSV1_ALERT_PROTOCOL_VERSION"
    error = await fault(caused(httpx.ConnectError("x"), exception))

    assert error.message == "TLS with http://proxy.test:8080 failed: tlsv1 alert protocol version"


@pytest.mark.parametrize(
    ("code", "words", "advice"),
    [
        (18, "is not trusted: words", "SSL_CERT_FILE"),
        (20, "is not trusted: words", "SSL_CERT_FILE"),
        (62, "is another host's: words", "name that the certificate holds into proxyUrl"),
        (64, "is another host's: words", "name that the certificate holds into proxyUrl"),
        (9, "is not valid today: words", "this machine's clock"),
        (10, "is not valid today: words", "administrator to renew it"),
    ],
    ids=["self-signed", "unknown authority", "name", "address", "not yet", "expired"],
)
async def test_each_certificate_error_has_its_own_advice(
    code: int, words: str, advice: str
) -> None:
    error = await fault(caused(httpx.ConnectError("x"), _untrusted(code, "words")), PROMPT)

    assert words in error.message
    assert advice in error.advice
    assert "certificate" in error.cause
    assert ("SSL_CERT_FILE" in error.advice) == (advice == "SSL_CERT_FILE")
    assert not error.retryable


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file or directory"), (b"", "in PEM form"), (b"nonsense", "in PEM form")],
    ids=["missing", "empty", "no certificate"],
)
def test_an_unusable_certificate_file_is_named(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    config = replace(CONFIG, proxy_url="https://proxy.test", certificates=str(file))

    with pytest.raises(ConfigError, match="SSL_CERT_FILE names") as caught:
        Proxy(config)

    assert str(file) in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("scheme", "file"), [("https", certifi.where()), ("http", "/no/such/file")]
)
async def test_a_valid_or_unneeded_certificate_file_is_accepted(scheme: str, file: str) -> None:
    async with Proxy(replace(CONFIG, proxy_url=f"{scheme}://proxy.test", certificates=file)):
        pass


async def test_the_key_is_sent_as_a_bearer_token_and_the_body_as_json(
    respx_mock: respx.MockRouter,
) -> None:
    route = respx_mock.post(f"{URL}/api/sandboxes").respond(201, json={"success": True})

    async with Proxy(CONFIG) as proxy:
        await proxy.send(CREATE)

    request = route.calls.last.request
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.content == b'{"name":"box","port":8888}'


@pytest.mark.parametrize(
    "url", ["http://xn--a", "http://xn--zzzzzzzzzzz", "http://h/\x7f"], ids=ascii
)
async def test_a_url_that_httpx_rejects_is_a_configuration_error(url: str) -> None:
    async with Proxy(replace(CONFIG, proxy_url=url), sleep=FakeClock().sleep) as proxy:
        with anyio.fail_after(10), pytest.raises(ConfigError, match="proxyUrl"):
            await proxy.send(STATUS, deadline=1)


async def test_the_path_prefix_of_the_url_is_kept(respx_mock: respx.MockRouter) -> None:
    respx_mock.delete("http://proxy.test:8080/prefix/api/sandboxes/box").respond(200, json={})

    async with Proxy(CONFIG) as proxy:
        reply = await proxy.send(DELETE)

    assert reply.status == 200


_KINDS: dict[str, type[SandboxError]] = {
    "HTTPError": InvalidResponse,
    "HTTPStatusError": InvalidResponse,
    "RequestError": InvalidResponse,
    "TooManyRedirects": InvalidResponse,
    "DecodingError": InvalidResponse,
    "TransportError": InvalidResponse,
    "ProtocolError": InvalidResponse,
    "LocalProtocolError": InvalidResponse,
    "RemoteProtocolError": ProxyUnreachable,
    "TimeoutException": DeadlineExceeded,
    "ReadTimeout": DeadlineExceeded,
    "WriteTimeout": DeadlineExceeded,
    "ConnectTimeout": ProxyUnreachable,
    "PoolTimeout": ProxyUnreachable,
    "NetworkError": ProxyUnreachable,
    "ConnectError": ProxyUnreachable,
    "ReadError": ProxyUnreachable,
    "WriteError": ProxyUnreachable,
    "CloseError": ProxyUnreachable,
    "ProxyError": ProxyUnreachable,
    "UnsupportedProtocol": ProxyUnreachable,
    "InvalidURL": ConfigError,
}
# Raised only by calls that the client does not make, such as reading a body twice.
_NEVER = {
    "CookieConflict",
    "StreamError",
    "StreamConsumed",
    "StreamClosed",
    "RequestNotRead",
    "ResponseNotRead",
}
_EXCEPTIONS: dict[str, type[Exception]] = {
    name: value
    for name, value in vars(httpx).items()
    if isinstance(value, type) and issubclass(value, Exception)
}


def test_the_table_has_every_exception_of_httpx() -> None:
    assert set(_EXCEPTIONS) == set(_KINDS) | _NEVER


@pytest.mark.parametrize("name", _KINDS)
async def test_every_exception_of_httpx_is_translated_without_its_text(name: str) -> None:
    kind = _EXCEPTIONS[name]
    request = httpx.Request("GET", URL)
    foreign = (
        httpx.HTTPStatusError("secret", request=request, response=httpx.Response(500))
        if kind is httpx.HTTPStatusError
        else kind("secret")
    )

    error = await fault(foreign)

    assert isinstance(error, _KINDS[name])
    assert "secret" not in error.message


@pytest.mark.parametrize(
    "answer",
    [httpx.ReadError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), html_page(502)],
    ids=["reset", "time-out", "cut", "502"],
)
async def test_a_lost_reply_to_a_command_warns_that_it_may_have_run(
    answer: Answer,
) -> None:
    error = await fault(answer, PROMPT)

    assert "may have run" in error.advice
    assert not error.retryable


async def test_the_error_for_a_command_that_was_not_sent_does_not_warn_that_it_may_have_run() -> (
    None
):
    error = await fault(REFUSED, PROMPT)

    assert "may have run" not in error.advice
    assert "nothing listens" in error.message


@pytest.mark.parametrize("answer", [httpx.ReadError("x"), httpx.ReadTimeout("x")])
async def test_a_lost_reply_to_a_change_advises_to_look_first(answer: Answer) -> None:
    error = await fault(answer, DELETE)

    assert "look with {list} before you repeat it" in error.advice


async def never(_: httpx.Request) -> httpx.Response:
    """Take a request and never reply."""
    await anyio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize("request_", [STATUS, PROMPT], ids=lambda it: str(it.operation))
async def test_a_request_without_a_reply_ends_at_its_deadline(request_: Request) -> None:
    async with proxy_over(never) as proxy:
        with anyio.fail_after(5), pytest.raises(DeadlineExceeded, match="time-out"):
            await proxy.send(request_, deadline=0.01)


async def test_a_shorter_deadline_replaces_that_of_the_request() -> None:
    async with proxy_over(never) as proxy:
        with (
            anyio.fail_after(5),
            pytest.raises(DeadlineExceeded, match=r"within 0\.01 s") as caught,
        ):
            await proxy.send(replace(STATUS, deadline=0.01), deadline=1000)

    assert caught.value.cause == "the network, or a proxy that is busy or hangs."


async def test_a_long_poll_may_be_silent_for_as_long_as_it_waits() -> None:
    upstream = SequenceStub([httpx.Response(200, json={})])

    async with proxy_over(upstream) as proxy:
        for wait in (0.0, 25.0):
            await proxy.send(pipes.output("box", "s1", 0, 0, wait=wait))

    silences = [request.extensions["timeout"]["read"] for request in upstream.requests]
    assert silences == [OUTPUT_IDLE_TIMEOUT, 25 + OUTPUT_IDLE_TIMEOUT]


async def test_the_deadline_ends_the_retries_with_the_reason_of_the_last_one() -> None:
    async def hang(_: float) -> None:
        await anyio.sleep_forever()

    transport = httpx.MockTransport(SequenceStub([html_page(502)]))
    async with Proxy(CONFIG, transport=transport, sleep=hang) as proxy:
        with anyio.fail_after(5), pytest.raises(ProxyFailed, match="answered 502"):
            await proxy.send(STATUS, deadline=0.01)


async def test_a_cancelled_call_ends_at_once() -> None:
    async with proxy_over(never) as proxy:
        with anyio.move_on_after(0.01) as scope:
            await proxy.send(PROMPT)

    assert scope.cancelled_caught


async def test_an_oversized_reply_is_not_read_to_the_end() -> None:
    given = 0

    async def endless(_: httpx.Request) -> httpx.Response:
        async def chunks() -> AsyncGenerator[bytes]:
            nonlocal given
            while True:
                given += 1
                yield b"x" * 100

        return httpx.Response(200, content=chunks())

    async with proxy_over(endless) as proxy:
        with pytest.raises(InvalidResponse, match="larger than 1000 bytes"):
            await proxy.send(replace(STATUS, max_bytes=1000))

    assert given == 11


async def test_a_reply_of_exactly_the_size_limit_is_read() -> None:
    async with proxy_over(SequenceStub([httpx.Response(200, content=b"x" * 1000)])) as proxy:
        assert len((await proxy.send(replace(STATUS, max_bytes=1000))).body) == 1000


@pytest.mark.parametrize("command", ["\ud800", "echo \udcff"], ids=ascii)
async def test_a_command_with_a_lone_surrogate_is_refused_before_it_is_sent(command: str) -> None:
    upstream = SequenceStub([error_reply(500, "x")])

    async with proxy_over(upstream) as proxy:
        with pytest.raises(SandboxError):
            await proxy.send(shell.execute("box", "s1", Task(command)))

    assert upstream.requests == []


_header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)


@some_examples
@given(
    status=st.integers(100, 599),
    body=malformed_bodies,
    headers=st.fixed_dictionaries(
        {},
        optional={
            "content-type": _header_texts,
            "location": odd_locations,
            "retry-after": st.one_of(_header_texts, st.sampled_from(["0", "5", "-1", "1e9", "²"])),
            "content-encoding": st.sampled_from(["gzip", "deflate", "br", "zstd", "x", ""]),
            "set-cookie": _header_texts,
            "www-authenticate": _header_texts,
            "content-length": st.sampled_from(["0", "5", "x"]),
        },
    ),
    request=st.sampled_from([STATUS, DELETE, PROMPT]),
)
@example(status=302, body=b"", headers={"location": "https://xn--a/"}, request=STATUS)
@example(status=200, body=b"\x1f\x8bnot gzip", headers={"content-encoding": "gzip"}, request=PROMPT)
async def test_any_response_is_a_reply_or_a_sandbox_error(
    status: int, body: bytes, headers: dict[str, str], request: Request
) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return httpx.Response(status, headers=encoded, stream=httpx.ByteStream(body))

    async with proxy_over(answer) as proxy:
        try:
            reply = await proxy.send(request)
        except SandboxError as error:
            assert_presentable(error, secret=KEY)
        else:
            assert 200 <= reply.status < 300


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080", "`make fake` starts the fake one"),
        ("https://proxy.test", "ask the proxy's administrator whether it runs"),
    ],
)
async def test_the_advice_for_a_refused_connection_fits_the_host(url: str, expected: str) -> None:
    config = replace(CONFIG, proxy_url=url)
    async with proxy_over(SequenceStub([REFUSED]), config=config) as proxy:
        with pytest.raises(NotSent) as caught:
            await proxy.send(STATUS)

    assert expected in caught.value.advice


@pytest.mark.parametrize("failure", [REFUSED, httpx.RemoteProtocolError("x"), httpx.ReadError("x")])
async def test_the_address_of_a_proxy_that_has_answered_is_not_doubted(failure: Exception) -> None:
    async with proxy_over(SequenceStub([ALPHA_READY.response(), failure])) as proxy:
        await proxy.send(STATUS)
        with pytest.raises(ProxyUnreachable) as caught:
            await proxy.send(STATUS, attempts=1)

    assert caught.value.cause == (
        "the network, or a proxy that was stopped: it has answered before."
    )
    assert caught.value.advice == "Wait until it answers again; {check} shows that."
    assert "HTTP" not in caught.value.message


@pytest.mark.parametrize("is_silent", [True, False], ids=["silent", "redirect"])
async def test_after_a_good_answer_no_failure_doubts_the_address(is_silent: bool) -> None:
    answers = [
        ALPHA_READY.response(),
        httpx.Response(302, headers={"location": "https://other.test"}),
    ]

    async def answer(_request: httpx.Request) -> httpx.Response:
        if is_silent and len(answers) == 1:
            await anyio.sleep_forever()
        return answers.pop(0)

    async with proxy_over(answer) as proxy:
        await proxy.send(STATUS)
        with pytest.raises(SandboxError) as caught:
            await proxy.send(STATUS, deadline=0.01 if is_silent else None)

    assert "proxyUrl" not in caught.value.cause + caught.value.advice


@pytest.mark.parametrize(
    ("answer", "is_named"),
    [
        (REFUSED, True),
        (httpx.ConnectTimeout("x"), True),
        (httpx.ConnectError("x"), True),
        (caused(httpx.ConnectError("x"), socket.gaierror(-2, "Name not known")), True),
        (caused(httpx.ConnectError("x"), _untrusted()), False),  # the host was reached
        (httpx.ReadTimeout("x"), False),
    ],
    ids=["refused", "time-out", "no route", "no address", "TLS", "no answer"],
)
async def test_unused_forward_proxies_are_named_if_the_host_cannot_be_reached(
    answer: Answer, is_named: bool
) -> None:
    config = replace(CONFIG, unused_proxies=("HTTPS_PROXY", "all_proxy"))
    async with proxy_over(SequenceStub([answer]), config=config) as proxy:
        with pytest.raises(ProxyUnreachable) as caught:
            await proxy.send(STATUS)

    named = "HTTPS_PROXY and all_proxy are set, but remote-sandbox uses no forward proxy"
    assert (named in caught.value.advice) is is_named


async def test_a_rejected_key_of_a_variable_is_not_the_configurations() -> None:
    config = replace(CONFIG, key_variable="REMOTE_SANDBOX_API_KEY")
    answer = error_reply(401, "Invalid API key")
    async with proxy_over(SequenceStub([answer]), config=config) as proxy:
        with pytest.raises(KeyRejected) as caught:
            await proxy.send(STATUS)

    assert caught.value.cause == "the API key in the environment variable REMOTE_SANDBOX_API_KEY."
    assert "which overrides the file: unset that" in caught.value.advice


async def test_the_advice_for_a_list_that_is_too_long_is_not_to_read_a_file() -> None:
    upstream = SequenceStub([httpx.Response(200, content=b"x" * 2000)])
    async with proxy_over(upstream) as proxy:
        with pytest.raises(InvalidResponse, match="larger than") as caught:
            await proxy.send(replace(sandboxes.listing(), max_bytes=1000))

    assert caught.value.advice == InvalidResponse.advice


async def test_an_error_names_the_host_and_not_the_path() -> None:
    error = await fault(REFUSED)

    assert re.search(r"http://proxy\.test:8080$", error.message)
