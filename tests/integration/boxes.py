"""A ready sandbox of the fake in process, its files on this machine, and a line that may fail."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest
from sandbox_client._client import Client
from sandbox_client._config import Config
from sandbox_client._files.errand import Errands
from sandbox_client._files.files import Files
from sandbox_client._prompts import Prompts
from sandbox_client._proxy import Proxy
from sandbox_client._sandboxes import Sandboxes
from sandbox_client._waiting import Timing
from sandbox_fakeproxy import LocalRuntime

from tests.integration.pair import URL, Pair, a_pair

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

BOX = "box"
KINDS = [
    pytest.param({"as_deployed": False}, id="sane"),
    pytest.param({"as_deployed": True}, id="as-deployed"),
]
EVERY_KIND = [
    pytest.param({"profile": profile, "as_deployed": as_deployed}, id=f"{profile}-{kind}")
    for profile in ("v1alpha1", "v1beta1")
    for as_deployed, kind in ((False, "sane"), (True, "as-deployed"))
]
Fate = Literal["delivered", "answer lost", "request lost", "refused for now"]


def _delivered(request: httpx.Request) -> Fate:
    return "delivered"


@dataclass
class Line(httpx.AsyncBaseTransport):
    """What is between a client and the proxy: it keeps what is sent, and `fate` decides of it."""

    inner: httpx.AsyncBaseTransport
    fate: Callable[[httpx.Request], Fate] = _delivered
    sent: list[httpx.Request] = field(default_factory=list[httpx.Request])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        fate = self.fate(request)
        if fate == "request lost":
            raise httpx.ReadError("the line broke before anything arrived")
        if fate == "refused for now":
            return httpx.Response(429, json={"error": "Too Many Requests", "message": "wait"})
        answer = await self.inner.handle_async_request(request)
        if fate == "answer lost":
            await answer.aread()
            raise httpx.ReadError("the line broke after it had arrived")
        return answer

    def of(self, route: str) -> list[httpx.Request]:
        """Return what was sent to the file API's route of that name."""
        return [each for each in self.sent if each.url.path.endswith(f"/v1/file/{route}")]

    def check_that_a_deployed_proxy_forwards_it(self) -> None:
        """Fail where something is no JSON body under 100 KB, or has a query."""
        for each in self.sent:
            assert len(each.content) < 100_000
            assert each.url.query == b""
            if each.content:
                json.loads(each.content)


@dataclass
class Box:
    """A ready sandbox: its `client`, and `work`, which is /sandbox on this machine."""

    client: Client
    line: Line
    pair: Pair
    root: Path

    @property
    def work(self) -> Path:
        return next(self.root.glob("*/sandbox"))

    @property
    def home(self) -> Path:
        return next(self.root.glob("*/home"))

    async def leftovers(self) -> list[str]:
        """Return what a copy should have removed: parts, what lies packed, sessions."""
        left = [path.name for path in self.root.rglob(".*") if ".part-" in path.name]
        packed = [path.name for path in self.home.glob(".remote-sandbox-*")]
        sessions = await self.client.prompts.sessions(BOX)
        return [*left, *packed, *(row.id for row, _ in sessions)]


@asynccontextmanager
async def a_box(root: Path, *, isolation: Any = "none", **kind: Any) -> AsyncGenerator[Box]:
    """Make one; at its end, check that all that was sent passes a deployed proxy."""
    runtime = LocalRuntime(root, isolation=isolation)
    async with a_pair(lambda _: runtime, **kind) as pair:
        key = (await pair.key(await pair.user("ada")))["api_key"]
        line = Line(pair.transport)
        proxy = Proxy(Config(proxy_url=URL, api_key=key), transport=line, sleep=pair.sleep)
        timing = Timing(lambda: pair.clock.now().timestamp(), pair.sleep, lambda: 0.5)
        async with proxy:
            # Commands really run: they are waited for on the machine's time.
            sandboxes = Sandboxes(proxy, timing)
            prompts = Prompts(sandboxes)
            client = Client(proxy, sandboxes, prompts, Files(sandboxes, Errands(prompts)))
            await client.sandboxes.create(BOX, image=None, port=None, report=pair.report)
            await client.files.list(BOX, ".")  # now its directories are there
            yield Box(client, line, pair, root)
            line.check_that_a_deployed_proxy_forwards_it()
