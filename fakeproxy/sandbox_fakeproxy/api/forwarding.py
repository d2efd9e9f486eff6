"""Requests below `/proxy/<name>` to a sandbox's runtime: any method, any path."""

import asyncio
from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from sandbox_fakeproxy.errors import Fault, Refusal
from sandbox_fakeproxy.model import Sandbox, User
from sandbox_fakeproxy.runtime.interface import RuntimeUnreachable
from sandbox_fakeproxy.service import Service

from .behavior import Conduct
from .delivery import Ask, Outbound, ask


class Forwarding:
    """The way from a caller to the runtime.

    The runtime is asked first, and then `upstream` for a path that the runtime does not have.
    An answer may take `time_limit` seconds of the clock; the work goes on after that.
    """

    def __init__(
        self,
        service: Service,
        conduct: Conduct,
        *,
        upstream: ASGIApp | None,
        time_limit: float,
    ) -> None:
        self._service = service
        self._conduct = conduct
        self._upstream = upstream
        self._time_limit = timedelta(seconds=time_limit)
        self._under_way: set[asyncio.Future[Response]] = set()

    async def forward(self, user: User, sandbox: Sandbox, asked: Outbound) -> Response:
        """Pass a request on, if the sandbox is ready for it."""
        sandbox = await self._service.after_changes(sandbox)
        answer = self._admitted(user, sandbox, asked)

        async def again(request: Outbound) -> Response:
            current = self._service.current(sandbox)
            if current is None:
                raise RuntimeUnreachable("The sandbox was deleted while it was asked")
            return await self._admitted(user, current, request)

        return await self._within_time(self._delivered(answer, asked, again))

    def _admitted(
        self, user: User, sandbox: Sandbox, asked: Outbound
    ) -> Coroutine[Any, Any, Response]:
        """Check that the sandbox is ready, and ask it in the same step: no pause comes between."""
        self._service.require_ready(sandbox)
        asked.scope["server"] = (f"{sandbox.name}.{user.namespace}.svc.cluster.local", 8080)
        return self._or_upstream(self._service.runtime.answer(sandbox.id, asked), asked)

    async def _or_upstream(self, answer: Awaitable[Response | None], asked: Outbound) -> Response:
        return await answer or await self._ask_upstream(asked)

    async def _delivered(self, answer: Awaitable[Response], sent: Outbound, again: Ask) -> Response:
        try:
            return await self._conduct.inbound(await answer, sent, again)
        except RuntimeUnreachable as exc:
            raise Refusal(502, str(exc), Fault.UNREACHABLE) from exc

    async def _ask_upstream(self, request: Outbound) -> Response:
        if self._upstream is None:
            return JSONResponse({"detail": "Not Found"}, 404)
        return await ask(self._upstream, request)

    async def _within_time(self, work: Coroutine[Any, Any, Response]) -> Response:
        """Wait for an answer; neither the time's end nor the caller's leaving ends the work."""
        answering = asyncio.ensure_future(work)
        self._under_way.add(answering)
        answering.add_done_callback(self._forget)
        clock = self._service.clock
        deadline = asyncio.ensure_future(clock.sleep_until(clock.now() + self._time_limit))
        try:
            await asyncio.wait({answering, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
        if answering.done():
            return answering.result()
        seconds = self._time_limit.total_seconds()
        raise Refusal(
            504,
            f"The sandbox has not answered within {seconds:g} s; what it runs goes on",
            Fault.TIME_LIMIT,
        )

    def _forget(self, answering: asyncio.Future[Response]) -> None:
        self._under_way.discard(answering)
        if not answering.cancelled():
            answering.exception()  # its caller may be gone
