"""The shell API's tables, row by row, through the proxy, with commands that really run."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sandbox_fakeproxy import LocalRuntime

from tests.fakeproxy.world import Caller, a_world


@dataclass
class Api:
    """The shell API of a sandbox, as its owner asks it."""

    caller: Caller

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        reply = await self.caller(method, f"/proxy/box/v1/shell/{path}", body)
        return reply.status_code, reply.json()

    async def data(self, path: str, **body: Any) -> Any:
        """Ask, and return `data` of a reply in the runtime's wrapper."""
        status, reply = await self.ask("POST", path, **body)
        assert status == 200, reply
        assert set(reply) == {"success", "message", "data", "hint"}
        assert (reply["success"], reply["hint"]) == (True, None)
        return reply["data"]

    async def session(self) -> str:
        session: str = (await self.data("sessions/create"))["session_id"]
        return session


@pytest.fixture(params=["in process", "on a port"])
async def api(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Api]:
    port = request.getfixturevalue("port") if request.param == "on a port" else None
    async with a_world(LocalRuntime(tmp_path / "sandboxes"), port) as world:
        alice = await world.user("alice")
        await world.sandbox(alice)
        yield Api(alice)


async def test_exec_answers_every_field_of_data(api: Api) -> None:
    data = await api.data("exec", command="echo out; echo err >&2; exit 3")
    assert set(data) == {"session_id", "command", "status", "output", "console", "exit_code"}
    assert (data["status"], data["output"], data["exit_code"]) == ("completed", "out\nerr\n", 3)
    (record,) = data["console"]
    assert set(record) == {"ps1", "command", "output"}
    assert (record["command"], record["output"]) == (data["command"], "out\nerr\n")


async def test_without_a_command_it_is_422_in_fastapis_shape(api: Api) -> None:
    status, reply = await api.ask("POST", "exec")
    assert status == 422
    (issue,) = reply["detail"]
    assert issue == {"loc": ["body", "command"], "msg": "Field required", "type": "missing"}


async def test_exec_id_is_the_session_to_run_in(api: Api) -> None:
    first = await api.data("exec", command="cd /; export WHO=me")
    again = await api.data("exec", command="echo $WHO $PWD", id=first["session_id"])
    assert (again["output"], again["session_id"]) == ("me /\n", first["session_id"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "exec", {"command": "true"}),
        ("POST", "view", {}),
        ("POST", "wait", {}),
        ("POST", "write", {"input": "x", "press_enter": True}),
        ("POST", "kill", {}),
        ("DELETE", "sessions/nowhere", {}),
    ],
)
async def test_an_unknown_session_is_404(
    api: Api, method: str, path: str, body: dict[str, Any]
) -> None:
    status, reply = await api.ask(method, path, **body, id="nowhere")
    assert status == 404
    assert "Session not found" in reply["message"]


async def test_exec_dir_is_where_the_command_runs(api: Api) -> None:
    await api.data("exec", command="mkdir -p deep")
    data = await api.data("exec", command='echo "${PWD##*/}"', exec_dir="/sandbox/deep")
    assert data["output"] == "deep\n"


async def test_a_missing_exec_dir_is_an_error_when_strict_else_the_sessions_is_used(
    api: Api,
) -> None:
    asked = {"command": "echo ran", "exec_dir": "/sandbox/missing"}
    status, reply = await api.ask("POST", "exec", **asked, strict=True)
    assert status == 400
    assert reply["success"] is False
    assert (await api.data("exec", **asked))["output"] == "ran\n"


async def test_async_mode_answers_running_at_once(api: Api) -> None:
    data = await api.data("exec", command="cat", async_mode=True)
    assert (data["status"], data["exit_code"]) == ("running", None)


async def test_timeout_answers_running_and_the_command_goes_on(api: Api) -> None:
    data = await api.data("exec", command="echo first; read x; echo $x", timeout=0.2)
    assert (data["status"], data["exit_code"]) == ("running", None)
    session = data["session_id"]
    await api.data("write", id=session, input="second", press_enter=True)
    assert await api.data("wait", id=session, seconds=20) == {"status": "completed"}
    view = await api.data("view", id=session)
    assert (view["console"][-1]["output"], view["exit_code"]) == ("first\nsecond\n", 0)


async def test_no_change_timeout_answers_after_silence_and_the_command_goes_on(api: Api) -> None:
    data = await api.data("exec", command="echo first; cat", no_change_timeout=1)
    assert (data["status"], data["output"]) == ("no_change_timeout", "first\n")
    assert data["exit_code"] is None
    assert (await api.data("view", id=data["session_id"]))["status"] == "running"


async def test_hard_timeout_kills_and_answers_the_output_so_far(api: Api) -> None:
    data = await api.data("exec", command="echo first; sleep 1000", hard_timeout=0.2)
    assert (data["status"], data["exit_code"]) == ("hard_timeout", None)
    assert data["output"].startswith("first\n")
    again = await api.data("exec", command="echo usable", id=data["session_id"])
    assert again["output"] == "usable\n"


@pytest.mark.parametrize(("truncate", "whole"), [(True, False), (False, True)])
async def test_truncate_cuts_output_above_30000_characters(
    api: Api, truncate: bool, whole: bool
) -> None:
    data = await api.data("exec", command="seq 1 20000", truncate=truncate)
    assert (len(data["output"]) > 30_100) is whole


async def test_view_answers_the_sessions_snapshot(api: Api) -> None:
    session = await api.session()
    await api.data("exec", command="echo one", id=session)
    await api.data("exec", command="echo two; false", id=session)
    view = await api.data("view", id=session)
    assert set(view) == {"output", "session_id", "status", "console", "command", "exit_code"}
    assert (view["status"], view["command"], view["exit_code"]) == (
        "completed",
        "echo two; false",
        1,
    )
    assert [record["output"] for record in view["console"]] == ["one\n", "two\n"]
    assert "one\n" in view["output"]
    assert "two\n" in view["output"]


async def test_kill_answers_terminated_without_an_exit_code(api: Api) -> None:
    data = await api.data("exec", command="sleep 1000", async_mode=True)
    killed = await api.data("kill", id=data["session_id"])
    assert killed == {"status": "terminated", "exit_code": None, "returncode": None}


async def test_sessions_are_made_once_listed_and_deleted(api: Api) -> None:
    made = await api.data("sessions/create", id="mine", exec_dir="/home/gem")
    assert made["session_id"] == "mine"
    assert (await api.data("sessions/create", id="mine")) == made
    _, listed = await api.ask("GET", "sessions")
    assert set(listed["data"]["sessions"]) == {"mine"}
    status, _ = await api.ask("DELETE", "sessions/mine")
    assert status == 200
    status, _ = await api.ask("DELETE", "sessions/mine")
    assert status == 404


async def test_two_commands_at_once_in_a_session_are_refused(api: Api) -> None:
    data = await api.data("exec", command="cat", async_mode=True)
    status, reply = await api.ask("POST", "exec", command="echo two", id=data["session_id"])
    assert (status, reply["success"]) == (409, False)
    assert data["session_id"] in reply["message"]
