"""The source of a client for a tool or a terminal command: the current configuration.

The MCP server reads the configuration at each call. While it stays the same, calls share one client
and its connections; after a change new calls get a new client, and the old one is closed when its
last call has ended.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio

from .config import load_config

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from .client import Client
    from .config import Config


class ClientProvider(Protocol):
    """The environment of a tool or a command, and the client for its configuration."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables that override the configuration file."""
        ...

    def connect(self, config: Config, /) -> Client:
        """Return a client for the proxy in `config`; the caller closes it."""
        ...

    def client(self) -> AbstractAsyncContextManager[Client]:
        """Open a client for the current configuration.

        Raises:
            ConfigError: the configuration is missing or cannot be used.
        """
        ...


def print_warning(warning: str) -> None:
    """Print a warning to standard error, which an MCP host keeps as the log of the server."""
    print(f"remote-sandbox: {warning}", file=sys.stderr)


@dataclass(eq=False)
class _CachedClient:
    """A client, and the number of calls that are using it."""

    client: Client
    users: int = 0


class ClientCache:
    """A `ClientProvider` that reads the configuration at each call.

    `connect` makes a client from a configuration; `warn` is called once with each warning about
    the configuration.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        connect: Callable[[Config], Client],
        warn: Callable[[str], None] = print_warning,
    ) -> None:
        self.environ = environ
        self.connect = connect
        self._warn = warn
        self._warned: set[str] = set()
        self._cached: list[_CachedClient] = []  # the last one is current

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        """Provide the client of the current configuration until the body ends.

        Raises:
            ConfigError: the configuration is missing or invalid.
        """
        cached = self._current(load_config(self.environ, warn=self._warn_once))
        cached.users += 1
        try:
            yield cached.client
        finally:
            cached.users -= 1
            await self._close_unused()

    def _warn_once(self, warning: str) -> None:
        """Pass on a warning unless an earlier call did: the file is read at each call."""
        if warning not in self._warned:
            self._warned.add(warning)
            self._warn(warning)

    def _current(self, config: Config) -> _CachedClient:
        if not self._cached or self._cached[-1].client.proxy.config != config:
            self._cached.append(_CachedClient(self.connect(config)))
        return self._cached[-1]

    async def _close_unused(self) -> None:
        """Close the clients of earlier configurations that no call uses."""
        unused = [cached for cached in self._cached[:-1] if not cached.users]
        self._cached = [cached for cached in self._cached if cached not in unused]
        with anyio.CancelScope(shield=True):
            for cached in unused:
                await cached.client.close()
