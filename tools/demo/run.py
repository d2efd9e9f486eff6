"""Run the demo: a fake proxy, the MCP server, and an MCP client that calls its tools.

All of it runs on this machine. The demo leaves no process and no file behind, also after Ctrl-C.
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
import anyio.to_thread
import httpx
from mcp import Client, stdio_client

from tools.demo.repository import AGENT_COMMAND, MAKE, MERGE, make_repository, merge
from tools.demo.step_printer import OutputClosed, StepPrinter
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
    """A step failed or returned an unexpected result."""


async def main() -> int:
    """Run the demo and return its exit code.

    It is 0 when every step succeeded or the reader closed the output, 1 when a step failed, and
    130 after a signal.
    """
    try:
        return await _run_until_signal(StepPrinter())
    except OutputClosed:
        return 0


async def _run_until_signal(steps: StepPrinter) -> int:
    started = time.monotonic()
    stopped = anyio.Event()
    failure: BaseException | None = None
    try:
        # Around the task group, so that a second Ctrl-C does not interrupt the cleanup.
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_stop_on_signal, signals, tasks.cancel_scope, stopped)
                await _run_steps(steps)
                tasks.cancel_scope.cancel()
    except* (DemoError, OSError, OutputClosed, httpx.HTTPError) as group:
        failure = _first_cause(group)
    if isinstance(failure, OutputClosed):
        raise failure
    if failure is not None:
        steps.line(f"\nThe demo failed: {failure}; everything was cleaned up.", "bold red")
        return 1
    if stopped.is_set():
        steps.line("\nStopped; everything was cleaned up.", "bold")
        return 130
    steps.line(f"\nDone in {time.monotonic() - started:.0f} s; everything was cleaned up.", "bold")
    return 0


async def _stop_on_signal(
    signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope, stopped: anyio.Event
) -> None:
    async for _ in signals:
        stopped.set()
        scope.cancel()


def _first_cause(error: BaseException) -> BaseException:
    """Return the first exception inside nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("tuple[BaseException, ...]", error.exceptions)[0]
    return error


async def _run_steps(steps: StepPrinter) -> None:
    with tempfile.TemporaryDirectory(prefix="async-remote-agent-demo-") as folder:
        admin_key = secrets.token_urlsafe(24)
        async with _fake_proxy(steps, Path(folder), admin_key) as url:
            config = await _create_user(steps, url, admin_key, Path(folder))
            await _use_mcp_server(steps, config, Path(folder) / "price-list")
            steps.begin("Stop the fake proxy", "Ctrl-C")
        steps.end("stopped")


@contextlib.asynccontextmanager
async def _fake_proxy(steps: StepPrinter, folder: Path, admin_key: str) -> AsyncGenerator[str]:
    steps.begin("Start the fake proxy", "sandbox-fakeproxy serve --port 0 --data $TEMP_DIR")
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
        start_new_session=True,  # Ctrl-C reaches only the demo, which stops the fake
    )
    try:
        url = await _announced_url(process)
        steps.end(f"listening on {url}")
        yield url
    finally:
        with anyio.CancelScope(shield=True):
            await _stop(process)


async def _announced_url(process: anyio.abc.Process) -> str:
    if process.stdout is None:
        raise DemoError("the fake proxy has no output")
    output = ""
    with anyio.move_on_after(START_DEADLINE):
        async for chunk in process.stdout:
            output += chunk.decode(errors="replace")
            if match := re.search(r"http://127\.0\.0\.1:\d+", output):
                return match[0]
    raise DemoError(f"the fake proxy did not start; its output:\n{output}")


async def _stop(process: anyio.abc.Process) -> None:
    """Stop the process with SIGINT, or with SIGKILL if it still runs after STOP_DEADLINE."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is None:
            process.send_signal(number)
        with anyio.move_on_after(STOP_DEADLINE):
            await process.wait()
            break
    await process.aclose()


async def _create_user(steps: StepPrinter, url: str, admin_key: str, folder: Path) -> Path:
    """Create a user and a key, showing each request as a curl command; write the configuration."""
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {admin_key}"}, trust_env=False
    ) as admin:
        created = await _post(
            steps, admin, "Create a user", "/api/admin/users", {"username": "ada"}
        )
        user = created["user"]
        steps.end(f"201 user {user['username']}, id {user['id']}")
        path = f"/api/admin/users/{user['id']}/apikeys"
        made = await _post(steps, admin, "Create an API key for the user", path, {"name": "demo"})
        steps.end(
            f"201 key {made['key_info']['key_prefix']}… (shown once, kept in the configuration)"
        )
    config = folder / "config.json"
    steps.begin("Write the configuration", "config.json, mode 0600")
    config.touch(mode=0o600)
    content = {"proxyUrl": url, "apiKey": made["api_key"], "agentCommand": AGENT_COMMAND}
    config.write_text(json.dumps(content))
    shown = {**content, "apiKey": f"{made['key_info']['key_prefix']}…"}
    steps.end(json.dumps(shown, ensure_ascii=False))
    return config


async def _post(
    steps: StepPrinter, admin: httpx.AsyncClient, title: str, path: str, body: dict[str, str]
) -> dict[str, Any]:
    steps.begin(
        title,
        f'curl -sS {admin.base_url.join(path)} -H "Authorization: Bearer $ADMIN_API_KEY"'
        f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'",
    )
    reply = await admin.post(path, json=body)
    if reply.status_code != 201:
        raise DemoError(f"POST {path} returned {reply.status_code}: {reply.text}")
    content: dict[str, Any] = reply.json()
    return content


async def _use_mcp_server(steps: StepPrinter, config: Path, project: Path) -> None:
    steps.begin("Make a repository with a failing test", MAKE)
    steps.end(await _in_thread(make_repository, project))
    server, parameters = server_parameters({**os.environ, "REMOTE_SANDBOX_CONFIG": str(config)})
    parameters.cwd = project
    steps.begin("Start the MCP server in it as Gemini CLI does", command_line(parameters))
    async with Client(stdio_client(parameters)) as client:
        tools = (await client.list_tools()).tools
        steps.end(f"{server} has {len(tools)} tools: {', '.join(tool.name for tool in tools)}")
        session = _Session(steps, client)
        await session.call("Check the connection", "check_connection", expect=has("passed"))
        await session.call("Create a sandbox", "create_sandbox", expect=has("is ready"), name=NAME)
        branch = await _use_agent(session)
        steps.begin("Merge the branch and run the test again", MERGE)
        steps.end(await _in_thread(merge, project, branch))
        await _use_sandbox(session)


async def _in_thread(function: Callable[..., str], *arguments: object) -> str:
    try:
        return await anyio.to_thread.run_sync(function, *arguments)
    except subprocess.SubprocessError as exc:
        raise DemoError(f"a command on this machine failed: {exc}") from exc


def command_line(parameters: StdioServerParameters) -> str:
    """Return the server's command, quoted for a shell."""
    return shlex.join([parameters.command, *parameters.args])


class _Session:
    """An MCP session; each tool call is printed as a step."""

    def __init__(self, steps: StepPrinter, client: Client) -> None:
        self._steps = steps
        self._client = client

    async def call(
        self,
        title: str,
        tool: str,
        *,
        expect: Callable[[CallToolResult, str], bool] = lambda result, _: not result.is_error,
        **arguments: object,
    ) -> Mapping[str, object]:
        """Call a tool, print the result and return its structured content.

        Raises:
            DemoError: `expect` returned False for the result.
        """
        self._steps.begin(title, f"{tool} {json.dumps(arguments)}" if arguments else tool)
        last = ""

        async def show(progress: float, total: float | None, message: str | None) -> None:
            nonlocal last
            reason = (message or "").partition(" (")[0]
            if reason != last:
                with contextlib.suppress(OutputClosed):  # raised again by the next line
                    self._steps.progress(message or "")
            last = reason

        with anyio.fail_after(CALL_DEADLINE):
            result = await self._client.call_tool(tool, arguments, progress_callback=show)
        text = "\n".join(block.text for block in result.content if block.type == "text")
        self._steps.end(text)
        if not expect(result, text):
            raise DemoError(f"{tool} returned an unexpected result")
        return result.structured_content or {}


def has(words: str) -> Callable[[CallToolResult, str], bool]:
    """Return a check that a result is no error and has some words."""
    return lambda result, text: not result.is_error and words in text


async def _use_agent(session: _Session) -> str:
    """Let an agent work on the repository, and return the branch with its work."""
    sent = await session.call(
        "Send the repository to it", "send_repository", name=NAME, directory="."
    )
    begun = await session.call(
        "Start an agent on it (here a script stands in for one)",
        "run_agent",
        name=NAME,
        prompt="Fix the failing test and explain the fix",
        directory=sent["directory"],
    )
    await session.call(
        "Follow the agent",
        "get_prompt_output",
        expect=lambda result, text: not result.is_error and text.startswith("[exit code 0]"),
        name=NAME,
        session=begun["session"],
    )
    work = await session.call("Fetch its work", "fetch_work", expect=has("is new"), name=NAME)
    return str(work["branch"])


async def _use_sandbox(session: _Session) -> None:
    async def prompt(
        title: str, command: str, expect: Callable[[CallToolResult, str], bool], **more: object
    ) -> Mapping[str, object]:
        return await session.call(
            title, "send_prompt_to_sandbox", expect=expect, name=NAME, command=command, **more
        )

    await session.call("Get its status", "get_sandbox_status", expect=has("is ready"), name=NAME)
    await prompt("List its files", "ls -la", has("exit code 0"))
    await prompt("Write a file", "echo 'Hello from the sandbox' > note.txt", has("exit code 0"))
    await prompt("Read it with another prompt", "cat note.txt", has("Hello from the sandbox"))
    work = "echo half of it; sleep 2; echo all of it"
    begun = await prompt("Start a long command", work, has("still running"), wait_seconds=1)
    await session.call(
        "Get the rest of its output",
        "get_prompt_output",
        expect=lambda result, text: (
            not result.is_error
            and text.startswith("[exit code 0]")
            and text.endswith("\nall of it")
        ),
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
