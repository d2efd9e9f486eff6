"""A ready sandbox of an in-process fake, behind a transport that can lose messages."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import httpx
from sandbox_client import Client, Config
from sandbox_client.http import Proxy
from sandbox_client.polling import Timing
from sandbox_client.prompts import Prompts
from sandbox_fakeproxy import LocalRuntime

from tests.integration.in_process import URL, InProcessFake, in_process_fake

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

BOX = "box"
Delivery = Literal["delivered", "answer lost", "request lost", "refused for now"]


def _delivered(request: httpx.Request) -> Delivery:
    return "delivered"


@dataclass
class UnreliableTransport(httpx.AsyncBaseTransport):
    """Record each request, and deliver, lose or refuse it as `delivery` decides."""

    inner: httpx.AsyncBaseTransport
    delivery: Callable[[httpx.Request], Delivery] = _delivered
    sent: list[httpx.Request] = field(default_factory=list[httpx.Request])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        delivery = self.delivery(request)
        if delivery == "request lost":
            raise httpx.ReadError("the connection broke before the request was delivered")
        if delivery == "refused for now":
            return httpx.Response(429, json={"error": "Too Many Requests", "message": "wait"})
        answer = await self.inner.handle_async_request(request)
        if delivery == "answer lost":
            await answer.aread()
            raise httpx.ReadError("the connection broke after the request was delivered")
        return answer

    def file_requests(self, route: str) -> list[httpx.Request]:
        """Return the requests to a route of the file API, such as `read`."""
        return [each for each in self.sent if each.url.path.endswith(f"/v1/file/{route}")]

    def assert_deployed_proxy_forwards_requests(self) -> None:
        """Check that no request has a query, or a body other than JSON under 100 KB."""
        for each in self.sent:
            assert len(each.content) < 100_000
            assert each.url.query == b""
            if each.content:
                json.loads(each.content)


@dataclass
class ReadySandbox:
    """A ready sandbox and its directories on this machine."""

    client: Client
    transport: UnreliableTransport
    in_process: InProcessFake
    root: Path

    @property
    def work(self) -> Path:
        """The directory that commands see as /sandbox."""
        return next(self.root.glob("*/sandbox"))

    @property
    def home(self) -> Path:
        """The directory that commands see as /home/gem."""
        return next(self.root.glob("*/home"))

    async def leftovers(self) -> list[str]:
        """Return the temporary files, archives and sessions that a copy did not remove."""
        left = [path.name for path in self.root.rglob(".*") if ".part-" in path.name]
        packed = [path.name for path in self.home.glob(".remote-sandbox-*")]
        sessions = await self.client.sessions(BOX)
        return [*left, *packed, *(row.id for row, _ in sessions)]


@asynccontextmanager
async def ready_sandbox(
    root: Path, *, isolation: Any = "none", keeps_modes: bool = True, **kind: Any
) -> AsyncGenerator[ReadySandbox]:
    """Create a sandbox of a fake proxy that has the deployed proxy's faults by default.

    Without `keeps_modes`, its /sandbox keeps none, either. `kind` has further options of the fake.
    At the end, check that a deployed proxy would forward each request.
    """
    runtime = LocalRuntime(root, isolation=isolation, as_deployed=not keeps_modes)
    async with in_process_fake(lambda _: runtime, **{"as_deployed": True, **kind}) as in_process:
        key = (await in_process.new_key(await in_process.new_user("ada")))["api_key"]
        transport = UnreliableTransport(in_process.transport)
        proxy = Proxy(
            Config(proxy_url=URL, api_key=key), transport=transport, sleep=in_process.sleep
        )
        timing = Timing(lambda: in_process.clock.now().timestamp(), in_process.sleep, lambda: 0.5)
        async with proxy:
            # Commands really run, so the waits for them take real time.
            client = Client(proxy, timing)
            client.prompts = Prompts(client.sandboxes)
            await client.create(BOX, on_progress=in_process.report)
            await client.files.list(BOX, ".")  # creates its directories
            yield ReadySandbox(client, transport, in_process, root)
            transport.assert_deployed_proxy_forwards_requests()
