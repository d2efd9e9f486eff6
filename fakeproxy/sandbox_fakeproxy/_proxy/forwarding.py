"""What goes through the proxy to a sandbox's runtime: any method, any path below its name."""

import asyncio
from collections.abc import Awaitable, Container, Coroutine
from datetime import timedelta
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from sandbox_fakeproxy._clock import Clock
from sandbox_fakeproxy._errors import Fault, Refusal, vanished
from sandbox_fakeproxy._runtime.interface import Runtime, RuntimeUnreachable
from sandbox_fakeproxy._state.controller import Controller
from sandbox_fakeproxy._state.profiles import Phase
from sandbox_fakeproxy._state.records import Sandbox, User
from sandbox_fakeproxy._state.store import Store

from .conduct import Conduct
from .delivery import Ask, Outbound
from .upstream import ask


class Forwarding:
    """The way from a caller to the runtime.

    The runtime is asked first, and then `upstream` for whatever path the runtime does not have.
    An answer may take `time_limit` seconds of the clock; the work goes on after that.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        controller: Controller,
        runtime: Runtime,
        conduct: Conduct,
        *,
        changing: Container[str],
        upstream: ASGIApp | None,
        time_limit: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._controller = controller
        self._runtime = runtime
        self._conduct = conduct
        self._changing = changing
        self._upstream = upstream
        self._time_limit = timedelta(seconds=time_limit)
        self._under_way: set[asyncio.Future[Response]] = set()

    async def forward(self, user: User, sandbox: Sandbox, asked: Outbound) -> Response:
        """Pass a request on, if the sandbox is ready for it."""
        if sandbox.id in self._changing:
            sandbox = await self._after_window(sandbox)
        answer = self._admitted(user, sandbox, asked)

        async def again(request: Outbound) -> Response:
            current = self._store.sandbox(user.id, sandbox.name)
            if current is None or current.id != sandbox.id:
                raise RuntimeUnreachable("The sandbox was deleted while it was asked")
            return await self._admitted(user, current, request)

        return await self._within_time(self._delivered(answer, asked, again))

    async def _after_window(self, sandbox: Sandbox) -> Sandbox:
        """Return the sandbox as it is after others had time to change or delete it."""
        await self._conduct.in_window()
        current = self._store.sandbox(sandbox.user_id, sandbox.name)
        if current is None or current.id != sandbox.id:
            message = "You do not have access to this sandbox"
            raise Refusal(403, message, Fault.DELETED_BELOW_PROXY)
        return current

    def _admitted(
        self, user: User, sandbox: Sandbox, asked: Outbound
    ) -> Coroutine[Any, Any, Response]:
        """Check that the sandbox is ready, and ask it in the same step: no pause comes between."""
        now = self._clock.now()
        phase = self._controller.phase(sandbox, now)
        if phase is Phase.VANISHED:
            raise vanished(sandbox.name)
        if not self._controller.has_service(sandbox, now):
            raise Refusal(503, "Sandbox service not ready")
        if not self._controller.condition(sandbox, now, phase).ready:
            raise Refusal(503, "Sandbox not ready")
        if not self._controller.accepts_commands(sandbox, now):
            raise Refusal(503, "Sandbox not ready", Fault.PAUSED)
        asked.scope["server"] = (f"{sandbox.name}.{user.namespace}.svc.cluster.local", 8080)
        return self._or_upstream(self._runtime.answer(sandbox.id, asked), asked)

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
        deadline = asyncio.ensure_future(
            self._clock.sleep_until(self._clock.now() + self._time_limit)
        )
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
            answering.exception()  # nobody may be left to hear it
