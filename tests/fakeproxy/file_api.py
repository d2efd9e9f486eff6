"""A client of a sandbox's file API, and the sandbox's directories on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.fakeproxy.fake_app import Client

API = "/proxy/box/v1"


@dataclass(frozen=True)
class FileApi:
    """The file API of one sandbox; `sandbox` and `home` are its directories on this machine."""

    client: Client
    sandbox: Path
    home: Path

    async def request(self, operation: str, **fields: Any) -> httpx.Response:
        return await self.client.request("POST", f"{API}/file/{operation}", fields)

    async def succeed(self, operation: str, **fields: Any) -> Any:
        """Send a request, check that it succeeds, and return its data."""
        reply = await self.request(operation, **fields)
        assert reply.status_code == 200, reply.text
        assert reply.json()["success"] is True, reply.text
        assert set(reply.json()) == {"success", "message", "data", "hint"}
        return reply.json()["data"]

    async def fail(self, operation: str, **fields: Any) -> Any:
        """Send a request, check that it fails, and return the fault."""
        reply = await self.request(operation, **fields)
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        assert answer["success"] is False, answer
        assert set(answer["data"]) == {"path", "operation", "message", "error_type", "retryable"}
        assert answer["data"]["operation"] == operation
        assert answer["message"] == answer["data"]["message"]
        assert str(self.sandbox.parent) not in reply.text, "the reply shows a path of this machine"
        return answer["data"]

    async def invalid_fields(self, operation: str, **fields: Any) -> list[Any]:
        """Send a request, check that it is 422, and return the names of its invalid fields."""
        reply = await self.request(operation, **fields)
        assert reply.status_code == 422, reply.text
        issues = reply.json()["detail"]
        assert all(set(each) == {"loc", "msg", "type"} for each in issues)
        return [each["loc"][-1] for each in issues]

    async def upload(self, name: str, content: bytes, **fields: str) -> httpx.Response:
        return await self.client.http.post(
            f"{API}/file/upload",
            headers={"Authorization": f"Bearer {self.client.key}"},
            files={"file": (name, content)},
            data=fields,
        )

    async def download(self, path: str) -> httpx.Response:
        return await self.client.http.get(
            f"{API}/file/download",
            headers={"Authorization": f"Bearer {self.client.key}"},
            params={"path": path},
        )
