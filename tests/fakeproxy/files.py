"""A sandbox whose files are asked for as a client does, and looked at as its host can."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.fakeproxy.world import Caller

API = "/proxy/box/v1"


@dataclass(frozen=True)
class Box:
    """A sandbox, and where its two directories really are."""

    caller: Caller
    sandbox: Path
    home: Path

    async def __call__(self, operation: str, **fields: Any) -> httpx.Response:
        return await self.caller("POST", f"{API}/file/{operation}", fields)

    async def data(self, operation: str, **fields: Any) -> Any:
        """Ask for what must succeed."""
        reply = await self(operation, **fields)
        assert reply.status_code == 200, reply.text
        assert reply.json()["success"] is True, reply.text
        assert set(reply.json()) == {"success", "message", "data", "hint"}
        return reply.json()["data"]

    async def fault(self, operation: str, **fields: Any) -> Any:
        """Ask for what must fail."""
        reply = await self(operation, **fields)
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        assert answer["success"] is False, answer
        assert set(answer["data"]) == {"path", "operation", "message", "error_type", "retryable"}
        assert answer["data"]["operation"] == operation
        assert answer["message"] == answer["data"]["message"]
        assert str(self.sandbox.parent) not in reply.text, "it tells where the fake keeps it"
        return answer["data"]

    async def refused(self, operation: str, **fields: Any) -> list[Any]:
        """Ask for what does not fit; return the fields at fault."""
        reply = await self(operation, **fields)
        assert reply.status_code == 422, reply.text
        issues = reply.json()["detail"]
        assert all(set(each) == {"loc", "msg", "type"} for each in issues)
        return [each["loc"][-1] for each in issues]

    async def upload(self, name: str, content: bytes, **fields: str) -> httpx.Response:
        return await self.caller.http.post(
            f"{API}/file/upload",
            headers={"Authorization": f"Bearer {self.caller.key}"},
            files={"file": (name, content)},
            data=fields,
        )

    async def download(self, path: str) -> httpx.Response:
        return await self.caller.http.get(
            f"{API}/file/download",
            headers={"Authorization": f"Bearer {self.caller.key}"},
            params={"path": path},
        )
