"""The client behind the server: as the configuration is at each call, its connections shared."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from . import config as _config

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from .client import Client
    from .config import Config


def print_warning(warning: str) -> None:
    """Print a warning where an MCP host keeps its log of the server."""
    print(f"remote-sandbox: {warning}", file=sys.stderr)


@dataclass(eq=False)
class _Lease:
    """A client and how many calls are using it."""

    client: Client
    users: int = 0


class ClientCache:
    """The client of the configuration as it is now: an edit of the file is seen at once."""

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
        self._leases: list[_Lease] = []  # the last one is the configuration's

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        """Lend the client that the configuration leads to.

        Raises:
            ConfigError: it cannot be used.
        """
        lease = self._current(_config.load(self.environ, warn=self._warn_once))
        lease.users += 1
        try:
            yield lease.client
        finally:
            lease.users -= 1
            await self._close_unused()

    def _warn_once(self, warning: str) -> None:
        """Pass on a warning that earlier calls have not given: the file is read at each call."""
        if warning not in self._warned:
            self._warned.add(warning)
            self._warn(warning)

    def _current(self, config: Config) -> _Lease:
        if not self._leases or self._leases[-1].client.proxy.config != config:
            self._leases.append(_Lease(self.connect(config)))
        return self._leases[-1]

    async def _close_unused(self) -> None:
        """Close what an edit of the configuration has replaced and no call uses any more."""
        unused = [lease for lease in self._leases[:-1] if not lease.users]
        self._leases = [lease for lease in self._leases if lease not in unused]
        with anyio.CancelScope(shield=True):
            for lease in unused:
                await lease.client.proxy.close()
