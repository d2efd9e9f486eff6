"""Wrong proxies in how they forward requests to a sandbox, and its answers."""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy import Service

from .mutant import Kind, with_middleware, with_settings
from .rewriting import (
    INSIDE,
    Answer,
    Handled,
    Held,
    answered,
    body,
    changing,
    error,
    handled,
    refused,
    routed,
    setting,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox_fakeproxy import Sandbox
    from starlette.types import Scope

    from .mutant import Make
    from .rewriting import Handle

_ANY_INSIDE = rf"\w+ {INSIDE}/.*"
_PROBE = rf"\w+ {INSIDE}/contract-probe/.*"

# Not ready ---------------------------------------------------------------------------------------

NOT_READY = Kind("A command that comes too soon")
for _id, _said, _change, _clauses in (
    ("500", "500", status(500), ("503", "service", "pod")),
    ("502", "502", error(502, "Bad Gateway", "Sandbox not ready"), ("503", "pod")),
    ("404", "404", error(404, "Not Found", "Sandbox not ready"), ("503", "pod")),
    (
        "message",
        "503 with another message",
        error(503, "Service Unavailable", "Try again later"),
        ("503", "service", "pod"),
    ),
    (
        "no-service",
        "503 for want of a service, whatever is wanting",
        body(setting("message", "Sandbox service not ready")),
        ("pod",),
    ),
    (
        "no-pod",
        "503 for want of a pod, whatever is wanting",
        body(setting("message", "Sandbox not ready")),
        ("service",),
    ),
    (
        "empty",
        "503 without a body",
        changing(lambda answer: setattr(answer, "body", b"")),
        ("503", "pod"),
    ),
):
    NOT_READY.add(
        f"commands.not-ready.{_id}",
        f"A command that comes too soon is {_said}.",
        answered(_ANY_INSIDE, _change, on=503),
        *(f"commands.not-ready.{clause}" for clause in _clauses),
    )
NOT_READY.add(
    "commands.not-ready.200",
    "A command that comes too soon is 200, and does not run.",
    answered(_ANY_INSIDE, status(200), on=503),
    "commands.not-ready.503",
    "readiness.ready.instant",
)


def _serving(service: type[Service], handle: Handle) -> Make:
    """Have a function answer requests to sandboxes, with another service behind it."""
    return with_middleware(lambda app: Handled(app, _ANY_INSIDE, handle), service=service)


@NOT_READY.of(
    "commands.not-ready.runs",
    "A command runs, ready or not.",
    "commands.not-ready.503",
    "commands.not-ready.pod",
    "commands.not-ready.runs-nothing",
    "commands.paused.runs-nothing",
)
class Eager(Service):
    def require_ready(self, sandbox: Sandbox) -> None:
        pass


_ignores_readiness = ContextVar("_ignores_readiness", default=False)


class _SometimesEager(Service):
    def require_ready(self, sandbox: Sandbox) -> None:
        if not _ignores_readiness.get():
            super().require_ready(sandbox)


_NO_SERVICE = b"Sandbox service not ready"  # of sandboxes that were never ready


async def _run_after_all(request: Held, *, message: bytes = b"") -> Answer:
    answer = await request.send()
    if answer.status == 503 and message in answer.body:
        token = _ignores_readiness.set(True)
        try:
            await request.send()
        finally:
            _ignores_readiness.reset(token)
    return answer


NOT_READY.add(
    "commands.not-ready.runs-after-all",
    "A command that comes too soon is refused, and runs all the same.",
    _serving(_SometimesEager, _run_after_all),
    "commands.not-ready.runs-nothing",
    "commands.paused.runs-nothing",
)
NOT_READY.add(
    "commands.not-ready.runs-unserved",
    "A command is refused until the sandbox has a service, and runs all the same.",
    _serving(_SometimesEager, partial(_run_after_all, message=_NO_SERVICE)),
    "commands.not-ready.runs-nothing",
)


class _Later:
    """Send the last request that came too soon once more, before the next one.

    With a message, only a request that was refused with it.
    """

    def __init__(self, message: bytes = b"") -> None:
        self._left: dict[str, Held] = {}
        self._message = message

    async def answer(self, request: Held) -> Answer:
        left = self._left.pop(request.sandbox, None)
        if left is not None and (await left.send()).status == 503:
            self._left[request.sandbox] = left
        answer = await request.send()
        if answer.status == 503 and self._message in answer.body:
            self._left[request.sandbox] = request
        return answer


NOT_READY.add(
    "commands.not-ready.runs-later",
    "A command that comes too soon is refused, and runs when the sandbox is ready.",
    with_middleware(lambda app: Handled(app, _ANY_INSIDE, _Later().answer)),
    "commands.not-ready.runs-nothing",
    "commands.paused.runs-nothing",
)
NOT_READY.add(
    "commands.not-ready.runs-queued",
    "A command is refused until the sandbox has a service, and runs when the sandbox is ready.",
    with_middleware(lambda app: Handled(app, _ANY_INSIDE, _Later(_NO_SERVICE).answer)),
    "commands.not-ready.runs-nothing",
)

# There and back ----------------------------------------------------------------------------------

CHANGED = Kind("What the runtime answers, changed on its way")


def _wrapped(answer: Answer) -> None:
    said = {"success": answer.status < 400, "data": json.loads(answer.body)}
    answer.body = json.dumps(said).encode()


for _id, _said, _make in (
    ("4xx-500", "A 4xx becomes 500", refused(_ANY_INSIDE, status(500))),
    (
        "4xx-502",
        "A 4xx becomes 502 in the proxy's words",
        refused(_ANY_INSIDE, error(502, "Bad Gateway", "The sandbox has refused")),
    ),
    (
        "4xx-worded",
        "A 4xx keeps its status, and gets the proxy's words",
        refused(
            rf"\w+ {INSIDE}/v1/.*",
            lambda answer: error(answer.status, "Not Found", "The sandbox has refused")(answer),
        ),
    ),
    ("4xx-200", "A 4xx becomes 200", refused(_ANY_INSIDE, status(200))),
    ("422-400", "A 422 becomes 400", answered(_ANY_INSIDE, status(400), on=422)),
    ("404-403", "A 404 becomes 403", answered(_ANY_INSIDE, status(403), on=404)),
    (
        "422-flat",
        "What does not fit is told as text",
        answered(_ANY_INSIDE, body(setting("detail", "Unprocessable")), on=422),
    ),
    ("wrapped", "A refusal is wrapped", refused(rf"\w+ {INSIDE}/v1/.*", _wrapped)),
):
    CHANGED.add(f"commands.changed.{_id}", f"{_said}.", _make, "commands.reply.unchanged")
for _id, _said, _change, _status in (
    ("201-200", "A 201 becomes 200", status(200), 201),
    ("500-502", "A 500 becomes 502", status(502), 500),
    ("418-400", "A 418, which nobody knows, becomes 400", status(400), 418),
):
    CHANGED.add(
        f"commands.changed.{_id}",
        f"{_said}.",
        answered(_PROBE, _change, on=_status),
        "commands.method.any",
    )
CHANGED.add(
    "commands.changed.success-wrapped",
    "A success is wrapped.",
    answered(rf"\w+ {INSIDE}/v1/.*", _wrapped),
    "shell.exec.reply",
    "files.read.reply",
)

METHODS = Kind("What the runtime is asked, changed on its way")


def _as(method: str, *methods: str) -> Any:
    def change(scope: Scope) -> Scope:
        is_meant = scope["path"].startswith("/proxy/") and scope["method"] in methods
        return {**scope, "method": method} if is_meant else scope

    return routed(change)


for _id, _said, _make in (
    ("post", "Whatever the method, POST arrives", _as("POST", "GET", "PUT", "PATCH", "DELETE")),
    ("put", "PUT arrives as POST", _as("POST", "PUT")),
    ("delete", "DELETE arrives as GET", _as("GET", "DELETE")),
    (
        "patch",
        "PATCH is refused",
        answered(f"PATCH {INSIDE}/.*", error(405, "Method Not Allowed", "Use PUT")),
    ),
):
    METHODS.add(f"commands.asked.{_id}", f"{_said}.", _make, "commands.method.any")


async def _twice(request: Held) -> Answer:
    await request.send()
    return await request.send()


METHODS.add(
    "commands.asked.twice",
    "A command is sent twice, in case that the first was lost.",
    handled(_ANY_INSIDE, _twice),
    "shell.exec.once",
)
METHODS.add(
    "commands.asked.no-body",
    "No body reaches the runtime.",
    handled(_ANY_INSIDE, lambda request: request.send(b"")),
    "shell.exec.output",
)

# Time --------------------------------------------------------------------------------------------

TIME = Kind("Commands that take their time")
for _seconds in (30.0, 120.0, 298.0):
    TIME.add(
        f"commands.time.{_seconds:.0f}",
        f"A command is cut off after {_seconds:.0f} s.",
        with_settings(command_timeout=_seconds),
        "commands.deadline.within",
    )


_stops: ContextVar[list[Callable[[], Awaitable[None]]]] = ContextVar("_stops")


class _Stoppable(Service):
    """A service that records how to stop the processes in a request's sandbox."""

    def require_ready(self, sandbox: Sandbox) -> None:
        super().require_ready(sandbox)
        _stops.get([]).append(partial(self.runtime.stop, sandbox.id))


async def _stopped_with_its_caller(request: Held) -> Answer:
    stops: list[Callable[[], Awaitable[None]]] = []
    _stops.set(stops)
    try:
        return await request.send()
    except asyncio.CancelledError:
        for stop in stops:
            await stop()
        raise


TIME.add(
    "commands.time.disconnect",
    "A command is killed when its caller leaves.",
    _serving(_Stoppable, _stopped_with_its_caller),
    "commands.disconnect.goes-on",
)


KINDS = (NOT_READY, CHANGED, METHODS, TIME)
