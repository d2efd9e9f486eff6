"""How the tools and the terminal commands get to a client: by the configuration as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from typing import Concatenate

    from .client import Client
    from .config import Config

P = ParamSpec("P")
T = TypeVar("T")


class ClientProvider(Protocol):
    """What a tool or a command works with: the environment, and a client where it leads to one."""

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the variables that the configuration is read from."""
        ...

    def connect(self, config: Config, /) -> Client:
        """Return a client of the proxy that `config` names, to be closed by whoever asked."""
        ...

    def client(self) -> AbstractAsyncContextManager[Client]:
        """Lend the client that the configuration leads to.

        Raises:
            ConfigError: it cannot be used.
        """
        ...


def with_client(
    work: Callable[Concatenate[Client, P], Awaitable[T]],
) -> Callable[Concatenate[ClientProvider, P], Awaitable[T]]:
    """Return `work` as one who has access does it: with the client that is lent."""

    async def done(provider: ClientProvider, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with provider.client() as client:
            return await work(client, *args, **kwargs)

    return done
