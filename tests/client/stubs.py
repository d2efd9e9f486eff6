"""Stubs for the clock, the progress callback and the proxy, and builders of its replies."""

from __future__ import annotations

import contextlib
import json
import math
import shlex
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

import httpx
from sandbox_client import Client, Config
from sandbox_client.api.ends import note_end
from sandbox_client.api.message import Reply
from sandbox_client.http import Proxy
from sandbox_client.polling import Timing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sandbox_client.sandboxes import Sandboxes

KEY = "sk_live_0123456789abcdefABCDEF_-01234567"
URL = "http://proxy.test:8080/prefix"
CONFIG = Config(proxy_url=URL, api_key=KEY)
SESSION = "prompt-1"  # the id of a new session of the terminal API
COMMAND = "command-1"  # the id of a new session of the pipe API
MARK = "run-1"  # the mark of a command in a named session
RUNTIME = "GET /proxy/box/v1/sandbox"
LIST_FILES = "POST /proxy/box/v1/file/list"
OPEN = "POST /proxy/box/v1/shell/sessions/create"
EXEC = "POST /proxy/box/v1/shell/exec"
VIEW = "POST /proxy/box/v1/shell/view"
TYPE = "POST /proxy/box/v1/shell/write"
KILL = "POST /proxy/box/v1/shell/kill"
SESSIONS = "GET /proxy/box/v1/shell/sessions"
PIPE_OPEN = "POST /proxy/box/v1/bash/sessions/create"
PIPE_EXEC = "POST /proxy/box/v1/bash/exec"
PIPE_OUTPUT = "POST /proxy/box/v1/bash/output"
PIPE_KILL = "POST /proxy/box/v1/bash/kill"
PIPE_SESSIONS = "GET /proxy/box/v1/bash/sessions"
CREATED_AT = "2026-01-02T03:04:05.678Z"
NOW = datetime(2026, 1, 4, tzinfo=UTC)  # 44 hours after that


@dataclass
class FakeClock:
    """A clock that only `sleep` advances; `slept` lists the seconds of each call."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list[float])

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class RecordedProgress:
    """A progress callback that records its calls: seconds elapsed, seconds at most, reason."""

    reports: list[tuple[float, float | None, str]] = field(
        default_factory=list[tuple[float, float | None, str]]
    )

    async def __call__(self, elapsed: float, limit: float | None, reason: str) -> None:
        self.reports.append((elapsed, limit, reason))

    @property
    def reasons(self) -> list[str]:
        return [reason for _, _, reason in self.reports]


Answer = httpx.Response | Exception
Answers = Mapping[str, Answer | Sequence[Answer]]
Handler = (
    Callable[[httpx.Request], httpx.Response]
    | Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]
)


@dataclass
class SequenceStub:
    """A proxy that replies with `answers` in order, then repeats the last; it records requests.

    An exception among the answers is raised instead.
    """

    answers: Sequence[Answer]
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        # A new object for each request: a response can be read once.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def asked(self) -> list[str]:
        return [f"{each.method} {each.url.raw_path.decode()}" for each in self.requests]


@dataclass
class RouteStub:
    """A proxy that replies by `METHOD /path`: one answer, or a list in order and then its last.

    It opens sessions of both APIs, and its runtime answers, unless `answers` says otherwise. A
    request without an answer fails the test.
    """

    answers: Answers
    asked: list[str] = field(default_factory=list[str])
    bodies: list[object] = field(default_factory=list[object])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        route = f"{request.method} {request.url.path.removeprefix('/prefix')}"
        self.asked.append(route)
        self.bodies.append(json.loads(request.content) if request.content else None)
        session = str(json.loads(request.content or b"{}").get("session_id"))
        known = {
            OPEN: session_opened(),
            PIPE_OPEN: session_opened(session),
            RUNTIME: described(),
            LIST_FILES: listed(),
            **self.answers,
        }
        assert route in known, f"no answer for {route}; there are: {', '.join(known)}"
        given = known[route]
        answers = [given] if isinstance(given, httpx.Response | Exception) else given
        answer = answers[min(self.asked.count(route), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def sent(self, route: str) -> list[dict[str, object]]:
        """Return the bodies of the requests to a route, which are objects."""
        pairs = zip(self.asked, self.bodies, strict=True)
        return [cast("dict[str, object]", body) for asked, body in pairs if asked == route]


@contextlib.asynccontextmanager
async def proxy_over(
    handler: Handler,
    clock: FakeClock | None = None,
    config: Config = CONFIG,
) -> AsyncGenerator[Proxy]:
    """Yield a transport over `handler` that sleeps on `clock`."""
    transport = httpx.MockTransport(handler)
    async with Proxy(config, transport=transport, sleep=(clock or FakeClock()).sleep) as proxy:
        yield proxy


def timing_on(clock: FakeClock) -> Timing:
    """Return the client's timing on `clock`, without jitter."""
    return Timing(clock, clock.sleep, lambda: 0.0, lambda: NOW)


def new_id(kind: Literal["command", "prompt"]) -> str:
    """Return the id of a new session: `command-1` with the pipe API, `prompt-1` on a terminal."""
    return f"{kind}-1"


def fixed(client: Client, *, pipes: bool = False) -> Client:
    """Return the client with fixed ids; without `pipes` it knows that `box` has no pipe API."""
    if not pipes:
        client.sandboxes.without_pipes["box"] = math.inf  # never asked again
    client.prompts = replace(client.prompts, new_id=new_id, new_mark=lambda: MARK)
    return client


@contextlib.asynccontextmanager
async def client_over(
    handler: Handler,
    clock: FakeClock | None = None,
    config: Config = CONFIG,
    *,
    pipes: bool = False,
) -> AsyncGenerator[Client]:
    """Yield a client over `handler`, on `clock`, as `fixed` returns it."""
    time = clock or FakeClock()
    async with proxy_over(handler, time, config) as proxy:
        yield fixed(Client(proxy, timing_on(time)), pipes=pipes)


@contextlib.asynccontextmanager
async def sandboxes_over(
    handler: Handler,
    clock: FakeClock | None = None,
    config: Config = CONFIG,
) -> AsyncGenerator[Sandboxes]:
    """Yield the sandbox operations of `client_over`."""
    async with client_over(handler, clock, config) as client:
        yield client.sandboxes


def listed(*names: str) -> httpx.Response:
    """Return the reply of the file API with a directory of these files."""
    rows = [{"name": name, "is_directory": False, "size": 1} for name in names]
    return httpx.Response(200, json={"success": True, "data": {"files": rows}})


def error_reply(status: int, message: str, error: str = "Error", **headers: str) -> httpx.Response:
    """Return an error in the proxy's JSON form."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"error": error, "message": message}, headers=named)


def html_page(status: int) -> httpx.Response:
    """Return an error page as a load balancer sends it."""
    return httpx.Response(status, html="<html><h1>Bad Gateway</h1></html>")


def created(name: str = "box", image: str = "aio:1") -> httpx.Response:
    sandbox = {"name": name, "namespace": "user-ada", "image": image}
    message = f"Sandbox '{name}' created successfully"
    return httpx.Response(201, json={"success": True, "message": message, "sandbox": sandbox})


def succeeded(message: str = "done", **more: object) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "message": message, **more})


def described() -> httpx.Response:
    """Return the runtime's description of itself, which has no `data`."""
    return httpx.Response(200, json={"success": True, "message": "ok", "version": "1.9"})


def typed(command: str, session: str) -> str:
    """Return the line that a terminal gets for a command with a session of its own."""
    script = note_end("$0") + 'exec 3>&2 2>/dev/null; bash -c -- "$1" 2>&3 3>&-; exit $?'
    return f"{_start()}bash -mc '{script}' {session} {shlex.quote(command)} </dev/null"


def piped_line(command: str, session: str = "s1") -> str:
    """Return the line that the pipe API gets for a command."""
    note = rf'trap "trap - INT; kill -INT \$\$" INT; {note_end(session)}trap - INT; '
    return f'{note}exec -a bash "$BASH" -c -- {shlex.quote(command)} </dev/null'


def typed_on(command: str) -> str:
    """Return the line that a terminal gets for a command whose shell goes on, without its mark."""
    return f"{_start()}eval {shlex.quote(command)} </dev/null"


def _start() -> str:
    settings = (
        "PAGER=cat GIT_PAGER=cat TERM=dumb GIT_TERMINAL_PROMPT=0 DEBIAN_FRONTEND=noninteractive"
        " CI=1"
    )
    return f'[ "${{REMOTE_SANDBOX-}}" ] || export REMOTE_SANDBOX=1 {settings}; '


def executed(
    output: str = "", exit_code: int | None = 0, status: str = "completed", **more: object
) -> httpx.Response:
    """Return the runtime's reply to a command."""
    data = {"command": "x", "status": status, "output": output, **more}
    body = {"success": True, "message": "ok", "data": {**data, "exit_code": exit_code}}
    return httpx.Response(200, json={**body, "hint": None})


def session_opened(session: str = SESSION) -> httpx.Response:
    """Return the runtime's reply to a request for a session."""
    data = {"session_id": session, "working_dir": "/sandbox"}
    return httpx.Response(200, json={"success": True, "message": "ok", "data": data, "hint": None})


def view_of(
    output: str = "",
    status: str = "running",
    exit_code: int | None = None,
    command: str = "make",
    before: int = 0,
) -> httpx.Response:
    """Return the runtime's view of a session: its last command after `before` earlier ones."""
    earlier = {"ps1": "$ ", "command": "earlier", "output": "earlier\n"}
    last = {"ps1": "$ ", "command": command, "output": output}
    data = {
        "status": status,
        "output": f"$ {command}\n{output}",
        "console": [earlier] * before + [last],
        "command": command,
        "exit_code": exit_code,
    }
    return httpx.Response(200, json={"success": True, "message": "ok", "data": data, "hint": None})


def session_list(**rows: dict[str, object]) -> httpx.Response:
    """Return the runtime's list of sessions, by id."""
    body = {"success": True, "message": "ok", "data": {"sessions": rows}, "hint": None}
    return httpx.Response(200, json=body)


def unused_session() -> httpx.Response:
    """Return the runtime's view of a session that has run no command."""
    data: dict[str, object] = {"status": "completed", "console": []}
    body = {"success": True, "message": "ok", "hint": None}
    return httpx.Response(200, json={**body, "data": {**data, "output": ""}})


def piped(
    stdout: str | None = "",
    stderr: str | None = "",
    exit_code: int | None = 0,
    status: str = "completed",
    **more: object,
) -> httpx.Response:
    """Return the pipe API's reply to a command."""
    data: dict[str, object] = {
        "command_id": "c1",
        "command": piped_line("make"),
        "status": status,
        "stdout": stdout,
        "stderr": stderr,
        "exit_code": exit_code,
        "offset": len((stdout or "").encode()),
        "stderr_offset": len((stderr or "").encode()),
    }
    body = {"success": True, "message": "ok", "data": data | more, "hint": None}
    return httpx.Response(200, json=body)


def piped_output(
    stdout: str = "",
    end: int = 0,
    *,
    stderr: str = "",
    stderr_end: int = 0,
    status: str = "running",
    exit_code: int | None = None,
    command: str = "make",
) -> httpx.Response:
    """Return the pipe API's output of a command, up to the offsets `end` and `stderr_end`."""
    row = {
        "command_id": "c1",
        "command": piped_line(command),
        "status": status,
        "exit_code": exit_code,
    }
    data = {"stdout": stdout, "stderr": stderr, "offset": end}
    body = {"success": True, "message": "ok", "hint": None}
    ended = {**data, "stderr_offset": stderr_end, "command": row if status else None}
    return httpx.Response(200, json={**body, "data": ended})


def as_reply(response: httpx.Response, secret: str = KEY) -> Reply:
    """Return the response in the form that the pure readers take."""
    headers = response.headers
    return Reply(
        status=response.status_code,
        body=response.content,
        content_type=headers.get("content-type", ""),
        location=headers.get("location", ""),
        secret=secret,
    )
