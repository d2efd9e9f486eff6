"""The client behind the server: as the configuration is at each call, its connections shared."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from . import _config

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from ._client import Client
    from ._config import Config


@dataclass(eq=False)
class _Lease:
    """A client and how many calls are using it."""

    client: Client
    users: int = 0


class Backend:
    """The client of the configuration as it is now: an edit of the file is seen at once."""

    def __init__(self, environ: Mapping[str, str], connect: Callable[[Config], Client]) -> None:
        self.environ = environ
        self.connect = connect
        self._leases: list[_Lease] = []  # the last one is the configuration's

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        """Lend the client that the configuration leads to.

        Raises:
            ConfigError: it cannot be used.
        """
        lease = self._current(_config.load(self.environ))
        lease.users += 1
        try:
            yield lease.client
        finally:
            lease.users -= 1
            await self._close_unused()

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
