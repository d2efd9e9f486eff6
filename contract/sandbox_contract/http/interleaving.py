"""Concurrent requests to an app in process, in an order that a seed decides and replays."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
_MOST = 5  # turns that a request may be held up at each step


class Interleaved:
    """Hold requests up at each step, for a number of the loop's turns that a seed decides."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._random: Random | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, held up for a moment between its steps."""
        if self._random is None:
            await self._app(scope, receive, send)
            return

        async def receive_later() -> Message:
            await self._hold_up()
            return await receive()

        async def send_later(message: Message) -> None:
            await self._hold_up()
            await send(message)

        await self._hold_up()
        await self._app(scope, receive_later, send_later)

    @asynccontextmanager
    async def in_order_of(self, seed: int) -> AsyncGenerator[None]:
        """Delay the steps of requests in the block by the seed, so that their order varies."""
        self._random = Random(seed)  # noqa: S311  (to be foretold)
        try:
            yield
        finally:
            self._random = None

    async def _hold_up(self) -> None:
        turns = self._random.randrange(_MOST) if self._random is not None else 0
        for _ in range(turns):
            await asyncio.sleep(0)
