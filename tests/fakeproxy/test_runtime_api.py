"""The version of the runtime's API: whether it has commands with pipes."""

from pathlib import Path
from typing import Any

import pytest
from sandbox_fakeproxy import FakeProxy, ManualClock, ScriptedRuntime, create_app
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.fakeproxy.fake_app import fake_app

SESSIONS = "/proxy/box/v1/bash/sessions"
WITH, WITHOUT = (200, "Sessions listed"), (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, WITH),
        ({"as_deployed": True}, WITHOUT),
        ({"runtime_api": "1.0"}, WITHOUT),
        ({"runtime_api": "1.9", "as_deployed": True}, WITH),
        ({"runtime_api": "1.0", "as_deployed": True}, WITHOUT),
    ],
)
async def test_a_runtime_has_pipes_unless_it_is_older(options: dict[str, Any], answer: Any) -> None:
    async with fake_app(**options) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        reply = await alice.request("GET", SESSIONS)
        assert (reply.status_code, reply.json().get("message", reply.json())) == answer
        for path in ("v1/shell/sessions", "v1/sandbox"):
            assert (await alice.request("GET", f"/proxy/box/{path}")).status_code == 200
        for path in ("v1/bash", "v1/bash/none"):
            assert (await alice.request("GET", f"/proxy/box/{path}")).json() == WITHOUT[1]


async def test_without_pipes_their_paths_go_to_upstream() -> None:
    async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
        path = Request(scope).url.path
        await JSONResponse({"upstream": path})(scope, receive, send)

    async with fake_app(runtime_api="1.0", upstream=upstream) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        reply = await alice.request("GET", SESSIONS)
        assert reply.json() == {"upstream": "/v1/bash/sessions"}


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"runtime_api has value '2'. Expected one of: 1.0, 1.9"):
        create_app(admin_key="k", runtime=ScriptedRuntime(), runtime_api="2")


async def test_pipe_sessions_of_a_fake_in_process_age_on_its_clock(tmp_path: Path) -> None:
    proxy = FakeProxy(tmp_path, ready_after=0)
    assert isinstance(proxy.clock, ManualClock)
    try:
        async with proxy.client(proxy.user()) as http:
            await http.post("/api/sandboxes", json={"name": "box"})
            reply = await http.post("/proxy/box/v1/bash/exec", json={"command": "echo on"})
            assert reply.json()["data"]["stdout"] == "on\n"
            assert len((await http.get(SESSIONS)).json()["data"]) == 1
            proxy.advance(3600)
            assert (await http.get(SESSIONS)).json()["data"] == []
    finally:
        proxy.close()
