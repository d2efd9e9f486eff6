"""Every tool under every fault of the fake: the answer is in time, true, harmless and secret-free.

Each cell is a tool under a fault that all requests of its user meet, or only the first one: any
request, or those of the operation that makes the tool's change. The cells run side by side, on real
sockets and the client's real deadlines, each with a client, a user and sandboxes of its own. What
has to hold of each is in fault_checks.py, and what does not hold today in known_problems.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sandbox_client.mcp_server.tools import TOOLS
from sandbox_fakeproxy import FakeProxyServer, SystemClock

from tests.client.repository_stub import make_repository
from tests.integration.fault_cells import (
    AGENT_COMMAND,
    BOX,
    CALLS,
    CHANGES,
    FILE,
    OUTPUT,
    PAUSED,
    PROJECT,
    SESSIONS,
    TEXT,
    cells_for,
)
from tests.integration.fault_checks import ADMISSIONS, DEADLINES, check
from tests.integration.fault_truth import Outcome
from tests.integration.known_problems import BY_DESIGN, KNOWN, expected_problems
from tests.integration.mcp_client import in_process_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator, Iterable, Mapping
    from pathlib import Path

    from mcp.types import CallToolResult

    from tests.integration.fault_cells import Api, Cell

# The matrices: how many requests meet the fault, and the API that commands run with.
MATRICES: dict[str, tuple[int | None, Api]] = {
    "always": (None, "pipes"),
    "first call only": (1, "pipes"),
    "always, on a terminal": (None, "terminal"),
    "first call only, on a terminal": (1, "terminal"),
}
RUNTIME_APIS: dict[Api, str] = {"pipes": "1.9", "terminal": "1.0"}
AT_ONCE = 60  # cells, most of which wait
REPOSITORY_TOOLS = {"send_repository", "fetch_work"}
GIVE_UP = 150.0  # seconds, which no answer takes
TICK = 0.05  # seconds between two measurements of how late the event loop is
LONGEST_DELAY = 0.5  # seconds


def test_the_matrix_has_every_tool() -> None:
    assert list(CALLS) == [tool.name for tool in TOOLS]
    assert DEADLINES.keys() == CALLS.keys()
    assert ADMISSIONS.keys() == CHANGES.keys()


def test_every_known_problem_is_one_of_a_cell() -> None:
    cells = [cell for times, api in MATRICES.values() for cell in cells_for(times, api)]
    assert [each for each in (*KNOWN, *BY_DESIGN) if not any(map(each.covers, cells))] == []


@pytest.mark.check
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("times", "api"), MATRICES.values(), ids=MATRICES)
async def test_every_tool_under_every_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int | None, api: Api
) -> None:
    cells = cells_for(times, api)
    workspace = tmp_path / "person"
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    options = {"clock": SystemClock, "ready_after": 0, "reconcile_delay": 0}
    with (
        FakeProxyServer(tmp_path, runtime_api=RUNTIME_APIS[api], **options) as server,
        captured_logs() as logs,
    ):
        await prepare(server, cells, tmp_path, workspace)
        async with LoopClock.running() as clock:
            matrix = Matrix(server, cells, clock)
            await asyncio.gather(*(matrix.run(cell) for cell in cells))
        outcomes = outcomes_of(cells, server.state(), tmp_path)
        logged = logs.text()
        problems = {each.cell.name: sorted(set(check(each, logged))) for each in outcomes}
    found = {name: each for name, each in problems.items() if each}
    for cell in cells:
        said = cell.failure or cell.said()
        print(f"{cell.name}, {cell.seconds:.1f} s: {found.get(cell.name, '')} {said!r}")
    assert "HTTP Request: POST" in logged
    assert found == expected_problems(cells), "a cell that has become better must lose its entry"


def outcomes_of(cells: list[Cell], state: Mapping[str, Any], folder: Path) -> list[Outcome]:
    """Return what there is after the cells."""
    boxes = {
        user["username"]: {each["name"]: each for each in user["sandboxes"]}
        for user in state["users"]
    }
    return [Outcome(each, boxes[each.username], folder / each.box / "sandbox") for each in cells]


class LogCapture(logging.Handler):
    """Collect the distinct messages of all loggers, and what is written to standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.errors = io.StringIO()
        self._messages: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.add(self.format(record))

    def text(self) -> str:
        return "\n".join([self.errors.getvalue(), *self._messages])


@contextlib.contextmanager
def captured_logs() -> Generator[LogCapture]:
    """Capture what is logged, at any level, and written to standard error, instead of pytest."""
    capture, root = LogCapture(), logging.getLogger()
    level, handlers = root.level, root.handlers
    root.handlers = [capture]
    root.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stderr(capture.errors):
            yield capture
    finally:
        root.setLevel(level)
        root.handlers = handlers


async def prepare(
    server: FakeProxyServer, cells: list[Cell], folder: Path, workspace: Path
) -> None:
    """Make what each cell needs, and arm its fault.

    That is a user with sandboxes, a file and sessions; a repository in `workspace`. The sandboxes
    are in `folder`.
    """
    sandboxes: list[dict[str, str]] = [{"name": BOX}, {"name": PAUSED, "state": "paused"}]
    users: list[dict[str, Any]] = [
        {"username": each.username, "keys": [{}], "sandboxes": sandboxes} for each in cells
    ]
    users.append({"username": "sender", "keys": [{}], "sandboxes": [{"name": BOX}]})
    made = await asyncio.to_thread(server.seed, {"users": users})
    *of_cells, sender = made["users"]
    for cell, user in zip(cells, of_cells, strict=True):
        cell.key, cell.box = user["keys"][0]["api_key"], user["sandboxes"][0]["id"]
    room = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as http:
        await asyncio.gather(*(prepare_sandbox(http, cell, room) for cell in cells))
    if any(each.tool in REPOSITORY_TOOLS for each in cells):
        sent = await sent_repository(server, sender, workspace)
        received = folder / sender["sandboxes"][0]["id"] / "sandbox" / PROJECT
        (received / FILE).write_text("work of an agent\n")
        await asyncio.to_thread(copy_repositories, cells, sent, received, folder)
    await arm(server, cells)


async def sent_repository(
    server: FakeProxyServer, sender: Mapping[str, Any], workspace: Path
) -> Path:
    """Make a repository and send it to the sandbox of a user that meets no fault."""
    made = make_repository(workspace / PROJECT, {FILE: TEXT})
    async with in_process_client(server.url, sender["keys"][0]["api_key"]) as mcp:
        result = await mcp.call_tool("send_repository", {"name": BOX, "directory": str(made)})
    assert not result.is_error, result
    return made


def copy_repositories(cells: list[Cell], sent: Path, received: Path, folder: Path) -> None:
    """Give each cell that needs one a repository: one that was sent, if it fetches the work.

    The original is removed: beside it, a copy is another repository.
    """
    for cell in cells:
        if cell.tool not in REPOSITORY_TOOLS:
            continue
        repository = sent.parent / cell.username / PROJECT
        cell.repository = str(repository)
        shutil.copytree(sent, repository)
        if cell.tool == "fetch_work":
            target = folder / cell.box / "sandbox"
            subprocess.run(["cp", "-a", str(received), str(target)], check=True)  # keeps the owner
        else:
            shutil.rmtree(repository / ".git/remote-sandbox")
    shutil.rmtree(sent)


async def prepare_sandbox(http: httpx.AsyncClient, cell: Cell, room: asyncio.Semaphore) -> None:
    async def ask(path: str, **body: Any) -> None:
        headers = {"Authorization": f"Bearer {cell.key}"}
        reply = await http.post(f"/proxy/{BOX}/v1/{path}", json=body, headers=headers)
        assert reply.is_success, reply.text

    async def start(command: str, **options: bool) -> None:
        """Start a command in the session of the cell."""
        api, name = ("bash", "session_id") if cell.api == "pipes" else ("shell", "id")
        session = {name: SESSIONS[cell.api]}
        await ask(f"{api}/sessions/create", **session, exec_dir="/sandbox")
        await ask(f"{api}/exec", **session, command=command, **options)

    async with room:
        match cell.tool:
            case "read_sandbox_file" | "list_sandbox_files" | "fetch_work":
                await ask("file/write", file=f"/sandbox/{FILE}", content=TEXT)
            case "get_prompt_output":
                await start(f"echo {OUTPUT}")
            case "cancel_prompt":
                await start("echo $$ >pid; exec sleep 1000", async_mode=True)
            case _:
                pass


async def arm(server: FakeProxyServer, cells: Iterable[Cell]) -> None:
    """Arm exactly the faults of these cells."""
    document = {"faults": [each.armed_fault() for each in cells]}
    await asyncio.to_thread(server.faults.replace, document)


async def answer_of(call: Awaitable[CallToolResult], cell: Cell) -> CallToolResult | None:
    """Return the answer to a call; None, and the reason in the cell, if there is none."""
    try:
        return await asyncio.wait_for(call, GIVE_UP)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other cells go on
        cell.failure = repr(error)
        return None


class LoopClock:
    """Measure time without the delays of a busy event loop.

    The cells, their server and other programs share the processor, so that each turn of the loop
    is late by some milliseconds. A single delay of more than LONGEST_DELAY counts as time from
    there on: the code of a cell may block the loop.
    """

    def __init__(self) -> None:
        self._late = 0.0

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls) -> AsyncGenerator[LoopClock]:
        """Return a clock, and run it until the end of the block."""
        clock = cls()
        ticking = asyncio.ensure_future(clock._tick())
        try:
            yield clock
        finally:
            ticking.cancel()

    def seconds(self) -> float:
        """Return the time now."""
        return time.monotonic() - self._late

    async def _tick(self) -> None:
        while True:
            started = time.monotonic()
            await asyncio.sleep(TICK)
            self._late += min(time.monotonic() - started - TICK, LONGEST_DELAY)


class Matrix:
    """Run the cells, so many at once, on a server on which all their faults are armed."""

    def __init__(self, server: FakeProxyServer, cells: list[Cell], clock: LoopClock) -> None:
        self._server = server
        self._cells = cells
        self._clock = clock
        self._room = asyncio.Semaphore(AT_ONCE)
        self._armed = cells
        self._arming = asyncio.Lock()

    async def run(self, cell: Cell) -> None:
        """Call the tool, end the fault, and call another tool."""

        async def progress(progress: float, total: float | None, message: str | None) -> None:
            cell.progress.append(message or "")

        agent = {"REMOTE_SANDBOX_AGENT_COMMAND": AGENT_COMMAND}
        async with (
            self._room,
            in_process_client(self._server.url, cell.key, cell.sent, **agent) as mcp,
        ):
            started, real = self._clock.seconds(), time.monotonic()
            call = mcp.call_tool(cell.tool, cell.arguments, progress_callback=progress)
            cell.result = await answer_of(call, cell)
            cell.seconds = self._clock.seconds() - started
            cell.real_seconds = time.monotonic() - real
            cell.sent, cell.is_called = list(cell.sent), True  # those of the next call are not
            await self._end_the_fault(cell)
            cell.next_result = await answer_of(mcp.call_tool("list_sandboxes", {}), cell)

    async def _end_the_fault(self, cell: Cell) -> None:
        """Disarm a fault that would act for ever; one of a single request is over by itself."""
        if cell.times is None:
            async with self._arming:
                if cell in self._armed:  # else while this cell waited for its turn
                    self._armed = [each for each in self._armed if not each.is_called]
                    await arm(self._server, self._armed)
