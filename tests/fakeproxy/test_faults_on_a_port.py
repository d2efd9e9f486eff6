"""Every fault on a real socket, and outages."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sandbox_fakeproxy import FakeProxyServer, ScriptedRuntime
from sandbox_fakeproxy._control.faults import ACTIONS

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


def raw_answer(server: FakeProxyServer, key: str, *, advance: int = 0) -> tuple[bytes, bool]:
    """Create a sandbox; return all bytes of the answer, and whether a reset ended them.

    `advance` moves the fake's clock by so many seconds once the headers have arrived; then the
    answer is read until it has as many bytes.
    """
    address = urlsplit(server.url)
    request = (
        f"POST /api/sandboxes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"name":"box"}'
    )
    answer, seconds, wanted = b"", advance, 0
    with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT) as connection:
        connection.sendall(request.encode())
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
    assert http.get("/health", timeout=TIMEOUT).status_code == 200


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
    with FakeProxyServer(tmp_path, runtime=ScriptedRuntime) as server:
        server.faults.add(do="hang", times=1)
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT) as asking:
            asking.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            while not server.faults.armed()[0]["hits"]:
                pass
            server.stop()
            assert asking.recv(1) == b""
        server.start()
        assert server.client().get("/health").status_code == 200
    assert caplog.records == []


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
