"""The client that a tool or a terminal command works with, from the current configuration."""

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


def with_client(
    function: Callable[Concatenate[Client, P], Awaitable[T]],
) -> Callable[Concatenate[ClientProvider, P], Awaitable[T]]:
    """Return `function` as a function of the provider, which opens the client for each call."""

    async def call_with_client(provider: ClientProvider, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with provider.client() as client:
            return await function(client, *args, **kwargs)

    return call_with_client
