"""Requests that the server refuses before they reach the app, on a real socket."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator

import psutil
import pytest
from sandbox_fakeproxy.http import HEADER_LIMIT
from sandbox_fakeproxy.serving import protocol
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.fakeproxy.fake_app import FakeApp, SharedServer, fake_app

PATIENCE = 20.0  # seconds
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: fake\r\n"
# The URL, the names and the values count.
HEALTH_SIZE = len("/healthHostfake")


@pytest.fixture
async def fake(shared_server: SharedServer) -> AsyncGenerator[FakeApp]:
    async with fake_app(server=shared_server) as made:
        yield made


class Connection:
    """A connection to the port, for bytes that no HTTP client would send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), PATIENCE)

    async def read_to_end(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), PATIENCE)


@contextlib.asynccontextmanager
async def connected(fake: FakeApp) -> AsyncGenerator[Connection]:
    url = fake.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def assert_refused_with(answer: bytes, status_line: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(status_line.rstrip())
    assert b"connection: close" in head.split(b"\r\n")
    assert body == b""


@pytest.mark.parametrize("fields", [1, 8, 1024])
async def test_header_fields_may_have_16_kb_and_not_a_byte_more(fake: FakeApp, fields: int) -> None:
    room = HEADER_LIMIT - HEALTH_SIZE - fields
    each, rest = divmod(room, fields)
    sizes = [each + rest] + [each] * (fields - 1)
    request = HEALTH + b"".join(b"x: %s\r\n" % (b"v" * size) for size in sizes)
    async with connected(fake) as connection:
        await connection.send(request + b"Connection: close\r\n\r\n")
        assert (await connection.read_to_end()).startswith(TOO_LARGE)
    request = request.replace(b"v" * len("Connectionclose"), b"", 1)
    async with connected(fake) as connection:
        await connection.send(request + b"Connection: close\r\n\r\n")
        assert (await connection.read_to_end()).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        pytest.param(HEALTH + b"X: ", b"v", id="a value"),
        pytest.param(HEALTH, b"n", id="a name"),
        pytest.param(b"GET /", b"u", id="a URL"),
        pytest.param(HEALTH + b"X: ", b" ", id="blanks"),
        pytest.param(HEALTH, b"x: y\r\n", id="fields"),
        pytest.param(b"", b"\r\n", id="empty lines"),
    ],
)
async def test_100_mb_without_a_key_are_refused_before_they_are_read(
    fake: FakeApp, begin: bytes, more: bytes
) -> None:
    before = psutil.Process().memory_info().rss
    block = more * (100_000 // len(more))

    async def send_all(connection: Connection) -> None:
        with contextlib.suppress(ConnectionError):
            await connection.send(begin)
            for _ in range(1000):
                await connection.send(block)

    async with connected(fake) as connection:
        sending = asyncio.ensure_future(send_all(connection))
        assert_refused_with(await connection.read_to_end(), TOO_LARGE)
        assert psutil.Process().memory_info().rss - before < 30_000_000
        assert (await fake.anonymous.request("GET", "/health")).status_code == 200
        sending.cancel()
        await asyncio.wait({sending})


async def test_pipelined_requests_are_counted_one_by_one(fake: FakeApp) -> None:
    request = HEALTH + b"X: %s\r\n" % (b"v" * 10_000)
    async with connected(fake) as connection:
        await connection.send((request + b"\r\n") * 4 + request + b"Connection: close\r\n\r\n")
        assert (await connection.read_to_end()).count(b"HTTP/1.1 200 OK\r\n") == 5


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_does_not_count(fake: FakeApp, is_chunked: bool) -> None:
    alice = await fake.new_user("alice")
    body = b'{"name": "%s"}' % (b"x" * 60_000)
    length = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    async with connected(fake) as connection:
        await connection.send(
            b"POST /api/me/apikeys HTTP/1.1\r\nHost: fake\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer %s\r\nConnection: close\r\n%s\r\n\r\n"
            % (str(alice.key).encode(), length)
        )
        await connection.send(chunks if is_chunked else body)
        answer = await connection.read_to_end()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"255 characters" in answer


async def test_trailers_over_the_limit_end_the_connection(fake: FakeApp) -> None:
    async with connected(fake) as connection:
        await connection.send(
            b"POST /health HTTP/1.1\r\nHost: fake\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "
        )
        with contextlib.suppress(ConnectionError):
            await connection.send(b"v" * 1_000_000)
            assert b"HTTP/1.1 200" not in await connection.read_to_end()


async def test_a_response_under_way_is_completed_before_the_connection_ends(
    shared_server: SharedServer,
) -> None:
    reached, may_end = threading.Event(), threading.Event()  # the port has a thread of its own

    async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
        reached.set()
        await asyncio.to_thread(may_end.wait, PATIENCE)
        await JSONResponse({"done": True})(scope, receive, send)

    async with fake_app(server=shared_server, upstream=upstream) as fake:
        alice = await fake.new_user("alice")
        await fake.ready_sandbox(alice)
        async with connected(fake) as connection:
            await connection.send(
                b"GET /proxy/box/slow HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer %s\r\n\r\n"
                b"GET / HTTP/1.1\r\nX: %s" % (str(alice.key).encode(), b"v" * 20_000)
            )
            assert await asyncio.to_thread(reached.wait, PATIENCE)
            may_end.set()
            answer = await connection.read_to_end()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"done":true}')


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", HEALTH])
async def test_unfinished_header_fields_are_408(
    fake: FakeApp, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEADER_TIMEOUT", 0.05)
    async with connected(fake) as connection:
        await connection.send(sent)
        assert_refused_with(await connection.read_to_end(), b"HTTP/1.1 408 Request Timeout")


async def test_a_request_that_is_not_http_is_400(fake: FakeApp) -> None:
    async with connected(fake) as connection:
        await connection.send(b"no request at all\r\n\r\n")
        assert (await connection.read_to_end()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
