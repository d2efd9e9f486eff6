"""Every tool under every fault of the fake: the answer is in time, true, harmless and secret-free.

Each cell is a tool under a fault that all requests of its user meet, or only the first one. All
cells run at once, on real sockets and the client's real deadlines, each with a server, a user and
sandboxes of its own.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from sandbox_client._tools import TOOLS
from sandbox_fakeproxy import FakeProxyServer, SystemClock

from tests.integration.mcp_client import in_process_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mcp.types import CallToolResult

ACTIONS = (
    *("reset-before-headers", "reset-in-body", "drop-after-commit", "hang", "trickle", "truncate"),
    *("not-json", "html", "large", "wrong-type", "redirect", "garbage"),
)
KEY = "(the key)"  # stands for the API key of a cell's user
HOSTILE = "\x1b]0;title\x07\x1b[2J\u202eevil\u2069\x00\r\n\x9b31m"


def error(status: int, message: str, **headers: str) -> dict[str, Any]:
    body = {"error": "an error", "message": message}
    return {"answer": {"status": status, "headers": headers, "body": body}}


FAULTS: dict[str, dict[str, Any]] = {
    **{action: {"do": action} for action in ACTIONS},
    "slow": {"delay": 3},
    "401": error(401, "Invalid API key"),
    "403": error(403, "You do not have access to this sandbox"),
    "409": error(409, "Conflict"),
    "429": error(429, "Too many requests", **{"Retry-After": "1"}),
    "500": error(500, "Internal server error"),
    "502 page": {"answer": {"status": 502, "text": "<html>Bad Gateway</html>"}},
    "503": error(503, "busy", **{"Retry-After": "1"}),
    "504": error(504, "Gateway time-out"),
    "204": {"answer": {"status": 204}},
    "empty object": {"answer": {"body": {}}},
    "key in an error": error(400, f"not allowed: {KEY}"),
    "hostile text in an error": error(400, HOSTILE),
}
BOX, PAUSED, NEW = "box", "asleep", "new"
CALLS: dict[str, dict[str, Any]] = {
    "create_sandbox": {"name": NEW},
    "get_sandbox_status": {"name": BOX},
    "list_sandboxes": {},
    "delete_sandbox": {"name": BOX},
    "pause_sandbox": {"name": BOX},
    "resume_sandbox": {"name": PAUSED},
    "send_prompt_to_sandbox": {"name": BOX, "command": "echo x >>runs"},
    "get_prompt_output": {"name": BOX, "session": "ended"},
    "cancel_prompt": {"name": BOX, "session": "running"},
    "run_agent": {"name": BOX, "prompt": "work"},
    "read_sandbox_file": {"name": BOX, "path": "/sandbox/file"},
    "write_sandbox_file": {"name": BOX, "path": "/sandbox/new", "content": "written"},
    "list_sandbox_files": {"name": BOX, "path": "/sandbox"},
    "check_connection": {},
}
# The requests that make each change.
CHANGES = {
    "create_sandbox": r"POST /api/sandboxes$",
    "delete_sandbox": r"DELETE ",
    "pause_sandbox": r"/pause$",
    "resume_sandbox": r"/resume$",
    "send_prompt_to_sandbox": r"/exec$",
    "run_agent": r"/exec$",
    "write_sandbox_file": r"/(?:exec|file/write)$",
    "cancel_prompt": r"/kill$",
}
# The faults by which the proxy says that it did nothing.
REFUSALS = {
    *("401", "403", "409", "429", "redirect"),
    *("key in an error", "hostile text in an error"),
}
LATE = "is late"
CLAIMS = "claims what was not done"
HIDES = "hides what may have been done"
# What is known to be wrong: fault, tools, problem, and whether it is so after the first call too.
UNREADABLE = ("not-json", "html", "204", "empty object")
CHANGING = ("create_sandbox", "delete_sandbox", "pause_sandbox")
KNOWN: tuple[tuple[tuple[str, ...], tuple[str, ...], str, tuple[int | None, ...]], ...] = (
    # The 120 s of a large output count from its first byte, however slowly the others come.
    (("trickle",), ("get_prompt_output", "cancel_prompt"), LATE, (None, 1)),
    # A success that cannot be read, and any 5xx, are reported without the word that the change may
    # have been made. resume_sandbox looks at the status first, and so meets a first fault there.
    ((*UNREADABLE, "500", "502 page", "503", "504"), CHANGING, HIDES, (None, 1)),
    ((*UNREADABLE, "500", "502 page", "503", "504"), ("resume_sandbox",), HIDES, (None,)),
    (("wrong-type",), (*CHANGING, "resume_sandbox"), HIDES, (None,)),
    (("wrong-type",), ("send_prompt_to_sandbox", "run_agent"), HIDES, (None,)),
    (("empty object",), ("send_prompt_to_sandbox", "run_agent"), HIDES, (None, 1)),
    # A 200 without any field counts as created.
    (("empty object",), ("create_sandbox",), CLAIMS, (None,)),
)
AT_ONCE = 40  # cells
DEADLINE = 100.0  # seconds, after which a host or a person gives up
ADMISSION = re.compile(r"may have|may already|perhaps|may be|was lost|unknown|is not known")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass
class Cell:
    """A tool under a fault, and what became of it."""

    tool: str
    fault: str
    times: int | None
    username: str
    key: str = ""
    box: str = ""  # the sandbox's id
    pid: int = 0  # of the command that runs in the session `running`
    seconds: float = 0.0
    result: CallToolResult | None = None
    progress: list[str] = field(default_factory=list[str])
    next_result: CallToolResult | None = None
    sent: list[str] = field(default_factory=list[str])  # such as `POST /api/sandboxes`

    @property
    def name(self) -> str:
        return f"{self.tool} / {self.fault}"

    def said(self) -> str:
        """Return all that the tool said, its progress too."""
        assert self.result is not None
        texts = [block.text for block in self.result.content if block.type == "text"]
        return "\n".join([*texts, str(self.result.structured_content or ""), *self.progress])


def known_problems(times: int | None) -> dict[str, str]:
    """Return the known problem of each cell that has one; of several entries the last counts."""
    return {
        f"{tool} / {fault}": problem
        for faults, tools, problem, when in KNOWN
        if times in when
        for fault in faults
        for tool in tools
    }


def test_the_matrix_has_every_tool() -> None:
    assert list(CALLS) == [tool.name for tool in TOOLS]


@pytest.mark.check
@pytest.mark.timeout(400)
@pytest.mark.parametrize("times", [None, 1], ids=["always", "first call only"])
async def test_every_tool_under_every_fault(tmp_path: Path, times: int | None) -> None:
    cells = [
        Cell(tool, fault, times, f"u{number}")
        for number, (tool, fault) in enumerate((tool, fault) for fault in FAULTS for tool in CALLS)
    ]
    with FakeProxyServer(tmp_path, clock=SystemClock, ready_after=0, reconcile_delay=0) as server:
        await prepare(server, cells)
        room = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(run(cell, server.url, room) for cell in cells))
        state = {user["username"]: user["sandboxes"] for user in server.state()["users"]}
        found = {
            cell.name: problems
            for cell in cells
            if (problems := list(check(cell, state[cell.username], tmp_path)))
        }
    for cell in cells:
        print(f"{cell.name}, {cell.seconds:.1f} s: {found.get(cell.name, '')} {cell.said()!r}")
    wrong = {name: sorted(problems) for name, problems in found.items()}
    known = {name: [problem] for name, problem in known_problems(times).items()}
    assert wrong == known, "a cell that has become better must lose its entry in KNOWN"


async def prepare(server: FakeProxyServer, cells: list[Cell]) -> None:
    """Make a user with sandboxes, a file and sessions for each cell, and arm its fault."""
    sandboxes: list[dict[str, str]] = [{"name": BOX}, {"name": PAUSED, "state": "paused"}]
    users: list[dict[str, Any]] = [
        {"username": each.username, "keys": [{}], "sandboxes": sandboxes} for each in cells
    ]
    made = await asyncio.to_thread(server.seed, {"users": users})
    for cell, user in zip(cells, made["users"], strict=True):
        cell.key, cell.box = user["keys"][0]["api_key"], user["sandboxes"][0]["id"]
    room = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as http:
        await asyncio.gather(*(prepare_sandbox(http, cell, room) for cell in cells))
    for cell in cells:
        fault = FAULTS[cell.fault]
        if "answer" in fault:
            fault = {"answer": with_key(fault["answer"], cell.key)}
        await asyncio.to_thread(server.faults.add, user=cell.username, times=cell.times, **fault)


async def prepare_sandbox(http: httpx.AsyncClient, cell: Cell, room: asyncio.Semaphore) -> None:
    async def ask(path: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {cell.key}"}
        reply = await http.post(f"/proxy/{BOX}/v1/{path}", json=body, headers=headers)
        assert reply.is_success, reply.text
        return reply.json()["data"]

    async with room:
        match cell.tool:
            case "read_sandbox_file" | "list_sandbox_files":
                await ask("file/write", file="/sandbox/file", content="text")
            case "get_prompt_output":
                await ask("shell/sessions/create", id="ended")
                await ask("shell/exec", id="ended", command="echo printed")
            case "cancel_prompt":
                await ask("shell/sessions/create", id="running")
                await ask(
                    "shell/exec",
                    id="running",
                    command="echo $$ >pid; exec sleep 1000",
                    async_mode=True,
                )
            case _:
                pass


def with_key(answer: Mapping[str, Any], key: str) -> dict[str, Any]:
    body = answer.get("body")
    if not body:
        return dict(answer)
    return {**answer, "body": {name: text.replace(KEY, key) for name, text in body.items()}}


async def run(cell: Cell, url: str, room: asyncio.Semaphore) -> None:
    """Call the tool, and then another one that needs no proxy."""

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        cell.progress.append(message or "")

    agent = {"REMOTE_SANDBOX_AGENT_COMMAND": "echo x >>runs; : {prompt}"}
    async with room, in_process_client(url, cell.key, cell.sent, **agent) as mcp:
        started = time.monotonic()
        cell.result = await mcp.call_tool(cell.tool, CALLS[cell.tool], progress_callback=progress)
        cell.seconds = time.monotonic() - started
        cell.next_result = await mcp.call_tool("get_sandbox_status", {"name": "No Name"})


def check(cell: Cell, sandboxes: list[dict[str, Any]], folder: Path) -> Iterator[str]:
    """Yield what is wrong with the outcome of a cell."""
    assert cell.result is not None
    said = cell.said()
    if cell.seconds > DEADLINE:
        yield LATE
    if cell.next_result is None or not cell.next_result.is_error:
        yield "the next call was not answered"
    if cell.key in said or cell.key.removeprefix("sk_live_") in said:
        yield "shows the key"
    if CONTROL.search(said):
        yield "shows control characters"
    done = effect(cell, {each["name"]: each for each in sandboxes}, folder)
    if done == "twice":
        yield "was done twice"
    if done is None:
        return
    if not cell.result.is_error and done == "not":
        yield CLAIMS
    change = CHANGES[cell.tool]
    may_be_done = cell.fault not in REFUSALS and any(re.search(change, each) for each in cell.sent)
    if cell.result.is_error and (done != "not" or may_be_done) and not ADMISSION.search(said):
        yield HIDES


def effect(cell: Cell, boxes: Mapping[str, dict[str, Any]], folder: Path) -> str | None:
    """Return whether the change that a tool makes was done: not, once or twice; None for others."""
    work = folder / cell.box / "sandbox"
    match cell.tool:
        case "create_sandbox":
            done = NEW in boxes
        case "delete_sandbox":
            done = BOX not in boxes
        case "pause_sandbox":
            done = boxes[BOX]["is_paused"]
        case "resume_sandbox":
            done = not boxes[PAUSED]["is_paused"]
        case "send_prompt_to_sandbox" | "run_agent":
            runs = work / "runs"
            count = len(runs.read_text().splitlines()) if runs.exists() else 0
            return ("not", "once")[count] if count < 2 else "twice"
        case "write_sandbox_file":
            done = (work / "new").exists()
        case "cancel_prompt":
            done = not psutil.pid_exists(int((work / "pid").read_text()))
        case _:
            return None
    return "once" if done else "not"
