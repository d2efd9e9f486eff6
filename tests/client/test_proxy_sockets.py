"""Connection faults over real sockets on loopback, with bounded waits."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute
from sandbox_client import ProxyUnreachable, SandboxError
from sandbox_client.api import sandboxes, shell
from sandbox_client.api.runtime import Task
from sandbox_client.errors import InvalidResponse
from sandbox_client.http import Proxy

from tests.client.secrecy import shown_text
from tests.client.stubs import CONFIG, KEY, FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from anyio.abc import SocketStream
    from sandbox_client.api.message import Request

STATUS = sandboxes.status("box")
PROMPT = shell.execute("box", "s1", Task("make"))


@contextlib.asynccontextmanager
async def listening(
    serve: Callable[[SocketStream], Awaitable[None]],
) -> AsyncGenerator[tuple[int, list[int]]]:
    """Run `serve` for each connection; yield the port and a list with an item per connection."""
    accepted: list[int] = []

    async def handle(stream: SocketStream) -> None:
        accepted.append(len(accepted))
        async with stream:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                await serve(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port), accepted  # noqa: S610  # not Django's
        tasks.cancel_scope.cancel()


def proxy_at(address: str, *, key: str = KEY) -> Proxy:
    return Proxy(replace(CONFIG, proxy_url=address, api_key=key), sleep=FakeClock().sleep)


async def fault(address: str, request: Request = STATUS, seconds: float = 10) -> SandboxError:
    """Send `request` to `address` and return the error."""
    async with proxy_at(address) as proxy:
        with anyio.fail_after(20), pytest.raises(SandboxError) as caught:
            await proxy.send(request, deadline=seconds)
    assert KEY not in shown_text(caught.value)
    return caught.value


def free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_closed_port_is_a_refused_connection(host: str) -> None:
    address = f"http://{host}:{free_port()}"

    error = await fault(address)

    assert error.message == f"Connection refused: nothing listens at {address}"


async def test_forward_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def take(stream: SocketStream) -> None:
        await stream.receive()

    async with listening(take) as (port, accepted):
        for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        error = await fault(f"http://127.0.0.1:{free_port()}")

    assert "nothing listens" in error.message
    assert accepted == []


async def test_a_host_without_an_address_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)  # no test asks a name server

    error = await fault("http://no-such-host.test:8080")

    assert error.message == "Unknown host: http://no-such-host.test:8080 has no address"


async def test_https_to_an_http_server_is_a_tls_error() -> None:
    async def plain(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(plain) as (port, accepted):
        error = await fault(f"https://127.0.0.1:{port}")

    assert "does not speak TLS, which https needs" in error.message
    assert error.cause == "the scheme (http or https) or the port in proxyUrl."
    assert error.advice.startswith("Write http:// in proxyUrl if the proxy has no https")
    assert len(accepted) == 1, "tried again although nothing can change"


async def test_a_status_request_is_repeated_when_the_server_closes() -> None:
    async def close(_: SocketStream) -> None:
        return

    async with listening(close) as (port, accepted):
        error = await fault(f"http://127.0.0.1:{port}")

    assert isinstance(error, ProxyUnreachable)
    assert len(accepted) == 4


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", b"\x00\xffnonsense\r\n\r\n"],
    ids=["nothing", "half a reply", "garbage"],
)
async def test_a_command_is_sent_once_if_the_server_closes_the_connection(answer: bytes) -> None:
    async def cut(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(answer)

    async with listening(cut) as (port, accepted):
        error = await fault(f"http://127.0.0.1:{port}", PROMPT)

    assert isinstance(error, ProxyUnreachable)
    assert "may have run" in error.advice
    assert len(accepted) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02\x02\x50", b"\x00" * 5000, b"a" * 200_000],
    ids=["ssh", "tls", "zeros", "a long line"],
)
async def test_a_server_of_another_protocol_is_an_error(garbage: bytes) -> None:
    async def babble(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(garbage)

    async with listening(babble) as (port, _):
        error = await fault(f"http://127.0.0.1:{port}")

    assert isinstance(error, ProxyUnreachable)
    assert "does not speak HTTP" in error.message
    assert error.advice.startswith("If it is an https address, write https:// in proxyUrl.")


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\n"],
    ids=["body", "headers"],
)
async def test_an_endless_slow_reply_ends_at_the_deadline(head: bytes) -> None:
    drop = b"1\r\nx\r\n" if b"chunked" in head else b"x: y\r\n"

    async def drip(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(head)
        while True:
            await stream.send(drop)
            await anyio.sleep(0.01)  # the drops are the subject: the deadline ends them

    async with listening(drip) as (port, _):
        error = await fault(f"http://127.0.0.1:{port}", seconds=0.2)

    assert "within 0.2 s (time-out)" in error.message


async def test_an_unrequested_compressed_body_is_refused() -> None:
    async def lie(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello"
        )

    async with listening(lie) as (port, _):
        error = await fault(f"http://127.0.0.1:{port}")

    assert isinstance(error, InvalidResponse)
    assert "is compressed" in error.message


async def test_requests_share_a_connection() -> None:
    async def answer(stream: SocketStream) -> None:
        while True:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with (
        listening(answer) as (port, accepted),
        proxy_at(f"http://127.0.0.1:{port}") as proxy,
    ):
        for _ in range(3):
            await proxy.send(STATUS)

    assert len(accepted) == 1
