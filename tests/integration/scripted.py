"""A sandbox with commands of virtual minutes, and transports between client and fake proxy."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from sandbox_client import Client
from sandbox_client.http import Proxy
from sandbox_fakeproxy import ManualClock, Outcome, ScriptedRuntime

from tests.integration.in_process import InProcessFake, JumpingClock, in_process_fake

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sandbox_client import OutputChunk
    from sandbox_fakeproxy import Command

BOX = "my-sandbox"
HOUR = "work for 60 minutes"
WORK = "work for 5 minutes"
FOR_EVER = "for ever"
# Options of the fake proxy for each API of the runtime.
APIS: dict[str, dict[str, Any]] = {"pipes": {}, "terminal": {"runtime_api": "1.0"}}


def script(command: Command) -> Outcome:
    """Return a line per minute and exit code 5 for `work for N minutes`.

    The command FOR_EVER never ends; any other command ends at once.
    """
    if command.text.startswith("work for "):
        minutes = int(command.text.split()[2])
        prints = [(60.0 * minute, f"minute {minute}\n") for minute in range(minutes)]
        return Outcome(prints=prints, seconds=60.0 * minutes, exit_code=5)
    return Outcome(seconds=math.inf) if command.text == FOR_EVER else Outcome("done\n")


@dataclass
class ScriptedSandbox:
    """A fake proxy with a scripted runtime and the ready sandbox BOX, and a client."""

    in_process: InProcessFake
    client: Client
    runtime: ScriptedRuntime

    @property
    def texts(self) -> list[str]:
        """The texts of the commands that have run."""
        return [command.text for command in self.runtime.commands]

    def client_over(self, transport: httpx.AsyncBaseTransport | None = None) -> Client:
        """Return a client with the same configuration and another transport."""
        proxy = Proxy(
            self.client.proxy.config,
            transport=transport or self.in_process.transport,
            sleep=self.in_process.sleep,
        )
        return Client(proxy, self.client.prompts.timing)


@asynccontextmanager
async def scripted_sandbox(
    script: Callable[[Command], Outcome] = script, **options: Any
) -> AsyncGenerator[ScriptedSandbox]:
    """Yield a fake proxy that runs `script`, with a ready sandbox and a client."""
    runtimes: list[ScriptedRuntime] = []

    def runtime(clock: ManualClock) -> ScriptedRuntime:
        runtimes.append(ScriptedRuntime(script, clock=JumpingClock(clock)))
        return runtimes[0]

    async with in_process_fake(runtime, **options) as in_process:
        client = await in_process.new_client(is_scripted=True)
        await client.create(BOX, on_progress=in_process.report)
        yield ScriptedSandbox(in_process, client, runtimes[0])


@dataclass
class OutputRecorder:
    """Collect the output of a command, and the time at which each line arrived."""

    sandbox: ScriptedSandbox
    text: str = ""
    position: int = 0
    session: str = ""
    times: dict[str, float] = field(
        default_factory=dict[str, float]
    )  # of lines, by the fake's clock

    def on_session(self, session: str) -> None:
        """Keep the id of the session."""
        self.session = session

    def on_output(self, chunk: OutputChunk) -> None:
        """Append new output."""
        self.text += chunk.text
        self.position = chunk.end
        now = self.sandbox.in_process.clock.now().timestamp()
        self.times |= dict.fromkeys(chunk.text.splitlines(), now)


class ForwardingTransport(httpx.AsyncBaseTransport):
    """Forward each request to the fake proxy; subclasses change requests or responses."""

    def __init__(self, proxy: httpx.AsyncBaseTransport) -> None:
        self.proxy = proxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.proxy.handle_async_request(request)


class ResponseLosingTransport(ForwardingTransport):
    """Deliver the first request to a route, but lose the response.

    `how` is "cut" for a broken connection; otherwise a gateway answers 504.
    """

    def __init__(self, proxy: httpx.AsyncBaseTransport, route: str, how: str) -> None:
        super().__init__(proxy)
        self._route, self._how = route, how
        self.lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.proxy.handle_async_request(request)
        if self.lost or not request.url.path.endswith(self._route):
            return response
        self.lost += 1
        if self._how == "cut":
            raise httpx.ReadError("reset by peer")
        return httpx.Response(504, html="<html><h1>Gateway Time-out</h1></html>")


@dataclass(frozen=True)
class TimedRequest:
    """A request with the times when it was sent and answered, in seconds of the fake's clock."""

    path: str
    sent: float
    answered: float


class TimedTransport(ForwardingTransport):
    """Record each request with the times of the fake's clock."""

    def __init__(self, in_process: InProcessFake) -> None:
        super().__init__(in_process.transport)
        self._clock = in_process.clock
        self.requests: list[TimedRequest] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = self._clock.now().timestamp()
        response = await self.proxy.handle_async_request(request)
        answered = self._clock.now().timestamp()
        self.requests.append(TimedRequest(request.url.path, sent, answered))
        return response


class OldRuntimeTransport(ForwardingTransport):
    """Answer like a runtime without the pipe API as long as `is_old` is set."""

    is_old = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_old and "/v1/bash/" in request.url.path:
            return httpx.Response(404, json={"detail": "Not Found"})
        return await self.proxy.handle_async_request(request)
