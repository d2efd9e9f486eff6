"""Stand-ins for time, for the proxy, and for what it answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
from sandbox_client._client import Client, over
from sandbox_client._config import Config
from sandbox_client._message import Reply
from sandbox_client._proxy import Proxy
from sandbox_client._waiting import Timing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sandbox_client._sandboxes import Sandboxes

KEY = "sk_live_0123456789abcdefABCDEF_-01234567"
URL = "http://proxy.test:8080/prefix"
CONFIG = Config(proxy_url=URL, api_key=KEY)
SESSION = "prompt-1"  # that a command gets, where it names none
MARK = "run-1"  # that a command gets in a session which may have others
OPEN = "POST /proxy/box/v1/shell/sessions/create"
EXEC = "POST /proxy/box/v1/shell/exec"
VIEW = "POST /proxy/box/v1/shell/view"
KILL = "POST /proxy/box/v1/shell/kill"
SESSIONS = "GET /proxy/box/v1/shell/sessions"
CREATED_AT = "2026-01-02T03:04:05.678Z"
NOW = datetime(2026, 1, 4, tzinfo=UTC)  # 44 hours after that


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
    """A proxy that answers by `METHOD /path`, in turn where there are several answers.

    A session is opened for whoever asks, unless there is another answer.
    """

    answers: Answers
    asked: list[str] = field(default_factory=list[str])
    bodies: list[object] = field(default_factory=list[object])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        route = f"{request.method} {request.url.path.removeprefix('/prefix')}"
        self.asked.append(route)
        self.bodies.append(json.loads(request.content) if request.content else None)
        known = {OPEN: opened(), **self.answers}
        assert route in known, f"{route} was asked; there are: {', '.join(known)}"
        given = known[route]
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


def timing(clock: Clock) -> Timing:
    """Time that passes on `clock`, without jitter."""
    return Timing(clock, clock.sleep, lambda: 0.0, lambda: NOW)


@contextlib.asynccontextmanager
async def client_over(
    handler: Handler,
    clock: Clock | None = None,
    config: Config = CONFIG,
) -> AsyncGenerator[Client]:
    """A client of a proxy that `handler` plays, on `clock`."""
    time = clock or Clock()
    async with proxy_over(handler, time, config) as proxy:
        client = over(proxy, timing(time))
        yield replace(
            client, prompts=replace(client.prompts, new_id=lambda: SESSION, new_mark=lambda: MARK)
        )


@contextlib.asynccontextmanager
async def sandboxes_over(
    handler: Handler,
    clock: Clock | None = None,
    config: Config = CONFIG,
) -> AsyncGenerator[Sandboxes]:
    """The verbs of a sandbox's life over a proxy that `handler` plays, on `clock`."""
    async with client_over(handler, clock, config) as client:
        yield client.sandboxes


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


def opened(session: str = SESSION) -> httpx.Response:
    """The runtime's reply to who asks for a session."""
    data = {"session_id": session, "working_dir": "/sandbox"}
    return httpx.Response(200, json={"success": True, "message": "ok", "data": data, "hint": None})


def viewed(
    output: str = "",
    status: str = "running",
    exit_code: int | None = None,
    command: str = "make",
    before: int = 0,
) -> httpx.Response:
    """The runtime's reply to who looks at a session: its last command after `before` others."""
    earlier = {"ps1": "$ ", "command": "earlier", "output": "earlier\n"}
    last = {"ps1": "$ ", "command": command, "output": output}
    data = {
        "session_id": SESSION,
        "status": status,
        "output": f"$ {command}\n{output}",
        "console": [earlier] * before + [last],
        "command": command,
        "exit_code": exit_code,
    }
    return httpx.Response(200, json={"success": True, "message": "ok", "data": data, "hint": None})


def sessions(**rows: dict[str, object]) -> httpx.Response:
    """The runtime's list of its sessions."""
    body = {"success": True, "message": "ok", "data": {"sessions": rows}, "hint": None}
    return httpx.Response(200, json=body)


def unused() -> httpx.Response:
    """The runtime's reply to who looks at a session in which nothing has run."""
    data: dict[str, object] = {"session_id": SESSION, "status": "completed", "console": []}
    body = {"success": True, "message": "ok", "hint": None}
    return httpx.Response(200, json={**body, "data": {**data, "output": ""}})


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
