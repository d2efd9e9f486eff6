"""A client of a runtime's shell API that calls the runtime directly, without a proxy."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

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
class ShellApi:
    """The shell API of one sandbox."""

    runtime: Runtime
    sandbox_id: str = "one"

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        """Send a request below /v1/shell/."""
        sent = json.dumps(body or {}).encode()

        async def receive() -> Message:
            return {"type": "http.request", "body": sent, "more_body": False}

        request = Request(
            {
                "type": "http",
                "method": method,
                "path": f"/v1/shell/{path}",
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
