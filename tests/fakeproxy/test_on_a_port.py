"""The app behind its server: each route once on a real socket, and socket-level behaviour."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sandbox_fakeproxy import Fake, LocalRuntime

from tests.fakeproxy.fake_app import Client, FakeApp, SharedServer, exec_path, fake_app
from tests.fakeproxy.processes import wait_until

USER = "/api/admin/users/{user_id}"
BOX = "/api/sandboxes/box"
FILE = "/proxy/box/v1/file"
UPLOAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhi\r\n--x--\r\n'


@pytest.fixture
async def fake(shared_server: SharedServer) -> AsyncGenerator[FakeApp]:
    async with fake_app(server=shared_server) as served:
        yield served


@pytest.fixture
async def alice(fake: FakeApp) -> Client:
    """Return a user with a sandbox that is ready and holds a file."""
    alice = await fake.new_user("alice")
    await fake.ready_sandbox(alice)
    await alice.request("POST", f"{FILE}/write", {"file": "/sandbox/f", "content": "hello"})
    return alice


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/health", None, 200),
        ("GET", "/nowhere", None, 404),
        ("GET", "/api/me", None, 200),
        ("GET", "/api/me/apikeys", None, 200),
        ("POST", "/api/me/apikeys", {"name": "laptop"}, 201),
        ("DELETE", "/api/me/apikeys/{key_id}", None, 200),
        ("GET", "/api/sandboxes", None, 200),
        ("POST", "/api/sandboxes", {"name": "other"}, 201),
        ("GET", BOX, None, 200),
        ("DELETE", BOX, None, 200),
        ("POST", f"{BOX}/pause", None, 200),
        ("POST", f"{BOX}/resume", None, 200),
        ("POST", exec_path(), {"command": "ls"}, 200),
        ("POST", f"{FILE}/read", {"file": "/sandbox/f"}, 200),
        ("GET", f"{FILE}/download?path=/sandbox/f", None, 200),
        ("GET", "/proxy/box/v1/sandbox", None, 200),
        ("PATCH", "/proxy/box/unknown", None, 404),
        ("GET", "/api/admin/users", None, 200),
        ("POST", "/api/admin/users", {"username": "bob"}, 201),
        ("GET", USER, None, 200),
        ("PUT", USER, {"email": "a@example.org"}, 200),
        ("DELETE", USER, None, 200),
        ("GET", f"{USER}/apikeys", None, 200),
        ("POST", f"{USER}/apikeys", None, 201),
        ("DELETE", "/api/admin/apikeys/{key_id}", None, 200),
        ("POST", "/_fake/clock/advance", {"seconds": 1}, 200),
        ("POST", "/_fake/reset", None, 200),
        ("GET", "/_fake/requests?limit=1", None, 200),
        ("GET", "/_fake/state", None, 200),
        ("PUT", "/_fake/seed", {"users": []}, 200),
        ("PUT", "/_fake/sandboxes/alice/box/failure-mode", {"failure_mode": "failed"}, 200),
    ],
)
async def test_each_route_is_served(
    fake: FakeApp, alice: Client, method: str, path: str, body: Any, status: int
) -> None:
    keys = (await alice.request("GET", "/api/me/apikeys")).json()["api_keys"]
    path = path.format(user_id=fake.users["alice"], key_id=keys[0]["id"])
    is_admins = path.startswith(("/api/admin/", "/_fake/"))
    reply = await (fake.admin if is_admins else alice).request(method, path, body)
    assert reply.status_code == status, reply.text


async def test_a_form_is_uploaded(alice: Client) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = await alice.request("POST", f"{FILE}/upload", content=UPLOAD, headers=headers)
    assert reply.json()["data"] == {"file_path": "/home/gem/f", "file_size": 2, "success": True}


@pytest.mark.parametrize("path", ["/health", "/api/me"])
async def test_after_a_head_the_connection_serves_the_next_request(
    alice: Client, path: str
) -> None:
    get, head = await alice.request("GET", path), await alice.request("HEAD", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-length"] == str(len(get.content))
    assert (await alice.request("GET", "/api/me")).status_code == 200


async def test_a_304_has_no_body(shared_server: SharedServer) -> None:
    async with fake_app(server=shared_server, as_deployed=True) as fake:
        alice = await fake.new_user("alice")
        etag = (await alice.request("GET", "/api/me")).headers["etag"]
        reply = await alice.request("GET", "/api/me", headers={"If-None-Match": etag})
        assert (reply.status_code, reply.content) == (304, b"")
        assert (await alice.request("GET", "/api/me")).status_code == 200


async def test_a_large_body_is_refused_with_an_answer(fake: FakeApp, alice: Client) -> None:
    body = b"x" * 5_000_000
    headers = {"Content-Type": "application/json"}
    assert (await fake.anonymous.request("POST", "/api/sandboxes", content=body)).status_code == 401
    reply = await alice.request("POST", "/api/sandboxes", content=body, headers=headers)
    assert reply.status_code == 413


async def test_a_body_may_come_in_chunks(alice: Client) -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        yield b'{"name": '
        yield b'"other"}'

    headers = {"Authorization": f"Bearer {alice.key}", "Content-Type": "application/json"}
    reply = await alice.http.post("/api/sandboxes", content=chunks(), headers=headers)
    assert reply.status_code == 201


async def test_a_caller_that_hangs_up_does_not_stop_the_command(
    shared_server: SharedServer, tmp_path: Path
) -> None:
    async with fake_app(LocalRuntime(tmp_path), shared_server) as fake:
        alice = await fake.new_user("alice")
        await fake.ready_sandbox(alice)
        home = tmp_path / fake.sandbox_id("alice") / "home"
        command = "touch started; while ! test -e go; do sleep 0.01; done; touch on"
        calling = asyncio.ensure_future(alice.request("POST", exec_path(), {"command": command}))
        await wait_until((home / "started").exists)
        calling.cancel()
        await asyncio.wait({calling})
        (home / "go").touch()
        await wait_until((home / "on").exists)


@pytest.mark.parametrize(
    ("path", "as_deployed"),
    [("/api/sandboxes", False), (f"{FILE}/upload", False), (f"{FILE}/write", True)],
)
async def test_a_caller_that_hangs_up_while_it_sends_is_no_error(
    path: str,
    as_deployed: bool,
    shared_server: SharedServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with fake_app(server=shared_server, as_deployed=as_deployed) as fake:
        alice = await fake.new_user("alice")
        await fake.ready_sandbox(alice)
        url = fake.http.base_url
        _, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.key}\r\n"
        writer.write(f"{head}Content-Length: 1000\r\n\r\nhalf of the body".encode())
        writer.close()
        noted = await ended_request(fake, shared_server, "POST", path)

    assert (noted["path"], noted["status"]) == (path, None)
    assert errors_of(caplog) == []


async def test_a_file_that_becomes_shorter_ends_its_download_with_the_connection(
    shared_server: SharedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_app(LocalRuntime(tmp_path), shared_server) as fake:
        alice = await fake.new_user("alice")
        await fake.ready_sandbox(alice)
        await alice.request("POST", f"{FILE}/write", {"file": "/sandbox/f", "content": "x"})
        file = tmp_path / fake.sandbox_id("alice") / "sandbox" / "f"
        os.truncate(file, 64_000_000)  # more than the sockets buffer
        headers = {"Authorization": f"Bearer {alice.key}"}
        path, query = f"{FILE}/download", {"path": "/sandbox/f"}
        async with alice.http.stream("GET", path, params=query, headers=headers) as reply:
            os.truncate(file, 1)
            with pytest.raises(httpx.RemoteProtocolError):
                await reply.aread()
        await ended_request(fake, shared_server, "GET", path)

    assert errors_of(caplog) == []


async def ended_request(
    fake: FakeApp, server: SharedServer, method: str, path: str
) -> dict[str, Any]:
    """Wait until a request that was sent since the clock's last advance is over."""
    assert server.thread is not None
    control: Fake = fake.app.state.fake
    waiting = control.wait_for_request(method, path, since=fake.clock.now())
    return await asyncio.to_thread(server.thread.call, waiting)


def errors_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


async def test_badly_encoded_paths_and_keys_reach_the_app(fake: FakeApp, alice: Client) -> None:
    request = fake.http.build_request("GET", "/", headers={"Authorization": f"Bearer {alice.key}"})
    request.url = request.url.copy_with(raw_path=b"/api/sandboxes/%zz")  # httpx would mend it
    assert (await fake.http.send(request)).status_code == 400
    headers = [(b"Authorization", b"Bearer \xff\xfe")]
    assert (await fake.http.get("/api/me", headers=headers)).status_code == 401


async def test_a_hundred_requests_at_once_are_all_answered(fake: FakeApp, alice: Client) -> None:
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(
        base_url=fake.http.base_url, limits=limits, timeout=30, trust_env=False
    ) as http:
        caller = Client(http, alice.key)
        replies = await asyncio.gather(
            *(caller.request("GET", "/api/sandboxes") for _ in range(100))
        )
    assert {reply.status_code for reply in replies} == {200}
