"""A sandbox's shell API, asked as the proxy asks it, without the proxy."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from sandbox_fakeproxy import Runtime
from starlette.requests import Request
from starlette.types import Message

from tests.fakeproxy.processes import PATIENCE

JSON = [(b"content-type", b"application/json")]


@dataclass(frozen=True)
class Reply:
    status: int
    json: Any


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    output: str
    exit_code: int | None = 0
    status: str = "completed"


@dataclass(frozen=True)
class Box:
    """One sandbox."""

    runtime: Runtime
    sandbox_id: str = "one"

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
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
        """Send a request that works, and return its data."""
        reply = await self.ask("POST", path, body)
        assert reply.status == 200, reply.json
        assert reply.json["success"] is True
        return reply.json["data"]

    async def exec(self, command: str, **fields: Any) -> Any:
        """Run a command and return the data of the answer."""
        return await self.post("exec", command=command, **fields)

    async def run(self, command: str, **fields: Any) -> Ran:
        """Run a command and return how it ended."""
        data = await self.exec(command, **fields)
        return Ran(data["output"], data["exit_code"], data["status"])

    async def session(self, **fields: Any) -> str:
        """Make a session and return its id."""
        made: str = (await self.post("sessions/create", **fields))["session_id"]
        return made

    async def until_it_wrote(self, text: str, session_id: str) -> None:
        """Wait until the last command of a session has written something."""

        async def looking() -> None:
            console: list[Any] = []
            while not console or text not in console[-1]["output"]:
                console = (await self.post("view", id=session_id))["console"]
                await asyncio.sleep(0.01)

        await asyncio.wait_for(looking(), PATIENCE)
