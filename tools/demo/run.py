"""The whole product in one run: a fake proxy, an MCP server, and a real MCP client between them.

Everything is on this machine and throw-away: `make demo` leaves no process and no file behind,
however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.abc
import httpx
from mcp import Client, stdio_client

from tools.demo.story import ReaderGoneError, Story
from tools.manifest import server_parameters

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from mcp import StdioServerParameters
    from mcp.types import CallToolResult

NAME = "my-sandbox"
START_DEADLINE = 20.0  # seconds
STOP_DEADLINE = 5.0
CALL_DEADLINE = 90.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """A step did not answer what it should."""


async def main() -> int:
    """Run the demo; return 0 when every step answered what it should, 130 after Ctrl-C.

    It ends early, and quietly, when its reader does.
    """
    try:
        return await _tell(Story())
    except ReaderGoneError:
        return 0


async def _tell(story: Story) -> int:
    started = time.monotonic()
    stopped = anyio.Event()
    failure: BaseException | None = None
    try:
        # Around the task group, so that a second Ctrl-C cannot cut the cleaning up short.
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_stop_on_signal, signals, tasks.cancel_scope, stopped)
                await _play(story)
                tasks.cancel_scope.cancel()
    except* (DemoError, OSError, ReaderGoneError, httpx.HTTPError) as group:
        failure = _first(group)
    if isinstance(failure, ReaderGoneError):
        raise failure
    if failure is not None:
        story.line(f"\nThe demo failed: {failure}; everything was cleaned up.", "bold red")
        return 1
    if stopped.is_set():
        story.line("\nStopped; everything was cleaned up.", "bold")
        return 130
    story.line(f"\nDone in {time.monotonic() - started:.0f} s; everything was cleaned up.", "bold")
    return 0


async def _stop_on_signal(
    signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope, stopped: anyio.Event
) -> None:
    async for _ in signals:
        stopped.set()
        scope.cancel()


def _first(error: BaseException) -> BaseException:
    """Return what went wrong first, out of the groups that task groups wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("tuple[BaseException, ...]", error.exceptions)[0]
    return error


async def _play(story: Story) -> None:
    with tempfile.TemporaryDirectory(prefix="async-remote-agent-demo-") as folder:
        admin_key = secrets.token_urlsafe(24)
        async with _fake_proxy(story, Path(folder), admin_key) as url:
            config = await _administrate(story, url, admin_key, Path(folder))
            await _use(story, config)
            story.ask("Stop the fake proxy", "Ctrl-C")
        story.answer("stopped")


@contextlib.asynccontextmanager
async def _fake_proxy(story: Story, folder: Path, admin_key: str) -> AsyncGenerator[str]:
    story.ask("Start the fake proxy", "sandbox-fakeproxy serve --port 0 --data $THROW_AWAY")
    process = await anyio.open_process(
        [
            sys.executable,
            "-m",
            "sandbox_fakeproxy",
            "serve",
            "--port",
            "0",
            "--data",
            f"{folder}/state",
        ],
        env={**os.environ, "ADMIN_API_KEY": admin_key, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal is the demo's to pass on
    )
    try:
        url = await _announced_url(process)
        story.answer(f"listening on {url}")
        yield url
    finally:
        with anyio.CancelScope(shield=True):
            await _stop(process)


async def _announced_url(process: anyio.abc.Process) -> str:
    if process.stdout is None:
        raise DemoError("the fake proxy has no output")
    said = ""
    with anyio.move_on_after(START_DEADLINE):
        async for chunk in process.stdout:
            said += chunk.decode(errors="replace")
            if match := re.search(r"http://127\.0\.0\.1:\d+", said):
                return match[0]
    raise DemoError(f"the fake proxy did not start; it said:\n{said}")


async def _stop(process: anyio.abc.Process) -> None:
    """End the process with Ctrl-C, and with force when that does not help."""
    for way in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is None:
            process.send_signal(way)
        with anyio.move_on_after(STOP_DEADLINE):
            await process.wait()
            break
    await process.aclose()


async def _administrate(story: Story, url: str, admin_key: str, folder: Path) -> Path:
    """Make a user, a key and a configuration, with the requests that curl would send."""
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {admin_key}"}, trust_env=False
    ) as admin:
        created = await _post(
            story, admin, "Create a user", "/api/admin/users", {"username": "ada"}
        )
        user = created["user"]
        story.answer(f"201 user {user['username']}, id {user['id']}")
        path = f"/api/admin/users/{user['id']}/apikeys"
        made = await _post(story, admin, "Create an API key for the user", path, {"name": "demo"})
        story.answer(
            f"201 key {made['key_info']['key_prefix']}… (shown once, kept in the configuration)"
        )
    config = folder / "config.json"
    story.ask("Write the configuration", "config.json, mode 0600")
    config.touch(mode=0o600)
    config.write_text(json.dumps({"proxyUrl": url, "apiKey": made["api_key"]}))
    story.answer(f'{{"proxyUrl": "{url}", "apiKey": "{made["key_info"]["key_prefix"]}…"}}')
    return config


async def _post(
    story: Story, admin: httpx.AsyncClient, title: str, path: str, body: dict[str, str]
) -> dict[str, Any]:
    story.ask(
        title,
        f'curl -sS {admin.base_url.join(path)} -H "Authorization: Bearer $ADMIN_API_KEY"'
        f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'",
    )
    reply = await admin.post(path, json=body)
    if reply.status_code != 201:
        raise DemoError(f"POST {path} answered {reply.status_code}: {reply.text}")
    content: dict[str, Any] = reply.json()
    return content


async def _use(story: Story, config: Path) -> None:
    server, parameters = server_parameters({**os.environ, "REMOTE_SANDBOX_CONFIG": str(config)})
    story.ask("Start the MCP server as Gemini CLI does", command_line(parameters))
    async with Client(stdio_client(parameters)) as client:
        tools = (await client.list_tools()).tools
        story.answer(f"{server} has {len(tools)} tools: {', '.join(tool.name for tool in tools)}")
        await _live(_Session(story, client))


def command_line(parameters: StdioServerParameters) -> str:
    """Return the command as a person would have to type it."""
    return shlex.join([parameters.command, *parameters.args])


class _Session:
    """One person's calls, each a step of the story."""

    def __init__(self, story: Story, client: Client) -> None:
        self._story = story
        self._client = client

    async def call(
        self,
        title: str,
        tool: str,
        *,
        expect: Callable[[CallToolResult, str], bool] = lambda result, _: not result.is_error,
        **arguments: object,
    ) -> Mapping[str, object]:
        """Call a tool, show the answer, which `expect` must find right, and return its object."""
        self._story.ask(title, f"{tool} {json.dumps(arguments)}" if arguments else tool)
        last = ""

        async def show(progress: float, total: float | None, message: str | None) -> None:
            nonlocal last
            reason = (message or "").partition(" (")[0]
            if reason != last:
                with contextlib.suppress(ReaderGoneError):  # the answer's line meets it again
                    self._story.meanwhile(message or "")
            last = reason

        with anyio.fail_after(CALL_DEADLINE):
            result = await self._client.call_tool(tool, arguments, progress_callback=show)
        text = "\n".join(block.text for block in result.content if block.type == "text")
        self._story.answer(text)
        if not expect(result, text):
            raise DemoError(f"{tool} did not answer what it should")
        return result.structured_content or {}


async def _live(session: _Session) -> None:
    def has(words: str) -> Callable[[CallToolResult, str], bool]:
        return lambda result, text: not result.is_error and words in text

    async def prompt(
        title: str, command: str, expect: Callable[[CallToolResult, str], bool], **more: object
    ) -> Mapping[str, object]:
        return await session.call(
            title, "send_prompt_to_sandbox", expect=expect, name=NAME, command=command, **more
        )

    await session.call("Check the connection", "check_connection", expect=has("passed"))
    await session.call("Create a sandbox", "create_sandbox", expect=has("is ready"), name=NAME)
    await session.call("Ask its status", "get_sandbox_status", expect=has("is ready"), name=NAME)
    await prompt("Look around", "ls -la", has("exit code 0"))
    await prompt("Write a file", "echo 'Hello from the sandbox' > note.txt", has("exit code 0"))
    await prompt("Read it with another prompt", "cat note.txt", has("Hello from the sandbox"))
    work = "echo half of it; sleep 2; echo all of it"
    begun = await prompt("Start what takes longer", work, has("still running"), wait_seconds=1)
    await session.call(
        "Collect the rest, from any client",
        "get_prompt_output",
        expect=has("all of it\n[exit code 0]"),
        name=NAME,
        session=begun["session"],
        after=begun["next_after"],
    )
    await session.call("List", "list_sandboxes", expect=has(f"{NAME}: ready"))
    await session.call("Pause it", "pause_sandbox", expect=has("paused"), name=NAME)
    await prompt(
        "Try a prompt while it is paused",
        "cat note.txt",
        lambda result, text: result.is_error and "resume_sandbox" in text,
    )
    await session.call("Resume it", "resume_sandbox", expect=has("is ready"), name=NAME)
    await prompt("Read the file again", "cat note.txt", has("Hello from the sandbox"))
    await session.call("Delete it", "delete_sandbox", expect=has("deleted"), name=NAME)
