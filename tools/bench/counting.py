"""Count the requests of a client."""

from __future__ import annotations

import httpx


class CountingTransport(httpx.AsyncBaseTransport):
    """Another transport, whose requests are counted."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.count = 0
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Count a request and send it."""
        self.count += 1
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()
