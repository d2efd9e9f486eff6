"""Clients of a runtime's shell and pipe APIs that call the runtime directly, without a proxy."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox_fakeproxy import Runtime
from starlette.requests import Request
from starlette.types import Message

from tests.fakeproxy.processes import TIMEOUT

JSON = [(b"content-type", b"application/json")]


@dataclass(frozen=True)
class Reply:
    status: int
    json: Any


@dataclass(frozen=True)
class CommandResult:
    """How a command ended."""

    output: str
    exit_code: int | None = 0
    status: str = "completed"


@dataclass(frozen=True)
class RuntimeApi:
    """The API of one sandbox below a `prefix`."""

    runtime: Runtime
    sandbox_id: str = "one"

    prefix: ClassVar[str]

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        """Send a request below the prefix."""
        sent = json.dumps(body or {}).encode()

        async def receive() -> Message:
            return {"type": "http.request", "body": sent, "more_body": False}

        request = Request(
            {
                "type": "http",
                "method": method,
                "path": f"{self.prefix}{path}",
                "query_string": b"",
                "headers": JSON,
            },
            receive,
        )
        response = await self.runtime.answer(self.sandbox_id, request)
        assert response is not None, path
        return Reply(response.status_code, json.loads(bytes(response.body)))

    async def post(self, path: str, **body: Any) -> Any:
        """Send a request, check that it succeeds, and return its data."""
        reply = await self.request("POST", path, body)
        assert reply.status == 200, reply.json
        assert reply.json["success"] is True
        return reply.json["data"]

    async def exec(self, command: str, **fields: Any) -> Any:
        """Run a command and return the data of the reply."""
        return await self.post("exec", command=command, **fields)


@dataclass(frozen=True)
class ShellApi(RuntimeApi):
    """The shell API of one sandbox."""

    prefix = "/v1/shell/"

    async def run(self, command: str, **fields: Any) -> CommandResult:
        """Run a command and return how it ended."""
        data = await self.exec(command, **fields)
        return CommandResult(data["output"], data["exit_code"], data["status"])

    async def session(self, **fields: Any) -> str:
        """Create a session and return its id."""
        made: str = (await self.post("sessions/create", **fields))["session_id"]
        return made

    async def wait_for_output(self, text: str, session_id: str) -> None:
        """Wait until the output of a session's last command holds `text`."""

        async def poll() -> None:
            console: list[Any] = []
            while not console or text not in console[-1]["output"]:
                console = (await self.post("view", id=session_id))["console"]
                await asyncio.sleep(0.01)

        await asyncio.wait_for(poll(), TIMEOUT)


@dataclass(frozen=True)
class PipeResult:
    """How a command with pipes ended, or how far it was."""

    stdout: str = ""
    exit_code: int | None = 0
    status: str = "completed"
    stderr: str = ""


@dataclass(frozen=True)
class PipeApi(RuntimeApi):
    """The pipe API of one sandbox."""

    prefix = "/v1/bash/"

    async def run(self, command: str, **fields: Any) -> PipeResult:
        """Run a command and return how it ended."""
        data = await self.exec(command, **fields)
        return PipeResult(data["stdout"], data["exit_code"], data["status"], data["stderr"])

    async def start(self, command: str, **fields: Any) -> dict[str, str]:
        """Start a command, and return its ids as fields of later requests."""
        data = await self.exec(command, async_mode=True, **fields)
        return {name: data[name] for name in ("session_id", "command_id")}

    async def follow(self, started: dict[str, str], until: str | None = None) -> PipeResult:
        """Read all output of a command up to its end, or until its stdout holds a text."""
        stdout = stderr = ""
        offsets = {"offset": 0, "stderr_offset": 0}
        while True:
            polled = self.post("output", **started, **offsets, wait=True)
            data = await asyncio.wait_for(polled, TIMEOUT)
            stdout, stderr = stdout + data["stdout"], stderr + data["stderr"]
            offsets = {name: data[name] for name in offsets}
            info = data["command"]
            if info["status"] != "running" or (until is not None and until in stdout):
                return PipeResult(stdout, info["exit_code"], info["status"], stderr)
