"""The baseline of the client's commands: the same requests, in the same order, without its logic.

A bare command keeps to the pauses and offsets of the client, and reads as little of each reply as
it needs for the next request.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Literal

import anyio
from sandbox_client.api import pipes, shell
from sandbox_client.api.runtime import Task
from sandbox_client.execution.follower import FIRST_LOOK, LONGEST_PAUSE
from sandbox_client.execution.pipes import AFTER_OUTPUT
from sandbox_client.execution.terminal import CUT_LENGTH, MAX_LOOK_PAUSE
from sandbox_client.polling import LONGEST_POLL, backoff

if TYPE_CHECKING:
    import httpx
    from sandbox_client.api.message import Request

Api = Literal["pipes", "terminal"]
TIME_LIMIT = 120.0  # seconds for a request


async def run_bare(http: httpx.AsyncClient, api: Api, name: str, command: str) -> int:
    """Run a command in a new session and return the number of characters that it has printed."""
    run = _run_with_pipes if api == "pipes" else _run_on_terminal
    return await run(http, name, f"bare-{secrets.token_hex(4)}", Task(command))


async def read_bare(http: httpx.AsyncClient, api: Api, name: str, session: str) -> int:
    """Read the output of a session's command; return the number of characters."""
    if api == "pipes":
        return len((await _send(http, pipes.output(name, session, 0, 0)))["stdout"])
    return _length(await _send(http, shell.view(name, session)))


async def _run_with_pipes(http: httpx.AsyncClient, name: str, session: str, task: Task) -> int:
    await _send(http, pipes.open_session(name, session))
    seen = await _send(http, pipes.execute(name, session, task))
    size = len(seen["stdout"])
    if size <= pipes.MAX_UNCUT and seen["status"] != "running":
        return size
    offset, stderr_offset = seen["offset"], seen["stderr_offset"]
    if size > pipes.MAX_UNCUT:  # cut, and read again
        size = offset = stderr_offset = 0
    wait = LONGEST_POLL
    while True:
        request = pipes.output(name, session, offset, stderr_offset, wait=wait)
        seen = await _send(http, request)
        offset, stderr_offset = seen["offset"], seen["stderr_offset"]
        size += len(seen["stdout"])
        if seen["command"]["status"] != "running":
            return size
        is_look_after_news = not wait
        wait = LONGEST_POLL
        if not is_look_after_news and (seen["stdout"] or seen["stderr"]):
            wait = 0.0
            await anyio.sleep(AFTER_OUTPUT)


async def _run_on_terminal(http: httpx.AsyncClient, name: str, session: str, task: Task) -> int:
    await _send(http, shell.open_session(name, session))
    seen = await _send(http, shell.execute(name, session, task))
    if seen["status"] != "running" and len(seen["output"]) < CUT_LENGTH:
        return len(seen["output"])
    effort = 0.0
    for pause in backoff(FIRST_LOOK, LONGEST_PAUSE):
        await anyio.sleep(max(pause, effort))
        began = anyio.current_time()
        seen = await _send(http, shell.view(name, session))
        effort = min(9 * (anyio.current_time() - began), MAX_LOOK_PAUSE)
        if seen["status"] != "running":
            break
    return _length(seen)


def _length(view: dict[str, Any]) -> int:
    return len(view["console"][-1]["output"])


async def _send(http: httpx.AsyncClient, request: Request) -> dict[str, Any]:
    """Send a request and return the data of its reply."""
    reply = await http.request(request.method, request.path, json=request.body, timeout=TIME_LIMIT)
    data: dict[str, Any] = reply.raise_for_status().json()["data"]
    return data
