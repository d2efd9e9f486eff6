"""Every fault on a real socket, and outages."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sandbox_fakeproxy import FakeProxyServer, ScriptedRuntime
from sandbox_fakeproxy.control.faults import ACTIONS
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

TIMEOUT = 10.0  # seconds; far more than any answer here takes


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeProxyServer]:
    folder = tmp_path_factory.mktemp("fake")
    with FakeProxyServer(folder, runtime=ScriptedRuntime, ready_after=0) as server:
        yield server


@pytest.fixture
def server(shared_server: FakeProxyServer) -> FakeProxyServer:
    """Return a fake on a port in which nothing has happened, except that time may have passed."""
    shared_server.reset()
    return shared_server


def connect(server: FakeProxyServer) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=TIMEOUT)


def raw_answer(
    server: FakeProxyServer, key: str, *, body: bytes = b'{"name":"box"}', advance: int = 0
) -> tuple[bytes, bool]:
    """Create a sandbox; return all bytes of the answer, and whether a reset ended them.

    `advance` moves the fake's clock by so many seconds once the headers have arrived; then the
    answer is read until it has as many bytes.
    """
    request = (
        f"POST /api/sandboxes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer, seconds, wanted = b"", advance, 0
    with connect(server) as connection:
        connection.sendall(request.encode() + body)
        try:
            while chunk := connection.recv(65536):
                answer += chunk
                if advance and b"\r\n\r\n" in answer:
                    server.advance(advance)
                    advance = 0
                    wanted = len(answer.split(b"\r\n\r\n")[0]) + 4 + seconds
                if seconds and len(answer) >= wanted:
                    return answer, False
        except ConnectionResetError:
            return answer, True
    return answer, False


def has_box(server: FakeProxyServer) -> bool:
    return any(user["sandboxes"] for user in server.state()["users"])


def head_and_body(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def promised(head: bytes) -> int:
    (length,) = (line for line in head.splitlines() if line.startswith(b"content-length: "))
    return int(length.split()[1])


def test_reset_before_headers_resets_the_connection(server: FakeProxyServer) -> None:
    server.faults.add(do="reset-before-headers")
    assert raw_answer(server, server.user()) == (b"", True)
    assert not has_box(server)


def test_reset_in_body_resets_it_after_half_of_the_body(server: FakeProxyServer) -> None:
    server.faults.add(do="reset-in-body")
    answer, was_reset = raw_answer(server, server.user())
    head, body = head_and_body(answer)
    assert (head.split(b"\r\n")[0], was_reset) == (b"HTTP/1.1 201 Created", True)
    assert len(body) == promised(head) // 2
    assert has_box(server)


def test_drop_after_commit_does_the_work_and_answers_nothing(server: FakeProxyServer) -> None:
    server.faults.add(do="drop-after-commit")
    assert raw_answer(server, server.user()) == (b"", False)
    assert has_box(server)
    (request,) = server.requests(limit=1)
    assert (request["status"], request["fault"]) == (None, "drop-after-commit")


@pytest.mark.parametrize("action", ["drop-after-commit", "truncate", "garbage"])
def test_a_connection_ends_without_a_reset_though_the_app_reads_no_body(
    server: FakeProxyServer, action: str
) -> None:
    server.faults.add(do=action)
    _, was_reset = raw_answer(server, "unknown", body=b"x" * 1_000_000)
    assert not was_reset


def test_truncate_ends_the_connection_after_half_of_the_body(server: FakeProxyServer) -> None:
    server.faults.add(do="truncate")
    answer, was_reset = raw_answer(server, server.user())
    head, body = head_and_body(answer)
    assert (len(body), was_reset) == (promised(head) // 2, False)
    assert has_box(server)


def test_trickle_sends_a_byte_a_second_of_the_fakes_clock(server: FakeProxyServer) -> None:
    server.faults.add(do="trickle")
    head, body = head_and_body(raw_answer(server, server.user(), advance=3)[0])
    assert promised(head) > 3
    assert body == b'{"s'
    assert has_box(server)


def test_garbage_is_no_http(server: FakeProxyServer) -> None:
    server.faults.add(do="garbage")
    answer, was_reset = raw_answer(server, server.user())
    assert (answer.startswith(b"\x00"), b"HTTP/" in answer, was_reset) == (True, False, False)
    assert not has_box(server)


def test_hang_sends_nothing_until_the_client_leaves(server: FakeProxyServer) -> None:
    server.faults.add(do="hang", times=1)
    http = server.client(server.user())
    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/sandboxes", json={"name": "box"}, timeout=0.1)
    server.wait_for_request("POST", "/api/sandboxes", within=TIMEOUT)
    assert not has_box(server)


@pytest.mark.parametrize(
    ("action", "status", "content_type"),
    [
        ("not-json", 200, "application/json"),
        ("html", 200, "text/html; charset=utf-8"),
        ("large", 200, "application/json"),
        ("wrong-type", 201, "application/json"),
        ("redirect", 307, None),
    ],
)
def test_other_answers_arrive_as_in_process(
    server: FakeProxyServer, action: str, status: int, content_type: str | None
) -> None:
    server.faults.add(do=action)
    reply = server.client(server.user()).post("/api/sandboxes", json={"name": "box"})
    assert (reply.status_code, reply.headers.get("content-type")) == (status, content_type)


def test_an_answer_arrives_though_the_requests_body_is_not_read(server: FakeProxyServer) -> None:
    server.faults.add(operation="createSandbox", times=1, answer={"status": 503})
    http = server.client(server.user())
    assert http.post("/api/sandboxes", content=b"x" * 1_000_000).status_code == 503
    assert http.get("/api/me").status_code == 200


@pytest.mark.parametrize("action", ACTIONS)
def test_after_a_fault_the_server_answers(server: FakeProxyServer, action: str) -> None:
    server.faults.add(operation="getHealth", times=1, do=action)
    http = server.client()
    with suppress(httpx.HTTPError):
        http.get("/health", timeout=0.1)
    assert server.faults.armed()[0]["hits"] == 1
    assert http.get("/health", timeout=TIMEOUT).status_code == 200


def test_pipelined_requests_under_a_fault_end_with_the_connection(server: FakeProxyServer) -> None:
    server.faults.add(operation="getHealth", do="hang")
    with connect(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    server.wait_for_request("GET", "/health", within=TIMEOUT)


def test_a_reset_is_no_error_if_the_client_hangs_up_first(
    server: FakeProxyServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.add(do="reset-in-body")
    with connect(server) as connection:
        connection.sendall(b"POST /api/me HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    server.wait_for_request("POST", "/api/me", within=TIMEOUT)
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


# Outages -----------------------------------------------------------------------------------------


def test_a_stopped_server_refuses_connections_and_keeps_its_state(tmp_path: Path) -> None:
    with FakeProxyServer(tmp_path, runtime=ScriptedRuntime) as server:
        http = server.client(server.user())
        http.post("/api/sandboxes", json={"name": "box"})
        server.stop()
        server.stop()
        with pytest.raises(httpx.ConnectError):
            http.get("/api/sandboxes/box")
        assert has_box(server)
        server.start()
        server.start()
        assert http.get("/api/sandboxes/box").status_code == 200


def test_a_stop_ends_requests_under_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    received = threading.Event()

    async def hang(scope: Scope, receive: Receive, _send: Send) -> None:
        received.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    with (
        FakeProxyServer(tmp_path, runtime=ScriptedRuntime, ready_after=0, upstream=hang) as server,
        connect(server) as connection,
    ):
        http = server.client(key := server.user())
        http.post("/api/sandboxes", json={"name": "box"})
        head = f"GET /proxy/box/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
        connection.sendall(head.encode() * 2)  # the second one waits for the first one
        assert received.wait(TIMEOUT)
        server.stop()
        assert connection.recv(1) == b""
        server.start()
        assert http.get("/health").status_code == 200
    assert caplog.records == []


def test_a_start_says_that_the_port_is_taken(tmp_path: Path) -> None:
    with FakeProxyServer(tmp_path, runtime=ScriptedRuntime) as server:
        server.stop()
        with socket.socket() as other:
            other.bind(("127.0.0.1", urlsplit(server.url).port or 0))
            other.listen()
            with pytest.raises(RuntimeError, match=f"has taken the address {server.url} since"):
                server.start()
        server.start()
        assert server.client().get("/health").status_code == 200


def test_outside_its_block_a_server_says_so(tmp_path: Path) -> None:
    server = FakeProxyServer(tmp_path, runtime=ScriptedRuntime)
    for use in (lambda: server.url, server.user, server.start):
        with pytest.raises(RuntimeError, match="use it inside its `with` block"):
            use()
    with server:
        assert server.client().get("/health").status_code == 200
    with pytest.raises(RuntimeError, match="use it inside its `with` block"):
        server.state()


def test_a_call_from_the_servers_own_thread_is_refused(tmp_path: Path) -> None:
    servers: list[FakeProxyServer] = []

    async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match="would wait for itself") as refused:
            servers[0].state()
        await PlainTextResponse(str(refused.value))(scope, receive, send)

    with FakeProxyServer(
        tmp_path, runtime=ScriptedRuntime, ready_after=0, upstream=upstream
    ) as server:
        servers.append(server)
        http = server.client(server.user())
        http.post("/api/sandboxes", json={"name": "box"})
        assert http.get("/proxy/box/x").status_code == 200


def test_a_command_goes_on_during_an_outage(tmp_path: Path) -> None:
    with FakeProxyServer(tmp_path, ready_after=0) as server:
        http = server.client(server.user())
        http.post("/api/sandboxes", json={"name": "box"})
        path = "/proxy/box/v1/shell"
        started = http.post(f"{path}/exec", json={"command": "read x; echo $x", "async_mode": True})
        session = started.json()["data"]["session_id"]
        server.stop()
        server.start()
        http.post(f"{path}/write", json={"id": session, "input": "typed", "press_enter": True})
        waited = http.post(f"{path}/wait", json={"id": session, "seconds": TIMEOUT})
        viewed = http.post(f"{path}/view", json={"id": session}).json()["data"]
        assert waited.json()["data"]["status"] == "completed"
        assert viewed["output"].rstrip().endswith("typed")
