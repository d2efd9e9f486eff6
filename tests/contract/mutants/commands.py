"""Wrong proxies in how they forward requests to a sandbox, and its answers."""

from __future__ import annotations

import asyncio
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._proxy.delivery import Outbound, request_of
from sandbox_fakeproxy._proxy.forwarding import Forwarding

from .mutant import Kind, with_settings
from .rewriting import (
    INSIDE,
    Answer,
    answered,
    body,
    changing,
    error,
    refused,
    routed,
    setting,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sandbox_fakeproxy._state.records import Sandbox, User
    from starlette.responses import Response
    from starlette.types import Scope

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


class _Eager(Forwarding):
    """A way to the runtime that does not ask whether that is ready."""

    def _admitted(
        self, user: User, sandbox: Sandbox, asked: Outbound
    ) -> Coroutine[Any, Any, Response]:
        try:
            return super()._admitted(user, sandbox, asked)
        except Refusal as refusal:
            return self.instead(sandbox, asked, refusal)

    def instead(
        self, sandbox: Sandbox, asked: Outbound, refusal: Refusal
    ) -> Coroutine[Any, Any, Response]:
        """Forward a request to a sandbox that is not ready."""
        del refusal
        return self._or_upstream(self._runtime.answer(sandbox.id, asked), asked)


@NOT_READY.of(
    "commands.not-ready.runs",
    "A command runs, ready or not.",
    "commands.not-ready.503",
    "commands.not-ready.pod",
    "commands.paused.runs-nothing",
)
class Eager(_Eager):
    pass


@NOT_READY.of(
    "commands.not-ready.runs-after-all",
    "A command that comes too soon is refused, and runs all the same.",
    "commands.paused.runs-nothing",
)
class RunsAfterAll(_Eager):
    async def instead(self, sandbox: Sandbox, asked: Outbound, refusal: Refusal) -> Response:
        await self._or_upstream(self._runtime.answer(sandbox.id, asked), asked)
        raise refusal


@NOT_READY.of(
    "commands.not-ready.runs-later",
    "A command that comes too soon is refused, and runs when the sandbox is ready.",
    "commands.paused.runs-nothing",
)
class RunsLater(_Eager):
    async def instead(self, sandbox: Sandbox, asked: Outbound, refusal: Refusal) -> Response:
        self._left[sandbox.id] = asked
        raise refusal

    async def forward(self, user: User, sandbox: Sandbox, asked: Outbound) -> Response:
        left = self._left.get(sandbox.id)
        is_ready = self._controller.accepts_commands(sandbox, self._clock.now())
        if left is not None and is_ready:
            await super().forward(user, sandbox, self._left.pop(sandbox.id))
        return await super().forward(user, sandbox, asked)

    @cached_property
    def _left(self) -> dict[str, Outbound]:
        return {}


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


@METHODS.of(
    "commands.asked.twice",
    "A command is sent twice, in case that the first was lost.",
    "shell.exec.once",
)
class Twice(Forwarding):
    def _admitted(
        self, user: User, sandbox: Sandbox, asked: Outbound
    ) -> Coroutine[Any, Any, Response]:
        return self._twice(super()._admitted(user, sandbox, asked), user, sandbox, asked)

    async def _twice(
        self, first: Coroutine[Any, Any, Response], user: User, sandbox: Sandbox, asked: Outbound
    ) -> Response:
        await first
        return await super()._admitted(user, sandbox, _copy(asked))


def _copy(asked: Outbound) -> Outbound:
    """Return the same request, to be sent once more."""
    return request_of(
        asked.method,
        asked.url.path,
        query=asked.scope["query_string"],
        headers=[pair for pair in asked.headers.raw if pair[0] != b"content-length"],
        body=asked.content,
    )


@METHODS.of(
    "commands.asked.no-body",
    "No body reaches the runtime.",
    "shell.exec.output",
)
class NoBody(Forwarding):
    async def forward(self, user: User, sandbox: Sandbox, asked: Outbound) -> Response:
        bare = request_of(asked.method, asked.url.path, query=b"", headers=[], body=b"")
        return await super().forward(user, sandbox, bare)


# Time --------------------------------------------------------------------------------------------

TIME = Kind("Commands that take their time")
for _seconds in (30.0, 120.0, 298.0):
    TIME.add(
        f"commands.time.{_seconds:.0f}",
        f"A command is cut off after {_seconds:.0f} s.",
        with_settings(command_timeout=_seconds),
        "commands.deadline.within",
    )


@TIME.of(
    "commands.time.disconnect",
    "A command is killed when its caller leaves.",
    "commands.disconnect.goes-on",
)
class Hasty(Forwarding):
    async def forward(self, user: User, sandbox: Sandbox, asked: Outbound) -> Response:
        try:
            return await super().forward(user, sandbox, asked)
        except asyncio.CancelledError:
            await self._runtime.stop(sandbox.id)
            raise


KINDS = (NOT_READY, CHANGED, METHODS, TIME)
