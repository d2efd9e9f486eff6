"""An outage of the proxy in the middle of each kind of wait: the wait goes on when it is over."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sandbox_client import Client, Config
from sandbox_client.files.model import CopyListener
from sandbox_fakeproxy import FakeProxyServer

from tests.fakeproxy.processes import wait_until
from tests.integration.mcp_client import in_process_client

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from mcp.types import CallToolResult
    from sandbox_client.files.model import FileEntry

BOX, PAUSED, NEW = "box", "asleep", "new"
SEED: dict[str, Any] = {
    "users": [
        {
            "username": "alice",
            "keys": [{}],
            "sandboxes": [{"name": BOX}, {"name": PAUSED, "state": "paused"}],
        }
    ]
}
COMMAND = "until [ -e go ]; do sleep 0.1; done; echo done"
START: tuple[str, dict[str, Any]] = (
    "send_prompt_to_sandbox",
    {"name": BOX, "command": COMMAND, "wait_seconds": 0},
)
WITHOUT_PIPES = "1.0"  # a version of the runtime's API
# The operations that send a signal to a command, by the version of the runtime's API.
SIGNALS = {"1.9": ("killPiped",), WITHOUT_PIPES: ("writeToCommand", "killCommand")}


@pytest.fixture
def runtime_api(request: pytest.FixtureRequest) -> str:
    """Return the version of the runtime's API; a test may be parametrized with another one."""
    return getattr(request, "param", "1.9")


@pytest.fixture
def server(tmp_path: Path, runtime_api: str) -> Generator[FakeProxyServer]:
    """Return a fake on a port, in which a change shows when the test advances the clock."""
    with FakeProxyServer(tmp_path, runtime_api=runtime_api) as server:
        yield server


with_each_api = pytest.mark.parametrize("runtime_api", SIGNALS, indirect=True)


async def call_during_an_outage(
    server: FakeProxyServer,
    end: Callable[[], None],
    *calls: tuple[str, dict[str, Any]],
    faults: Sequence[dict[str, Any]] = (),
    **variables: str,
) -> CallToolResult:
    """Call tools; stop the server when the last call waits, start it again, and call `end`.

    `faults` are armed before, and `variables` are environment variables of the client. The last
    call is about the session of an earlier one, if there is any. Return its result.
    """
    key = server.seed(SEED)["users"][0]["keys"][0]["api_key"]
    for fault in faults:
        server.faults.add(**fault)
    session: dict[str, Any] = {}
    waiting = asyncio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        waiting.set()

    async with in_process_client(server.url, key, None, **variables) as client:
        for tool, arguments in calls[:-1]:
            session = {"session": content_of(await client.call_tool(tool, arguments))["session"]}
        tool, arguments = calls[-1]
        call = asyncio.ensure_future(
            client.call_tool(tool, {**arguments, **session}, progress_callback=progress)
        )
        await asyncio.wait_for(waiting.wait(), 20)
        await asyncio.to_thread(server.stop)
        waiting.clear()
        await asyncio.wait_for(waiting.wait(), 20)  # it waits on, although nothing answers
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(end)
        return await asyncio.wait_for(call, 40)


def content_of(result: CallToolResult) -> dict[str, Any]:
    """Return the structured content of a call, which has to succeed."""
    assert not result.is_error, result.content
    content: dict[str, Any] | None = result.structured_content
    assert content is not None
    return content


@pytest.mark.parametrize(
    ("tool", "name", "route", "state"),
    [
        ("create_sandbox", NEW, "/api/sandboxes", "ready"),
        ("resume_sandbox", PAUSED, f"/api/sandboxes/{PAUSED}/resume", "ready"),
        ("pause_sandbox", BOX, f"/api/sandboxes/{BOX}/pause", "paused"),
    ],
)
async def test_a_wait_for_a_state_survives_an_outage(
    server: FakeProxyServer, tool: str, name: str, route: str, state: str
) -> None:
    result = await call_during_an_outage(server, lambda: server.advance(10), (tool, {"name": name}))
    assert content_of(result)["state"] == state
    server.assert_requested("POST", route, times=1)


def work_directory(folder: Path) -> Path:
    """Return the directory in which the commands of the only sandbox that has run any work."""
    (work,) = (each for each in folder.glob("*/sandbox") if each.exists())
    return work


def let_go(folder: Path) -> None:
    """Let COMMAND end."""
    (work_directory(folder) / "go").touch()


@with_each_api
async def test_a_wait_for_a_new_command_survives_an_outage(
    server: FakeProxyServer, tmp_path: Path
) -> None:
    send = ("send_prompt_to_sandbox", {"name": BOX, "command": COMMAND})
    content = content_of(await call_during_an_outage(server, lambda: let_go(tmp_path), send))
    assert (content["output"], content["exit_code"]) == ("done\n", 0)


@with_each_api
async def test_a_wait_for_an_earlier_command_survives_an_outage(
    server: FakeProxyServer, tmp_path: Path
) -> None:
    wait = ("get_prompt_output", {"name": BOX})
    content = content_of(await call_during_an_outage(server, lambda: let_go(tmp_path), START, wait))
    assert (content["output"], content["exit_code"]) == ("done\n", 0)


@with_each_api
async def test_a_wait_for_the_end_of_a_killed_command_survives_an_outage(
    server: FakeProxyServer, tmp_path: Path, runtime_api: str
) -> None:
    # Each signal is answered as sent, and the command runs on until the outage is over.
    body = {"success": True, "data": {"status": "terminated"}}
    ineffective = [
        {"operation": operation, "answer": {"body": body}} for operation in SIGNALS[runtime_api]
    ]

    result = await call_during_an_outage(
        server,
        lambda: let_go(tmp_path),
        START,
        ("cancel_prompt", {"name": BOX}),
        faults=ineffective,
    )
    content = content_of(result)
    assert (content["output"], content["exit_code"]) == ("done\n", 0)
    assert content["signals"][0] == "SIGINT"


@with_each_api
async def test_a_kill_survives_an_outage_while_it_is_under_way(
    server: FakeProxyServer, runtime_api: str
) -> None:
    # The clock stands still, so that no byte of the answer's body comes.
    slow = {"operation": SIGNALS[runtime_api][0], "do": "trickle", "times": 1}

    result = await call_during_an_outage(
        server, lambda: None, START, ("cancel_prompt", {"name": BOX}), faults=[slow]
    )
    assert content_of(result)["exit_code"] == 130


@pytest.mark.parametrize(
    ("runtime_api", "fault"),
    [
        ("1.9", {"operation": "createPipeSession", "delay": 1000, "times": 1}),
        ("1.9", {"operation": "executePiped", "do": "trickle", "times": 1}),
        (WITHOUT_PIPES, {"operation": "executeCommand", "do": "trickle", "times": 1}),
    ],
    indirect=["runtime_api"],
    ids=["its session is opened", "its command runs", "its command runs on a terminal"],
)
async def test_the_start_of_an_agent_survives_an_outage(
    server: FakeProxyServer, tmp_path: Path, fault: dict[str, Any]
) -> None:
    result = await call_during_an_outage(
        server,
        lambda: None,
        ("run_agent", {"name": BOX, "prompt": "work"}),
        faults=[fault],
        REMOTE_SANDBOX_AGENT_COMMAND="echo x >>runs; sleep 1000; : {prompt}",
    )
    assert content_of(result)["status"] == "running"
    runs = work_directory(tmp_path) / "runs"
    await wait_until(lambda: runs.exists() and runs.read_text() != "")
    assert runs.read_text() == "x\n"
    sent = [each["path"] for each in server.requests() if each["path"].endswith("/exec")]
    assert len(sent) == 1


class RestartOnce(CopyListener):
    """Stops the proxy when the first piece was copied; it is started again in three seconds."""

    def __init__(self, server: FakeProxyServer) -> None:
        self._server = server
        self._starter: threading.Timer | None = None

    def transferred(self, entry: FileEntry, size: int) -> None:
        if self._starter is None:
            self._server.stop()
            self._starter = threading.Timer(3, self._server.start)
            self._starter.start()

    def join(self) -> None:
        """Wait until the proxy runs again."""
        assert self._starter is not None
        self._starter.join()


def temporary_files(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part-*"))


async def test_a_copy_survives_a_restart_of_the_proxy_each_way(
    server: FakeProxyServer, tmp_path: Path
) -> None:
    key = server.seed(SEED)["users"][0]["keys"][0]["api_key"]
    data = os.urandom(600_000)
    for name in ("one", "two"):
        (tmp_path / f"{name}.bin").write_bytes(data)
    sources = [str(tmp_path / f"{name}.bin") for name in ("one", "two")]
    copied = ["there/one.bin", "there/two.bin"]
    up, down = RestartOnce(server), RestartOnce(server)
    async with Client.connect(Config(proxy_url=server.url, api_key=key)) as client:
        await client.upload(BOX, sources, "there/", listener=up)
        up.join()
        await client.download(BOX, copied, f"{tmp_path}/back/", listener=down)
        down.join()
    assert [path.read_bytes() for path in (tmp_path / "back").iterdir()] == [data, data]
    assert temporary_files(tmp_path) == []
