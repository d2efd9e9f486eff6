"""A ready sandbox of an in-process fake, reached through a transport that may lose messages."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import httpx
from sandbox_client._client import Client
from sandbox_client._config import Config
from sandbox_client._files.errand import Errands
from sandbox_client._files.files import Files
from sandbox_client._prompts import Prompts
from sandbox_client._proxy import Proxy
from sandbox_client._sandboxes import Sandboxes
from sandbox_client._waiting import Timing
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
    """Record each request, and lose it or its answer where `delivery` says so."""

    inner: httpx.AsyncBaseTransport
    delivery: Callable[[httpx.Request], Delivery] = _delivered
    sent: list[httpx.Request] = field(default_factory=list[httpx.Request])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        delivery = self.delivery(request)
        if delivery == "request lost":
            raise httpx.ReadError("the connection broke before anything arrived")
        if delivery == "refused for now":
            return httpx.Response(429, json={"error": "Too Many Requests", "message": "wait"})
        answer = await self.inner.handle_async_request(request)
        if delivery == "answer lost":
            await answer.aread()
            raise httpx.ReadError("the connection broke after the request had arrived")
        return answer

    def of(self, route: str) -> list[httpx.Request]:
        """Return the requests to the file API's route of that name."""
        return [each for each in self.sent if each.url.path.endswith(f"/v1/file/{route}")]

    def check_that_a_deployed_proxy_forwards_it(self) -> None:
        """Fail if a request has a query, or a body that is not JSON under 100 KB."""
        for each in self.sent:
            assert len(each.content) < 100_000
            assert each.url.query == b""
            if each.content:
                json.loads(each.content)


@dataclass
class ReadySandbox:
    """A ready sandbox: `work` is its /sandbox on this machine, `home` its /home/gem."""

    client: Client
    transport: UnreliableTransport
    in_process: InProcessFake
    root: Path

    @property
    def work(self) -> Path:
        return next(self.root.glob("*/sandbox"))

    @property
    def home(self) -> Path:
        return next(self.root.glob("*/home"))

    async def leftovers(self) -> list[str]:
        """Return the temporary files and sessions that a copy should have removed."""
        left = [path.name for path in self.root.rglob(".*") if ".part-" in path.name]
        packed = [path.name for path in self.home.glob(".remote-sandbox-*")]
        sessions = await self.client.prompts.sessions(BOX)
        return [*left, *packed, *(row.id for row, _ in sessions)]


@asynccontextmanager
async def ready_sandbox(
    root: Path, *, isolation: Any = "none", **kind: Any
) -> AsyncGenerator[ReadySandbox]:
    """Create a sandbox of the fake, which answers as the deployed proxy unless `kind` says else.

    At the end, check that a deployed proxy would forward all requests.
    """
    runtime = LocalRuntime(root, isolation=isolation)
    async with in_process_fake(lambda _: runtime, **{"as_deployed": True, **kind}) as in_process:
        key = (await in_process.key(await in_process.user("ada")))["api_key"]
        transport = UnreliableTransport(in_process.transport)
        proxy = Proxy(
            Config(proxy_url=URL, api_key=key), transport=transport, sleep=in_process.sleep
        )
        timing = Timing(lambda: in_process.clock.now().timestamp(), in_process.sleep, lambda: 0.5)
        async with proxy:
            # Commands really run: they are waited for on the machine's time.
            sandboxes = Sandboxes(proxy, timing)
            prompts = Prompts(sandboxes)
            client = Client(proxy, sandboxes, prompts, Files(sandboxes, Errands(prompts)))
            await client.sandboxes.create(BOX, image=None, port=None, report=in_process.report)
            await client.files.list(BOX, ".")  # now its directories are there
            yield ReadySandbox(client, transport, in_process, root)
            transport.check_that_a_deployed_proxy_forwards_it()
