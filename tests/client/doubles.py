"""Stand-ins for time, for the proxy, and for what it answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from sandbox_client._config import Config
from sandbox_client._proxy import Proxy
from sandbox_client._sandboxes import Sandboxes
from sandbox_client._wire import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

KEY = "sk_live_0123456789abcdefABCDEF_-01234567"
URL = "http://proxy.test:8080/prefix"
CONFIG = Config(proxy_url=URL, api_key=KEY)
CREATED_AT = "2026-01-02T03:04:05.678Z"


@dataclass
class Clock:
    """Time that passes only when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list[float])

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Reports:
    """What a wait told as it went on."""

    told: list[tuple[float, float | None, str]] = field(
        default_factory=list[tuple[float, float | None, str]]
    )

    async def __call__(self, elapsed: float, limit: float | None, reason: str) -> None:
        self.told.append((elapsed, limit, reason))

    @property
    def reasons(self) -> list[str]:
        return [reason for _, _, reason in self.told]


Answer = httpx.Response | Exception
Answers = Mapping[str, Answer | Sequence[Answer]]
Handler = (
    Callable[[httpx.Request], httpx.Response]
    | Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]
)


@dataclass
class Upstream:
    """A proxy that gives `answers` in turn, the last one for ever, and remembers what was asked."""

    answers: Sequence[Answer]
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        # A fresh one each time: a response is read once.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def asked(self) -> list[str]:
        return [f"{each.method} {each.url.raw_path.decode()}" for each in self.requests]


@dataclass
class Routes:
    """A proxy that answers by `METHOD /path`, in turn where there are several answers."""

    answers: Answers
    asked: list[str] = field(default_factory=list[str])
    bodies: list[object] = field(default_factory=list[object])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        route = f"{request.method} {request.url.path.removeprefix('/prefix')}"
        self.asked.append(route)
        self.bodies.append(json.loads(request.content) if request.content else None)
        assert route in self.answers, f"{route} was asked; there are: {', '.join(self.answers)}"
        given = self.answers[route]
        answers = [given] if isinstance(given, httpx.Response | Exception) else given
        answer = answers[min(self.asked.count(route), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@contextlib.asynccontextmanager
async def proxy_over(
    handler: Handler,
    clock: Clock | None = None,
    config: Config = CONFIG,
) -> AsyncGenerator[Proxy]:
    """A client whose requests `handler` answers, and which sleeps on `clock`."""
    transport = httpx.MockTransport(handler)
    async with Proxy(config, transport=transport, sleep=(clock or Clock()).sleep) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def sandboxes_over(
    handler: Handler,
    clock: Clock | None = None,
    config: Config = CONFIG,
) -> AsyncGenerator[Sandboxes]:
    """The verbs over a proxy that `handler` plays, on `clock`."""
    time = clock or Clock()
    async with proxy_over(handler, time, config) as proxy:
        yield Sandboxes(proxy, clock=time, sleep=time.sleep, random=lambda: 0.0)


def says(status: int, message: str, error: str = "Error", **headers: str) -> httpx.Response:
    """The proxy's form of an error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"error": error, "message": message}, headers=named)


def page(status: int) -> httpx.Response:
    """A load balancer's form of an error."""
    return httpx.Response(status, html="<html><h1>Bad Gateway</h1></html>")


def made(name: str = "box", image: str = "aio:1") -> httpx.Response:
    sandbox = {"name": name, "namespace": "user-ada", "image": image}
    message = f"Sandbox '{name}' created successfully"
    return httpx.Response(201, json={"success": True, "message": message, "sandbox": sandbox})


def done(message: str = "done", **more: object) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "message": message, **more})


def ran(
    output: str = "", exit_code: int | None = 0, status: str = "completed", **more: object
) -> httpx.Response:
    """The runtime's reply to a command."""
    data = {"session_id": "s1", "command": "x", "status": status, "output": output, **more}
    body = {"success": True, "message": "ok", "data": {**data, "exit_code": exit_code}}
    return httpx.Response(200, json={**body, "hint": None})


def reply_of(response: httpx.Response, secret: str = KEY) -> Reply:
    """The response as `_wire` takes it."""
    headers = response.headers
    return Reply(
        status=response.status_code,
        body=response.content,
        content_type=headers.get("content-type", ""),
        location=headers.get("location", ""),
        secret=secret,
    )
